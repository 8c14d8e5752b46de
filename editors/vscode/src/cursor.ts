import * as vscode from "vscode";
import { Throttle } from "./throttle";
import type { Client } from "./server";

const CURSOR_EVERY_MS = 60;

/** Sends the cursor position, which LSP does not have; the engine prefills there first. */
export function cursorNotifications(client: () => Client | undefined): vscode.Disposable {
  const throttle = new Throttle<vscode.TextEditor | undefined>(CURSOR_EVERY_MS, (editor) => {
    if (editor) void notify(client(), editor);
  });
  return vscode.Disposable.from(
    throttle,
    vscode.window.onDidChangeTextEditorSelection((event) => {
      throttle.push(event.textEditor);
    }),
    vscode.window.onDidChangeActiveTextEditor((editor) => {
      throttle.push(editor);
    }),
  );
}

async function notify(client: Client | undefined, editor: vscode.TextEditor): Promise<void> {
  if (!client?.isRunning()) return;
  const { line, character } = editor.selection.active;
  try {
    await client.sendNotification("warmline/didMoveCursor", {
      textDocument: { uri: editor.document.uri.toString(), version: editor.document.version },
      position: { line, character },
    });
  } catch {
    // the server stopped meanwhile; the next cursor move is sent to its successor
  }
}
