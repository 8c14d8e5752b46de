import * as path from "node:path";
import * as vscode from "vscode";
import { Failure, type Action } from "./failure";
import {
  finishedCommand,
  isCurrent,
  machine,
  makeEnvironment,
  type Report,
  type Wishes,
} from "./make";
import { run } from "./program";

const MAKE = "Make it";
const AGAIN = "Try again";
const LOG = "Show the log";

/**
 * The command of the environment that the extension makes: the one there is, or a new one where the user consents.
 *
 * Undefined where the user declines, or it failed and was not tried again.
 */
export async function ownCommand(
  context: vscode.ExtensionContext,
  log: vscode.LogOutputChannel,
): Promise<string | undefined> {
  const wishes = wishesOf(context);
  const finished = finishedCommand(wishes.folder, process.platform === "win32");
  // a new extension brings a new wheel: consent was given, and only the wheel is put in
  if (finished !== undefined && (await isCurrent(wishes.folder, wishes.wheels))) return finished;
  if (finished === undefined && !(await consents())) return undefined;
  for (;;) {
    try {
      return await withProgress(wishesOf(context), log);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      log.error(error.message);
      if (!(await isTriedAgain(error, log))) return finished;
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
      "It fetches torch, the largest part, and takes some minutes and 2 GB, with a GPU 9 GB.",
    MAKE,
  );
  return answer === MAKE;
}

async function withProgress(wishes: Wishes, log: vscode.LogOutputChannel): Promise<string> {
  const options = {
    location: vscode.ProgressLocation.Notification,
    title: "Warmline",
    cancellable: true,
  };
  return vscode.window.withProgress(options, (progress, token) => {
    const stop = new AbortController();
    token.onCancellationRequested(() => {
      stop.abort();
    });
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
    return makeEnvironment(wishes, machine(run), report, stop.signal);
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
