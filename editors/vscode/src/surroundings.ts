import { homedir } from "node:os";
import * as vscode from "vscode";
import { WarmlineClient, type Ears } from "./client";
import { clientOptions } from "./client_options";
import type { OwnEnvironment } from "./environment/offer";
import { workspaceInterpreter } from "./interpreter";
import { isPassedOver, passOver, type Passed } from "./passed_over";
import type { Surroundings } from "./server";
import { serverCommand } from "./server_command";
import type { Snooze } from "./snooze";
import { mismatch } from "./version";
import { workspaceNow } from "./workspace_now";

const PASSED = "warmline.passedOver";
const OWN = "Use the extension's environment";
const SETTINGS = "Open settings";

/** Finds and launches the server by VS Code's settings, and says what is wrong with what was found. */
export function surroundings(
  context: vscode.ExtensionContext,
  own: OwnEnvironment,
  ears: Ears,
  snooze: Snooze,
  complete: () => Promise<void>,
): Surroundings {
  const { log, status } = ears;
  const passed = (): Passed => context.globalState.get<Passed>(PASSED, {});
  const warned = new Set<string>();
  let told = "";

  /** An untrusted workspace's own setting and interpreter are not used: see restrictedConfigurations. */
  const find = async (): Promise<string | undefined> => {
    const interpreter = (): Promise<string | undefined> =>
      workspaceInterpreter((error) => {
        log.warn(`the Python extension did not start: ${String(error)}`);
      });
    const found = await serverCommand(
      {
        setting: vscode.workspace.getConfiguration("warmline").get("command", ""),
        interpreter: async () => (vscode.workspace.isTrusted ? interpreter() : undefined),
        searchPath: process.env["PATH"] ?? "",
        home: homedir(),
        untrusted: vscode.workspace.isTrusted ? [] : workspaceNow().folders,
        isWindows: process.platform === "win32",
      },
      undefined,
      (command) => own.finished() !== undefined && isPassedOver(passed(), command),
    ).catch((error: unknown) => {
      const { message } = error as Error;
      if (message !== told) void tellOfSetting(message);
      told = message;
      throw error;
    });
    if (found) log.info(`server: ${found.command}, found by ${found.from}`);
    return found?.command;
  };

  const started = async (command: string, version: string | undefined): Promise<void> => {
    const extension = context.extension.packageJSON as { version: string };
    const problem = mismatch(command, version, extension.version);
    // once a window; what the extension makes is of its own version
    if (problem === undefined || command === own.finished() || warned.has(command)) return;
    warned.add(command);
    log.warn(problem);
    const answer = await vscode.window.showWarningMessage(problem, OWN);
    if (answer !== OWN) return;
    await context.globalState.update(PASSED, passOver(passed(), { command }));
    await complete();
  };

  return {
    own,
    find,
    launch: (command) => new WarmlineClient(command, clientOptions(log, status, snooze), ears),
    started: (command, version) => void started(command, version),
    status,
    log,
  };
}

async function tellOfSetting(message: string): Promise<void> {
  const answer = await vscode.window.showErrorMessage(message, SETTINGS);
  if (answer === SETTINGS) {
    await vscode.commands.executeCommand("workbench.action.openSettings", "warmline.command");
  }
}
