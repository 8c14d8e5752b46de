import * as vscode from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";

const CURSOR_EVERY_MS = 60;

/** LSP does not tell a server where the cursor is; the engine reads there first. The newest place wins. */
export function cursorNotices(client: () => LanguageClient | undefined): vscode.Disposable[] {
  let newest: vscode.TextEditor | undefined;
  let timer: NodeJS.Timeout | undefined;
  const send = (): void => {
    timer = undefined;
    if (!newest || !client()?.isRunning()) return;
    const { line, character } = newest.selection.active;
    void client()?.sendNotification("warmline/didMoveCursor", {
      textDocument: { uri: newest.document.uri.toString(), version: newest.document.version },
      position: { line, character },
    });
  };
  const note = (editor: vscode.TextEditor | undefined): void => {
    newest = editor;
    timer ??= setTimeout(send, CURSOR_EVERY_MS);
  };
  return [
    vscode.window.onDidChangeTextEditorSelection((event) => {
      note(event.textEditor);
    }),
    vscode.window.onDidChangeActiveTextEditor(note),
    new vscode.Disposable(() => {
      clearTimeout(timer);
    }),
  ];
}
