import * as vscode from "vscode";
import { othersAmong, wordOnOthers } from "./others";
import type { StatusItem } from "./status";

const TOLD = "warmline.toldOfOthers";
const SHOW = "Show extensions";
// extensions of the same moment start one after the other
const STARTED_MS = 10_000;

/** Says, once for each of them, that another extension offers inline completions; the tooltip says it always. */
export function watchOthers(
  context: vscode.ExtensionContext,
  status: StatusItem,
): vscode.Disposable {
  const look = (): void => {
    const names = othersAmong(vscode.extensions.all);
    status.others(names);
    const told = context.globalState.get<string[]>(TOLD, []);
    const fresh = names.filter((name) => !told.includes(name));
    if (fresh.length === 0) return;
    void context.globalState.update(TOLD, [...told, ...fresh]);
    void tell(fresh);
  };
  const timer = setTimeout(look, STARTED_MS);
  const stop = new vscode.Disposable(() => {
    clearTimeout(timer);
  });
  return vscode.Disposable.from(stop, vscode.extensions.onDidChange(look));
}

async function tell(names: string[]): Promise<void> {
  const chosen = await vscode.window.showInformationMessage(
    `Warmline: ${wordOnOthers(names)}`,
    SHOW,
  );
  if (chosen === SHOW) {
    await vscode.commands.executeCommand("workbench.extensions.action.showEnabledExtensions");
  }
}
