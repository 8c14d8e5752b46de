import * as path from "node:path";
import * as vscode from "vscode";
import { Failure, type Action } from "./failure";
import {
  finishedCommand,
  forget,
  isCurrent,
  isUnfinished,
  machine,
  makeEnvironment,
  type Report,
  type Wishes,
} from "./make";
import { run } from "../program";

const MAKE = "Make it";
const AGAIN = "Try again";
const LOG = "Show the log";

/** The environment that the extension makes for the server, with what the user is asked and told. */
export class OwnEnvironment implements vscode.Disposable {
  private readonly closing = new AbortController();
  // asked once a window
  private isDeclined = false;

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

  /** The command in it as this version of the extension wants it; undefined where the user declines or gives up. */
  async command(begun: () => void): Promise<string | undefined> {
    const { folder, wheels } = wishesOf(this.context);
    const finished = this.finished();
    // a new extension brings a new wheel: consent was given, and only the wheel is put in
    if (finished !== undefined && (await isCurrent(folder, wheels))) return finished;
    if (this.isDeclined) return finished;
    if (finished === undefined && !isUnfinished(folder)) {
      this.isDeclined = !(await consents());
      if (this.isDeclined) return undefined;
    }
    begun();
    return (await this.make()) ?? finished;
  }

  /** Makes it from the start. */
  async remake(): Promise<void> {
    await forget(wishesOf(this.context).folder);
    await this.make();
  }

  private async make(): Promise<string | undefined> {
    for (;;) {
      try {
        return await withProgress(wishesOf(this.context), this.log, this.closing);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        this.log.error(error.message);
        if (this.closing.signal.aborted) return undefined;
        this.isDeclined = !(await isTriedAgain(error, this.log));
        if (this.isDeclined) return undefined;
      }
    }
  }
}

function wishesOf(context: vscode.ExtensionContext): Wishes {
  const own = vscode.workspace.getConfiguration("warmline");
  const http = vscode.workspace.getConfiguration("http");
  return {
    folder: path.join(context.globalStorageUri.fsPath, "environment"),
    wheels: path.join(context.extensionPath, "wheels"),
    python: own.get("environment.python", ""),
    device: own.get("device", "auto"),
    sources: {
      pipArguments: own.get<string[]>("environment.pipArguments", []),
      cpuIndex: own.get("environment.cpuIndex", ""),
      wheelFolder: own.get("environment.wheelFolder", ""),
      proxy: http.get("proxy", ""),
      noProxy: http.get<string[]>("noProxy", []),
      isStrict: http.get("proxyStrictSSL", true),
    },
  };
}

async function consents(): Promise<boolean> {
  const answer = await vscode.window.showInformationMessage(
    "Warmline needs a Python environment of its own. Make one in the extension's storage? " +
      "It fetches torch, the largest part: some minutes, and 2 to 9 GB.",
    MAKE,
  );
  return answer === MAKE;
}

async function withProgress(
  wishes: Wishes,
  log: vscode.LogOutputChannel,
  closing: AbortController,
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
    return makeEnvironment(wishes, machine(run), report, stop);
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
