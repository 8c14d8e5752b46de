import * as vscode from "vscode";
import { commands } from "./commands";
import { cursorNotices } from "./cursor";
import { OwnEnvironment } from "./environment/offer";
import { interpreterChanges } from "./interpreter";
import { RemoteToken } from "./remote_token";
import { Server } from "./server";
import { Snooze } from "./snooze";
import { StatusItem } from "./status";
import { watchOthers } from "./watch_others";

let server: Server | undefined;

/** Waits for nothing: a question to the user may stand unanswered. */
export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("Warmline", { log: true });
  const status = new StatusItem();
  const snooze = new Snooze();
  const own = new OwnEnvironment(context, log);
  const token = new RemoteToken(context.secrets);
  const ours = (server = new Server(own, log, status, snooze, token));
  const follow = (): void => void ours.follow();
  context.subscriptions.push(
    log,
    status,
    snooze,
    own,
    ...commands(ours, log, snooze, token),
    token.onChange(() => void ours.again()),
    ...cursorNotices(() => ours.client),
    interpreterChanges(follow),
    watchOthers(context, status),
    vscode.workspace.onDidGrantWorkspaceTrust(follow),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("warmline.command")) follow();
    }),
  );
  void ours.start();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
