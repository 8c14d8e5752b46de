import * as vscode from "vscode";

const WALKTHROUGH = "warmline.warmline#start";

/** Sets the context key that completes the walkthrough's first step. */
export async function setReady(isReady: boolean): Promise<void> {
  await vscode.commands.executeCommand("setContext", "warmline.ready", isReady);
}

/** Opens the walkthrough; `isReady`: its first step is done. */
export async function openWalkthrough(isReady: boolean): Promise<void> {
  // VS Code completes a step only if the key changes after the walkthrough is loaded
  await setReady(false);
  await vscode.commands.executeCommand("workbench.action.openWalkthrough", WALKTHROUGH, false);
  await setReady(isReady);
}
