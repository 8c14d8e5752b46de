import * as vscode from "vscode";
import { commands } from "./commands";
import { cursorNotices } from "./cursor";
import { OwnEnvironment } from "./environment/offer";
import { interpreterChanges } from "./interpreter";
import { ourEnvironment } from "./network";
import { RemoteToken } from "./remote_token";
import { Server } from "./server";
import { Snooze } from "./snooze";
import { startsIn } from "./start";
import { StatusItem } from "./status";
import { surroundings } from "./surroundings";
import { watchOthers } from "./watch_others";
import { workspaceNow } from "./workspace_now";

const SETTLED_MS = 1000;

let server: Server | undefined;

/** Waits for nothing: a question to the user may stand unanswered. */
export function activate(context: vscode.ExtensionContext): void {
  startsIn(workspaceNow);
  const log = vscode.window.createOutputChannel("Warmline", { log: true });
  const status = new StatusItem();
  const snooze = new Snooze((until) => {
    status.snoozed(until?.toLocaleTimeString([], { timeStyle: "short" }));
  });
  const own = new OwnEnvironment(context, log);
  const token = new RemoteToken(context.secrets);
  const network = (): Promise<NodeJS.ProcessEnv> => ourEnvironment(context.globalStorageUri);
  const environment = async (): Promise<NodeJS.ProcessEnv> => ({
    ...(await network()),
    ...(await token.environment()),
  });
  const ears = { status, log, environment };
  const complete = (): Promise<void> => ours.complete();
  const ours: Server = new Server(surroundings(context, own, ears, snooze, complete));
  server = ours;
  const follow = (): void => void ours.follow();
  let settled: NodeJS.Timeout | undefined;
  const warn = (error: unknown): void => {
    log.warn(`the Python extension did not start: ${String(error)}`);
  };
  context.subscriptions.push(
    log,
    status,
    snooze,
    own,
    ...commands(ours, log, snooze, token, network),
    token.onChange(() => void ours.again()),
    cursorNotices(() => ours.client),
    interpreterChanges(follow, warn),
    watchOthers(context, status),
    vscode.workspace.onDidGrantWorkspaceTrust(follow),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (!event.affectsConfiguration("warmline.command")) return;
      // what is typed comes piece by piece
      clearTimeout(settled);
      settled = setTimeout(follow, SETTLED_MS);
    }),
    new vscode.Disposable(() => {
      clearTimeout(settled);
    }),
  );
  void ours.start();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
