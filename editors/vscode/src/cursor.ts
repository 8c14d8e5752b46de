import * as vscode from "vscode";
import { Newest } from "./newest";
import type { Client } from "./server";

const CURSOR_EVERY_MS = 60;

/** LSP does not tell a server where the cursor is; the engine reads there first. The newest place wins. */
export function cursorNotices(client: () => Client | undefined): vscode.Disposable {
  const notices = new Newest<vscode.TextEditor | undefined>(CURSOR_EVERY_MS, (editor) => {
    if (editor) void tell(client(), editor);
  });
  return vscode.Disposable.from(
    notices,
    vscode.window.onDidChangeTextEditorSelection((event) => {
      notices.note(event.textEditor);
    }),
    vscode.window.onDidChangeActiveTextEditor((editor) => {
      notices.note(editor);
    }),
  );
}

async function tell(client: Client | undefined, editor: vscode.TextEditor): Promise<void> {
  if (!client?.isRunning()) return;
  const { line, character } = editor.selection.active;
  try {
    await client.sendNotification("warmline/didMoveCursor", {
      textDocument: { uri: editor.document.uri.toString(), version: editor.document.version },
      position: { line, character },
    });
  } catch {
    // it stopped meanwhile; the next one is told with the next move
  }
}
