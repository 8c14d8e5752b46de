import { homedir } from "node:os";
import * as vscode from "vscode";
import { WarmlineClient, type ClientEvents } from "./client";
import { clientOptions } from "./client_options";
import type { EnvironmentInstaller } from "./environment/installer";
import { workspaceInterpreter } from "./interpreter";
import { isIgnored, ignoreCommand, type IgnoredCommands } from "./ignored_commands";
import type { ServerDeps } from "./server";
import { serverCommand } from "./server_command";
import type { Snooze } from "./snooze";
import { mismatch } from "./version";
import { currentWorkspace } from "./current_workspace";

const IGNORED = "warmline.passedOver";
const USE_OWN = "Use the extension's environment";
const SETTINGS = "Open settings";

/** Finds and launches the server by VS Code's settings, and reports problems to the user. */
export function serverDeps(
  context: vscode.ExtensionContext,
  environment: EnvironmentInstaller,
  events: ClientEvents,
  snooze: Snooze,
  completeInstall: () => Promise<void>,
): ServerDeps {
  const { log, status } = events;
  const ignored = (): IgnoredCommands => context.globalState.get<IgnoredCommands>(IGNORED, {});
  const warned = new Set<string>();
  let lastProblem = "";

  /** Ignores the setting and the interpreter of an untrusted workspace; see restrictedConfigurations. */
  const find = async (): Promise<string | undefined> => {
    const interpreter = (): Promise<string | undefined> =>
      workspaceInterpreter((error) => {
        log.warn(`The Python extension did not start: ${String(error)}`);
      });
    const found = await serverCommand(
      {
        setting: vscode.workspace.getConfiguration("warmline").get("command", ""),
        interpreter: async () => (vscode.workspace.isTrusted ? interpreter() : undefined),
        searchPath: process.env["PATH"] ?? "",
        home: homedir(),
        untrusted: vscode.workspace.isTrusted ? [] : currentWorkspace().folders,
        isWindows: process.platform === "win32",
      },
      undefined,
      (command) => environment.finished() !== undefined && isIgnored(ignored(), command),
    ).catch((error: unknown) => {
      const { message } = error as Error;
      if (message !== lastProblem) void showSettingProblem(message);
      lastProblem = message;
      throw error;
    });
    if (found) log.info(`server: ${found.command}, found by ${found.from}`);
    return found?.command;
  };

  const started = async (command: string, version: string | undefined): Promise<void> => {
    const extension = context.extension.packageJSON as { version: string };
    const problem = mismatch(command, version, extension.version);
    // warn once per window; the extension's own environment always has the right version
    if (problem === undefined || command === environment.finished() || warned.has(command)) return;
    warned.add(command);
    log.warn(problem);
    const answer = await vscode.window.showWarningMessage(problem, USE_OWN);
    if (answer !== USE_OWN) return;
    await context.globalState.update(IGNORED, ignoreCommand(ignored(), { command }));
    await completeInstall();
  };

  return {
    environment,
    find,
    launch: (command) => new WarmlineClient(command, clientOptions(log, status, snooze), events),
    started: (command, version) => void started(command, version),
    status,
    log,
  };
}

async function showSettingProblem(message: string): Promise<void> {
  const answer = await vscode.window.showErrorMessage(message, SETTINGS);
  if (answer === SETTINGS) {
    await vscode.commands.executeCommand("workbench.action.openSettings", "warmline.command");
  }
}
