import * as vscode from "vscode";
import { commands } from "./commands";
import { cursorNotifications } from "./cursor";
import { EnvironmentInstaller } from "./environment/installer";
import { interpreterChanges } from "./interpreter";
import { processEnvironment } from "./process_environment";
import { RemoteToken } from "./remote_token";
import { Server } from "./server";
import { Snooze } from "./snooze";
import { setWorkspaceSource } from "./start";
import { StatusItem } from "./status";
import { serverDeps } from "./server_deps";
import { watchExtensions } from "./watch_extensions";
import { currentWorkspace } from "./current_workspace";

const DEBOUNCE_MS = 1000;

let server: Server | undefined;

/** Starts the server without waiting: the user may leave a question unanswered. */
export function activate(context: vscode.ExtensionContext): void {
  setWorkspaceSource(currentWorkspace);
  const log = vscode.window.createOutputChannel("Warmline", { log: true });
  const status = new StatusItem();
  const snooze = new Snooze((until) => {
    status.snoozed(until?.toLocaleTimeString([], { timeStyle: "short" }));
  });
  const installer = new EnvironmentInstaller(context, log);
  const token = new RemoteToken(context.secrets);
  const network = (): Promise<NodeJS.ProcessEnv> => processEnvironment(context.globalStorageUri);
  const environment = async (): Promise<NodeJS.ProcessEnv> => ({
    ...(await network()),
    ...(await token.environment()),
  });
  const events = { status, log, environment };
  const completeInstall = (): Promise<void> => current.completeInstall();
  const current: Server = new Server(
    serverDeps(context, installer, events, snooze, completeInstall),
  );
  server = current;
  const restartIfChanged = (): void => void current.restartIfChanged();
  let debounce: NodeJS.Timeout | undefined;
  const warn = (error: unknown): void => {
    log.warn(`The Python extension did not start: ${String(error)}`);
  };
  context.subscriptions.push(
    log,
    status,
    snooze,
    installer,
    ...commands(current, log, status, snooze, token, network),
    token.onChange(() => void current.restart()),
    cursorNotifications(() => current.client),
    interpreterChanges(restartIfChanged, warn),
    watchExtensions(context, status),
    vscode.workspace.onDidGrantWorkspaceTrust(restartIfChanged),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (!event.affectsConfiguration("warmline.command")) return;
      // the setting changes with each character that is typed into it
      clearTimeout(debounce);
      debounce = setTimeout(restartIfChanged, DEBOUNCE_MS);
    }),
    new vscode.Disposable(() => {
      clearTimeout(debounce);
    }),
  );
  void current.start();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
