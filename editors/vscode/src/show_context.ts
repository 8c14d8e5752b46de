import * as vscode from "vscode";
import { describe, type Context } from "./context";
import { REPORT_SCHEME, type Reports } from "./reports";
import type { Server } from "./server";

/** Shows what the model sees of other files, and why, beside the active file. */
export async function showContext({ client }: Server, reports: Reports): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  if (!document || document.uri.scheme === REPORT_SCHEME || !client?.isRunning()) return;
  const context = await client.sendRequest<Context | null>("warmline/context", {
    uri: document.uri.toString(),
  });
  const name = vscode.workspace.asRelativePath(document.uri);
  const path = `${name}/What the model sees.md`;
  await reports.show(path, describe(name, context), vscode.ViewColumn.Beside);
}
