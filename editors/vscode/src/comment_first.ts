import * as vscode from "vscode";
import type { Server } from "./server";

/** Asks for a comment and the code behind it; the server tells when they can be shown at the cursor. */
export async function commentFirst({ client }: Server): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (!editor || !client?.isRunning()) return;
  const { line, character } = editor.selection.active;
  const uri = editor.document.uri.toString();
  const found = await client.sendRequest<string>("warmline/commentFirst", {
    uri,
    position: { line, character },
  });
  if (found === "") {
    void vscode.window.setStatusBarMessage("Warmline: no comment to suggest here", 3000);
  }
}
