import * as vscode from "vscode";
import {
  LanguageClient,
  type LanguageClientOptions,
  type ServerOptions,
} from "vscode-languageclient/node";
import { StatusItem, type Status } from "./status";

const CURSOR_EVERY_MS = 60;

let client: LanguageClient | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const log = vscode.window.createOutputChannel("Warmline", { log: true });
  const status = new StatusItem();
  context.subscriptions.push(log, status);
  client = new LanguageClient("warmline", "Warmline", serverOptions(), clientOptions(log, status));
  client.onNotification("warmline/status", (sent: Status) => status.show(sent));
  context.subscriptions.push(...commands(log), ...cursorNotices());
  try {
    await client.start();
  } catch (error) {
    status.show({ state: "error", message: "The command warmline was not found: see the log" });
    log.error(String(error), "Set warmline.command, or install Warmline so that it is on the PATH.");
  }
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}

/** The setting first, then the PATH. An untrusted workspace's own setting is not used. */
function serverOptions(): ServerOptions {
  const found = vscode.workspace.getConfiguration("warmline").inspect<string>("command");
  const trusted = vscode.workspace.isTrusted ? found?.workspaceValue : undefined;
  const command = trusted || found?.globalValue || "warmline";
  return { command, args: ["lsp"], options: { shell: false } };
}

function clientOptions(log: vscode.LogOutputChannel, status: StatusItem): LanguageClientOptions {
  return {
    documentSelector: [{ scheme: "file" }, { scheme: "untitled" }],
    outputChannel: log,
    initializationOptions: settings(),
    synchronize: { configurationSection: "warmline" },
    middleware: {
      // ready is said once VS Code asks us: it does not ask again when a provider comes late
      handleRegisterCapability: async (params, next) => {
        await next(params, new vscode.CancellationTokenSource().token);
        if (params.registrations.some(isCompletion)) status.registered(true);
      },
      handleUnregisterCapability: async (params, next) => {
        if (params.unregisterations.some(isCompletion)) status.registered(false);
        await next(params, new vscode.CancellationTokenSource().token);
      },
      workspace: { configuration: () => [settings()] },
    },
  };
}

function isCompletion(registration: { method: string }): boolean {
  return registration.method === "textDocument/inlineCompletion";
}

/** The server's settings: ours without those that only the extension uses. */
function settings(): Record<string, unknown> {
  const all = vscode.workspace.getConfiguration().get<Record<string, unknown>>("warmline") ?? {};
  const { command: _, ...rest } = all;
  return rest;
}

/** LSP does not tell a server where the cursor is; the engine reads there first. */
function cursorNotices(): vscode.Disposable[] {
  let newest: vscode.TextEditor | undefined;
  let timer: NodeJS.Timeout | undefined;
  const send = (): void => {
    timer = undefined;
    if (!newest || !client?.isRunning()) return;
    const { line, character } = newest.selection.active;
    void client.sendNotification("warmline/didMoveCursor", {
      textDocument: { uri: newest.document.uri.toString(), version: newest.document.version },
      position: { line, character },
    });
  };
  const note = (editor: vscode.TextEditor | undefined): void => {
    newest = editor;
    timer ??= setTimeout(send, CURSOR_EVERY_MS);
  };
  return [
    vscode.window.onDidChangeTextEditorSelection((event) => note(event.textEditor)),
    vscode.window.onDidChangeActiveTextEditor(note),
    new vscode.Disposable(() => clearTimeout(timer)),
  ];
}

function commands(log: vscode.LogOutputChannel): vscode.Disposable[] {
  const configuration = () => vscode.workspace.getConfiguration("warmline");
  const register = vscode.commands.registerCommand;
  return [
    register("warmline.toggle", () =>
      configuration().update("enable", !configuration().get("enable"), true),
    ),
    register("warmline.restart", () => client?.sendNotification("warmline/restart", {})),
    register("warmline.showLog", () => log.show()),
    register("warmline.statistics", async () => {
      const counts = await client?.sendRequest<Record<string, unknown>>("warmline/statistics", {});
      const lines = Object.entries(counts ?? {}).map(([name, value]) => `${name}: ${value ?? "-"}`);
      void vscode.window.showInformationMessage(lines.join(", "));
    }),
  ];
}
