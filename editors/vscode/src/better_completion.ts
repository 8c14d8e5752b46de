import * as vscode from "vscode";

/** Parameters of `warmline/better`: a request at this position would now get a better completion. */
export interface BetterCompletion {
  readonly uri: string;
  readonly version: number;
  readonly position: { readonly line: number; readonly character: number };
}

/** Requests the better completion if the cursor has not moved and the text has not changed. */
export async function showBetterCompletion(better: BetterCompletion): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (editor?.document.uri.toString() !== better.uri || editor.document.version !== better.version)
    return;
  const { active, isEmpty } = editor.selection;
  const { line, character } = better.position;
  if (!isEmpty || active.line !== line || active.character !== character) return;
  // otherwise VS Code keeps the old suggestion and adds the better one as an alternative
  await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
  await vscode.commands.executeCommand("editor.action.inlineSuggest.trigger");
}
