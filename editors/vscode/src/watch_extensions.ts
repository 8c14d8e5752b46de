import * as vscode from "vscode";
import { activeCompetitors, competitorWarning } from "./competing_extensions";
import type { StatusItem } from "./status";

const REPORTED = "warmline.toldOfOthers";
const SHOW = "Show extensions";
// other extensions start one after another
const STARTUP_MS = 10_000;

/** Warns once about each other extension with inline completions; the tooltip always names them. */
export function watchExtensions(
  context: vscode.ExtensionContext,
  status: StatusItem,
): vscode.Disposable {
  const check = (): void => {
    const names = activeCompetitors(vscode.extensions.all);
    status.competitors(names);
    const reported = context.globalState.get<string[]>(REPORTED, []);
    const added = names.filter((name) => !reported.includes(name));
    if (added.length === 0) return;
    void context.globalState.update(REPORTED, [...reported, ...added]);
    void warn(added);
  };
  const timer = setTimeout(check, STARTUP_MS);
  const stop = new vscode.Disposable(() => {
    clearTimeout(timer);
  });
  return vscode.Disposable.from(stop, vscode.extensions.onDidChange(check));
}

async function warn(names: string[]): Promise<void> {
  const chosen = await vscode.window.showInformationMessage(
    `Warmline: ${competitorWarning(names)}`,
    SHOW,
  );
  if (chosen === SHOW) {
    await vscode.commands.executeCommand("workbench.extensions.action.showEnabledExtensions");
  }
}
