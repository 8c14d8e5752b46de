import * as vscode from "vscode";
import { LanguageClient, type ServerOptions } from "vscode-languageclient/node";
import { clientOptions } from "./client_options";
import { commands } from "./commands";
import { cursorNotices } from "./cursor";
import { ownCommand } from "./environment/offer";
import { workspaceInterpreter } from "./interpreter";
import { NOT_FOUND, serverCommand } from "./server_command";
import { Snooze } from "./snooze";
import { StatusItem, type Status } from "./status";

let client: LanguageClient | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const log = vscode.window.createOutputChannel("Warmline", { log: true });
  const status = new StatusItem();
  const snooze = new Snooze();
  context.subscriptions.push(log, status, snooze);
  context.subscriptions.push(
    ...commands(() => client, log, snooze),
    ...cursorNotices(() => client),
  );
  try {
    const options = clientOptions(log, status, snooze);
    client = new LanguageClient("warmline", "Warmline", await server(context, log), options);
    client.onNotification("warmline/status", (sent: Status) => {
      status.show(sent);
    });
    await client.start();
  } catch (error) {
    log.error(String(error));
    status.show({
      state: "error",
      message: error instanceof Error ? error.message : String(error),
    });
  }
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}

/** An untrusted workspace's own setting and interpreter are not used: see restrictedConfigurations. */
async function server(
  context: vscode.ExtensionContext,
  log: vscode.LogOutputChannel,
): Promise<ServerOptions> {
  const found = serverCommand({
    setting: vscode.workspace.getConfiguration("warmline").get("command", ""),
    interpreter: vscode.workspace.isTrusted ? await workspaceInterpreter() : undefined,
    searchPath: process.env["PATH"] ?? "",
    isWindows: process.platform === "win32",
  });
  const command = found?.command ?? (await ownCommand(context, log));
  if (command === undefined) throw new Error(NOT_FOUND);
  log.info(`the server is ${command}, found by the ${found?.from ?? "extension's environment"}`);
  return { command, args: ["lsp"], options: { shell: false } };
}
