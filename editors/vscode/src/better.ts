import * as vscode from "vscode";

/** What `warmline/better` tells: a request at this place would now be answered better. */
export interface Better {
  readonly uri: string;
  readonly version: number;
  readonly position: { readonly line: number; readonly character: number };
}

/** Shows the better completion where the cursor still stands and nothing was typed; else it is of no use. */
export async function showBetter(told: Better): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (editor?.document.uri.toString() !== told.uri || editor.document.version !== told.version)
    return;
  const { active, isEmpty } = editor.selection;
  const { line, character } = told.position;
  if (!isEmpty || active.line !== line || active.character !== character) return;
  // what is shown would stay, and the better one be but its alternative
  await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
  await vscode.commands.executeCommand("editor.action.inlineSuggest.trigger");
}
