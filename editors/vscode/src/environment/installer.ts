import { homedir } from "node:os";
import * as path from "node:path";
import * as vscode from "vscode";
import {
  CPU_INDEX,
  isServed,
  INSTALL,
  DONT_ASK,
  AFTER_SETTING,
  installQuestion,
  SMALLER_DOWNLOAD,
  type DownloadEstimate,
} from "./consent";
import { Failure, type Action } from "./failure";
import { machine, type Machine, type Report, type InstallSettings } from "./machine";
import {
  finishedCommand,
  isUnfinished,
  installEnvironment,
  missing,
  estimateDownload,
  removeUnused,
} from "./environment";
import type { Task } from "./install_attempt";
import { processEnvironment } from "../process_environment";
import { run } from "../program";
import type { OnInstallState, ManagedEnvironment } from "../server";
import { expandHome } from "../paths";

const RETRY = "Try again";
const LOG = "Show the log";
const DONT_ASK_KEY = "warmline.neverAskForEnvironment";

/** Installs the extension's Python environment, asks the user first, and shows progress and failures. */
export class EnvironmentInstaller implements ManagedEnvironment, vscode.Disposable {
  private readonly closing = new AbortController();
  // ask once per window
  private isDeclined = false;
  private isAsking = false;

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  /** Cancels an installation; finished steps are kept. */
  dispose(): void {
    this.closing.abort();
  }

  /** The command in the environment, of any version; undefined if there is none. */
  finished(): string | undefined {
    return finishedCommand(installSettings(this.context).folder, process.platform === "win32");
  }

  async current(): Promise<string | undefined> {
    const finished = this.finished();
    if (finished === undefined || (!this.isDeclined && (await this.missing()) !== "nothing")) {
      return undefined;
    }
    void removeUnused(installSettings(this.context).folder);
    return finished;
  }

  async offer(onState: OnInstallState, isNeeded: () => boolean): Promise<string | undefined> {
    if (this.isAsking) return undefined;
    const finished = this.finished();
    const isUpdate = finished !== undefined;
    // a new extension version has a new wheel: the user has agreed before, and only the wheel is replaced
    const isLarge = isUpdate
      ? (await this.missing()) === "torch"
      : !isUnfinished(installSettings(this.context).folder);
    if (isLarge) {
      this.isDeclined ||= this.context.globalState.get(DONT_ASK_KEY, false);
      if (this.isDeclined) return finished;
      this.isAsking = true;
      try {
        if (!(await waitForServedFile(this.closing.signal)) || !isNeeded()) return finished;
        this.isDeclined = !(await this.agrees(isUpdate));
      } finally {
        this.isAsking = false;
      }
      if (this.isDeclined) return finished;
    }
    return (await this.run("complete", onState)) ?? finished;
  }

  async install(onState: OnInstallState, isRebuild: boolean): Promise<string | undefined> {
    // the user requested the installation, but may not expect a larger download than necessary
    if (this.finished() === undefined && (await this.estimate()).isMoreThanNeeded) {
      if (!(await this.agrees(false))) return undefined;
    }
    return this.run(isRebuild ? "rebuild" : "complete", onState);
  }

  private async missing(): Promise<"nothing" | "wheel" | "torch"> {
    const { folder, wheels } = installSettings(this.context);
    try {
      return await missing(folder, wheels);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      // a development build without a wheel has nothing to install
      return "nothing";
    }
  }

  private async machine(): Promise<Machine> {
    return machine(run, await processEnvironment(this.context.globalStorageUri));
  }

  private async estimate(): Promise<DownloadEstimate> {
    return estimateDownload(
      installSettings(this.context),
      await this.machine(),
      this.closing.signal,
    );
  }

  private async agrees(isUpdate: boolean): Promise<boolean> {
    let { text, buttons } = installQuestion(await this.estimate(), isUpdate);
    for (;;) {
      const answer = await vscode.window.showInformationMessage(text, ...buttons);
      if (answer === DONT_ASK) await this.context.globalState.update(DONT_ASK_KEY, true);
      if (answer !== SMALLER_DOWNLOAD) return answer === INSTALL;
      await vscode.commands.executeCommand("workbench.action.openSettings", CPU_INDEX);
      ({ text, buttons } = AFTER_SETTING);
    }
  }

  private async run(task: Task, onState: OnInstallState): Promise<string | undefined> {
    for (let next = task; ; next = task === "complete" ? task : "resume rebuild") {
      onState("installing");
      try {
        const settings = installSettings(this.context);
        return await withProgress(settings, await this.machine(), this.log, this.closing, next);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        this.log.error(error.message);
        if (this.closing.signal.aborted) return undefined;
        onState("not installed");
        this.isDeclined = !(await wantsRetry(error, this.log));
        if (this.isDeclined) return undefined;
      }
    }
  }
}

/** Waits for an open file that would get completions; false if the window is closed first. */
async function waitForServedFile(signal: AbortSignal): Promise<boolean> {
  const isServedFile = (document: vscode.TextDocument): boolean => {
    const configuration = vscode.workspace.getConfiguration("warmline", document);
    return (
      ["file", "untitled"].includes(document.uri.scheme) &&
      isServed(
        document.languageId,
        configuration.get("languages", {}),
        configuration.get("model", "base"),
      )
    );
  };
  if (vscode.workspace.textDocuments.some(isServedFile)) return true;
  return new Promise((resolve) => {
    const listener = vscode.workspace.onDidOpenTextDocument((document) => {
      if (isServedFile(document)) end(true);
    });
    const end = (isFound: boolean): void => {
      listener.dispose();
      resolve(isFound);
    };
    signal.addEventListener("abort", () => {
      end(false);
    });
  });
}

function installSettings(context: vscode.ExtensionContext): InstallSettings {
  const configuration = vscode.workspace.getConfiguration("warmline");
  return {
    folder: path.join(context.globalStorageUri.fsPath, "environment"),
    wheels: path.join(context.extensionPath, "wheels"),
    python: expandHome(configuration.get("environment.python", ""), homedir()),
    device: configuration.get("device", "auto"),
    sources: {
      pipArguments: configuration.get<string[]>("environment.pipArguments", []),
      cpuIndex: configuration.get("environment.cpuIndex", ""),
      wheelFolder: expandHome(configuration.get("environment.wheelFolder", ""), homedir()),
      isStrict: vscode.workspace.getConfiguration("http").get("proxyStrictSSL", true),
    },
  };
}

async function withProgress(
  settings: InstallSettings,
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
    const signal = AbortSignal.any([cancelled.signal, closing.signal]);
    let reported = 0;
    const report: Report = {
      step: (message, share) => {
        progress.report({ message, increment: Math.max(0, 100 * (share - reported)) });
        reported = Math.max(reported, share);
      },
      log: (line) => {
        log.info(line);
      },
    };
    return installEnvironment(settings, machine, report, signal, task);
  });
}

/** Shows a failure with its actions; true if the user wants to retry. */
async function wantsRetry(failure: Failure, log: vscode.LogOutputChannel): Promise<boolean> {
  const titles = failure.actions.map((action) => action.title);
  const show = failure.kind === "cancelled" ? "showInformationMessage" : "showErrorMessage";
  for (;;) {
    const answer = await vscode.window[show](failure.message, ...titles, RETRY, LOG);
    if (answer === RETRY) return true;
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
