import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type * as vscode from "vscode";
import {
  CloseAction,
  LanguageClient,
  State,
  type ErrorHandler,
  type LanguageClientOptions,
} from "vscode-languageclient/node";
import { showBetterCompletion } from "./better_completion";
import { announcement } from "./client_options";
import type { Client } from "./server";
import { start } from "./start";
import type { StatusItem } from "./status";
import { STOPPED, type Status } from "./status_text";

// how long a server may take to exit by itself, and again after SIGTERM
const GRACE_MS = 2000;

/** Where a client reports events, and the environment that it starts the server with. */
export interface ClientEvents {
  status: StatusItem;
  log: vscode.LogOutputChannel;
  /** The server's environment variables; evaluated at each start. */
  environment: () => Promise<NodeJS.ProcessEnv>;
}

/** A language client and its server process; `end` stops the process in any state. */
export class WarmlineClient implements Client {
  private readonly client: QuietClient;
  private child: ChildProcess | undefined;
  private wasRunning = false;
  private isEnded = false;

  constructor(
    private readonly command: string,
    options: LanguageClientOptions,
    private readonly events: ClientEvents,
  ) {
    const errorHandler: ErrorHandler = {
      error: (...args) => defaultHandler.error(...args),
      // a server that never ran would fail again
      closed: () =>
        this.isEnded || !this.wasRunning
          ? { action: CloseAction.DoNotRestart, handled: true }
          : defaultHandler.closed(),
    };
    this.client = new QuietClient("warmline", "Warmline", () => this.spawnServer(), {
      ...options,
      errorHandler,
      // start() reports it
      initializationFailedHandler: () => false,
    });
    const defaultHandler = this.client.createDefaultErrorHandler();
    this.client.registerFeature(announcement);
    this.client.onNotification("warmline/status", (status: Status) => {
      events.status.show(status);
    });
    this.client.onNotification("warmline/better", showBetterCompletion);
    this.client.onDidChangeState(({ newState }) => {
      this.onState(newState);
    });
  }

  async start(): Promise<string | undefined> {
    try {
      await this.client.start();
    } catch (error) {
      // the exit code says more than the failed write does
      const { exitCode } = this.child ?? {};
      if (exitCode == null || exitCode < 0) throw error;
      const message = `${this.command} exited with code ${exitCode} right after it started; see the log`;
      throw new Error(message, { cause: error });
    }
    return this.client.initializeResult?.serverInfo?.version;
  }

  async end(): Promise<void> {
    this.isEnded = this.client.isQuiet = true;
    const child = this.child;
    if (!this.client.isRunning()) child?.kill();
    else {
      await this.client.dispose(GRACE_MS).catch((error: unknown) => {
        this.events.log.warn(String(error));
      });
    }
    if (!child || hasEnded(child)) return;
    const kill = setTimeout(() => child.kill("SIGKILL"), 2 * GRACE_MS);
    const terminate = setTimeout(() => child.kill(), GRACE_MS);
    child.once("exit", () => {
      clearTimeout(terminate);
      clearTimeout(kill);
    });
  }

  isUp(): boolean {
    return !this.isEnded && [State.Starting, State.Running].includes(this.client.state);
  }

  isRunning(): boolean {
    return this.client.isRunning();
  }

  sendRequest<Answer>(method: string, params: unknown): Promise<Answer> {
    return this.client.sendRequest<Answer>(method, params);
  }

  sendNotification(method: string, params: unknown): Promise<void> {
    return this.client.sendNotification(method, params);
  }

  /** Starts the server: the first time and after each crash. */
  private async spawnServer(): Promise<ChildProcess> {
    const env = await this.events.environment();
    const { log } = this.events;
    const child = start(this.command, ["lsp"], { env });
    this.child = child;
    child.on("exit", (code, signal) => {
      log.info(`the server exited: ${signal ?? String(code)}`);
    });
    child.on("error", (error) => {
      log.error(String(error));
    });
    await once(child, "spawn").catch((error: unknown) => {
      throw new Error(`${this.command} could not be started: ${String(error)}`);
    });
    if (this.isEnded) child.kill();
    return child;
  }

  private onState(state: State): void {
    if (this.isEnded) return;
    const { status } = this.events;
    if (state === State.Running) {
      this.wasRunning = true;
      this.client.isQuiet = false;
      return;
    }
    // start() throws a more detailed error
    if (!this.wasRunning && state !== State.Starting) return;
    status.registered(false);
    status.show(state === State.Starting ? { state: "starting" } : STOPPED);
  }
}

/** A client that shows no errors of the first start or of a requested stop: the extension reports those itself. */
class QuietClient extends LanguageClient {
  isQuiet = true;

  override error(message: string, data?: unknown, shown: boolean | "force" = true): void {
    super.error(message, data, this.isQuiet ? false : shown);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}
