import * as vscode from "vscode";
import type { Server } from "./server";

/** Requests a comment and the code after it; the server sends `warmline/better` when they are ready. */
export async function commentFirst({ client }: Server): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (!editor || !client?.isRunning()) return;
  const { line, character } = editor.selection.active;
  const uri = editor.document.uri.toString();
  const comment = await client.sendRequest<string>("warmline/commentFirst", {
    uri,
    position: { line, character },
  });
  if (comment === "") {
    void vscode.window.setStatusBarMessage("Warmline: no comment to suggest here", 3000);
  }
}
