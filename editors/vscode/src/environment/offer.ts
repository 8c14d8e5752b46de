import { homedir } from "node:os";
import * as path from "node:path";
import * as vscode from "vscode";
import {
  CPU_INDEX,
  isServed,
  MAKE,
  NEVER,
  ONCE_SET,
  question,
  SMALLER,
  type Ahead,
} from "./consent";
import { Failure, type Action } from "./failure";
import { machine, type Machine, type Report, type Wishes } from "./machine";
import { finishedCommand, isUnfinished, makeEnvironment, missing, sizeAhead, tidy } from "./make";
import type { Task } from "./making";
import { ourEnvironment } from "../network";
import { run } from "../program";
import type { At, Own } from "../server";
import { expanded } from "../whole_path";

const AGAIN = "Try again";
const LOG = "Show the log";
const NEVER_ASKED = "warmline.neverAskForEnvironment";

/** The environment that the extension makes for the server, with what the user is asked and told. */
export class OwnEnvironment implements Own, vscode.Disposable {
  private readonly closing = new AbortController();
  // asked once a window
  private isDeclined = false;
  private isAsking = false;

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  /** Ends an installation; what is done is kept. */
  dispose(): void {
    this.closing.abort();
  }

  /** The command in it, of whichever version; undefined where there is none. */
  finished(): string | undefined {
    return finishedCommand(wishesOf(this.context).folder, process.platform === "win32");
  }

  async current(): Promise<string | undefined> {
    const finished = this.finished();
    if (finished === undefined || (!this.isDeclined && (await this.missing()) !== "nothing")) {
      return undefined;
    }
    void tidy(wishesOf(this.context).folder);
    return finished;
  }

  async offer(at: At, isNeeded: () => boolean): Promise<string | undefined> {
    if (this.isAsking) return undefined;
    const finished = this.finished();
    const isUpdate = finished !== undefined;
    // a new extension brings a new wheel: consent was given, and only the wheel is put in
    const isLarge = isUpdate
      ? (await this.missing()) === "torch"
      : !isUnfinished(wishesOf(this.context).folder);
    if (isLarge) {
      this.isDeclined ||= this.context.globalState.get(NEVER_ASKED, false);
      if (this.isDeclined) return finished;
      this.isAsking = true;
      try {
        if (!(await servedFile(this.closing.signal)) || !isNeeded()) return finished;
        this.isDeclined = !(await this.agrees(isUpdate));
      } finally {
        this.isAsking = false;
      }
      if (this.isDeclined) return finished;
    }
    return (await this.made("complete", at)) ?? finished;
  }

  async make(at: At, isAnew: boolean): Promise<string | undefined> {
    // the user asked for it, but maybe not for more than this machine needs
    if (this.finished() === undefined && (await this.ahead()).isMoreThanNeeded) {
      if (!(await this.agrees(false))) return undefined;
    }
    return this.made(isAnew ? "anew" : "complete", at);
  }

  private async missing(): Promise<"nothing" | "wheel" | "torch"> {
    const { folder, wheels } = wishesOf(this.context);
    try {
      return await missing(folder, wheels);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      // a build without a wheel has nothing to install
      return "nothing";
    }
  }

  private async machine(): Promise<Machine> {
    return machine(run, await ourEnvironment(this.context.globalStorageUri));
  }

  private async ahead(): Promise<Ahead> {
    return sizeAhead(wishesOf(this.context), await this.machine(), this.closing.signal);
  }

  private async agrees(isUpdate: boolean): Promise<boolean> {
    let { text, buttons } = question(await this.ahead(), isUpdate);
    for (;;) {
      const answer = await vscode.window.showInformationMessage(text, ...buttons);
      if (answer === NEVER) await this.context.globalState.update(NEVER_ASKED, true);
      if (answer !== SMALLER) return answer === MAKE;
      await vscode.commands.executeCommand("workbench.action.openSettings", CPU_INDEX);
      ({ text, buttons } = ONCE_SET);
    }
  }

