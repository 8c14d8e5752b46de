import * as vscode from "vscode";
import { describe, type Context } from "./context";
import type { Server } from "./server";

/** Shows what the model sees beside the file that is being edited, and why. */
export async function showContext({ client }: Server): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  if (!document || !client?.isRunning()) return;
  const uri = document.uri.toString();
  const context = await client.sendRequest<Context | null>("warmline/context", { uri });
  const content = describe(vscode.workspace.asRelativePath(document.uri), context);
  const shown = await vscode.workspace.openTextDocument({ content, language: "markdown" });
  await vscode.window.showTextDocument(shown, {
    preview: true,
    viewColumn: vscode.ViewColumn.Beside,
  });
}
