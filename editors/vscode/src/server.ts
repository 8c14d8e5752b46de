import * as vscode from "vscode";
import { LanguageClient, type ServerOptions } from "vscode-languageclient/node";
import { showBetter } from "./better";
import { clientOptions } from "./client_options";
import type { OwnEnvironment } from "./environment/offer";
import { workspaceInterpreter } from "./interpreter";
import type { RemoteToken } from "./remote_token";
import { NOT_FOUND, serverCommand } from "./server_command";
import type { Snooze } from "./snooze";
import type { Status, StatusItem } from "./status";

/** The server of this window: found, started, and started anew where it may be another one. */
export class Server {
  client: LanguageClient | undefined;
  /** The program that runs, or was to run. */
  command: string | undefined;
  // one change after another
  private changes: Promise<void> = Promise.resolve();

  constructor(
    private readonly own: OwnEnvironment,
    private readonly log: vscode.LogOutputChannel,
    private readonly status: StatusItem,
    private readonly snooze: Snooze,
    private readonly token: RemoteToken,
  ) {}

  start(): Promise<void> {
    return this.change(() => this.run());
  }

  /** Starts the server that settings and interpreter lead to now, where it is another one. */
  follow(): Promise<void> {
    return this.change(async () => {
      const found = (await this.found()) ?? this.own.finished();
      if (this.client && found === this.command) return;
      await this.end();
      await this.run();
    });
  }

  /** Starts the same server again, with what it is told at its start. */
  again(): Promise<void> {
    return this.change(async () => {
      if (!this.client) return;
      await this.end();
      await this.run();
    });
  }

  /** Makes the extension's own environment anew, then starts what there is. */
  remake(): Promise<void> {
    return this.change(async () => {
      await this.end();
      this.status.show({ state: "installing" });
      await this.own.remake();
      await this.run();
    });
  }

  /** For good: it waits for no change that is under way. */
  stop(): Promise<void> {
    this.own.dispose();
    return this.end();
  }

  private change(work: () => Promise<void>): Promise<void> {
    this.changes = this.changes.then(work).catch((error: unknown) => {
      this.log.error(String(error));
      const message = error instanceof Error ? error.message : String(error);
      this.status.show({ state: "error", message });
    });
    return this.changes;
  }

  private async run(): Promise<void> {
    this.command = (await this.found()) ?? (await this.made());
    if (this.command === undefined) throw new Error(NOT_FOUND);
    const program: ServerOptions = {
      command: this.command,
      args: ["lsp"],
      options: { shell: false, env: { ...process.env, ...(await this.token.environment()) } },
    };
    const options = clientOptions(this.log, this.status, this.snooze);
    const client = new LanguageClient("warmline", "Warmline", program, options);
    client.onNotification("warmline/status", (sent: Status) => {
      this.status.show(sent);
    });
    client.onNotification("warmline/better", showBetter);
    this.client = client;
    this.status.show({ state: "starting" });
    await client.start();
  }

  private async end(): Promise<void> {
    const client = this.client;
    this.client = this.command = undefined;
    // one that failed to start has nothing to stop
    if (client?.isRunning()) await client.stop();
    this.status.registered(false);
  }

  /** An untrusted workspace's own setting and interpreter are not used: see restrictedConfigurations. */
  private async found(): Promise<string | undefined> {
    const found = serverCommand({
      setting: vscode.workspace.getConfiguration("warmline").get("command", ""),
      interpreter: vscode.workspace.isTrusted ? await workspaceInterpreter() : undefined,
      searchPath: process.env["PATH"] ?? "",
      isWindows: process.platform === "win32",
    });
    if (found) this.log.info(`the server is ${found.command}, found by the ${found.from}`);
    return found?.command;
  }

  private made(): Promise<string | undefined> {
    this.status.show({ state: "not installed", message: NOT_FOUND });
    return this.own.command(() => {
      this.status.show({ state: "installing" });
    });
  }
}