  private async made(task: Task, at: At): Promise<string | undefined> {
    for (let next = task; ; next = task === "complete" ? task : "go on anew") {
      at("installing");
      try {
        const wishes = wishesOf(this.context);
        return await withProgress(wishes, await this.machine(), this.log, this.closing, next);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        this.log.error(error.message);
        if (this.closing.signal.aborted) return undefined;
        at("not installed");
        this.isDeclined = !(await isTriedAgain(error, this.log));
        if (this.isDeclined) return undefined;
      }
    }
  }
}

/** Waits for an open file that would be completed; false where the window is closed before. */
async function servedFile(signal: AbortSignal): Promise<boolean> {
  const isOne = (document: vscode.TextDocument): boolean => {
    const own = vscode.workspace.getConfiguration("warmline", document);
    return (
      ["file", "untitled"].includes(document.uri.scheme) &&
      isServed(document.languageId, own.get("languages", {}), own.get("model", "base"))
    );
  };
  if (vscode.workspace.textDocuments.some(isOne)) return true;
  return new Promise((resolve) => {
    const listening = vscode.workspace.onDidOpenTextDocument((document) => {
      if (isOne(document)) end(true);
    });
    const end = (isThere: boolean): void => {
      listening.dispose();
      resolve(isThere);
    };
    signal.addEventListener("abort", () => {
      end(false);
    });
  });
}

function wishesOf(context: vscode.ExtensionContext): Wishes {
  const own = vscode.workspace.getConfiguration("warmline");
  return {
    folder: path.join(context.globalStorageUri.fsPath, "environment"),
    wheels: path.join(context.extensionPath, "wheels"),
    python: expanded(own.get("environment.python", ""), homedir()),
    device: own.get("device", "auto"),
    sources: {
      pipArguments: own.get<string[]>("environment.pipArguments", []),
      cpuIndex: own.get("environment.cpuIndex", ""),
      wheelFolder: expanded(own.get("environment.wheelFolder", ""), homedir()),
      isStrict: vscode.workspace.getConfiguration("http").get("proxyStrictSSL", true),
    },
  };
}

async function withProgress(
  wishes: Wishes,
  machine: Machine,
  log: vscode.LogOutputChannel,
  closing: AbortController,
  task: Task,
): Promise<string> {
  const options = {
    location: vscode.ProgressLocation.Notification,
    title: "Warmline",
    cancellable: true,
  };
  return vscode.window.withProgress(options, (progress, token) => {
    const cancelled = new AbortController();
    token.onCancellationRequested(() => {
      cancelled.abort();
    });
    const stop = AbortSignal.any([cancelled.signal, closing.signal]);
    let told = 0;
    const report: Report = {
      step: (message, share) => {
        progress.report({ message, increment: Math.max(0, 100 * (share - told)) });
        told = Math.max(told, share);
      },
      log: (line) => {
        log.info(line);
      },
    };
    return makeEnvironment(wishes, machine, report, stop, task);
  });
}

/** Shows a failure with what can be done; true once the user wants another try. */
async function isTriedAgain(failure: Failure, log: vscode.LogOutputChannel): Promise<boolean> {
  const titles = failure.actions.map((action) => action.title);
  const show = failure.kind === "cancelled" ? "showInformationMessage" : "showErrorMessage";
  for (;;) {
    const answer = await vscode.window[show](failure.message, ...titles, AGAIN, LOG);
    if (answer === AGAIN) return true;
    if (answer === undefined) return false;
    const action = failure.actions.find((one) => one.title === answer);
    if (action) await act(action);
    else log.show();
  }
}

async function act(action: Action): Promise<void> {
  if (action.does === "copy") await vscode.env.clipboard.writeText(action.text);
  else if (action.does === "open") await vscode.env.openExternal(vscode.Uri.parse(action.address));
  else await vscode.commands.executeCommand("workbench.action.openSettings", action.query);
}
