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
import { showBetter } from "./better";
import { announcement } from "./client_options";
import type { Client } from "./server";
import { start } from "./start";
import type { StatusItem } from "./status";
import { GONE, type Status } from "./status_text";

// what a server may take to end by itself, and then to obey
const GRACE_MS = 2000;

/** Where a client says what happens. */
export interface Ears {
  status: StatusItem;
  log: vscode.LogOutputChannel;
  /** Asked at each start: what the server is told by its environment. */
  environment: () => Promise<NodeJS.ProcessEnv>;
}

/** A client of one program, and the program: it is ended whatever it is at. */
export class WarmlineClient implements Client {
  private readonly client: QuietClient;
  private child: ChildProcess | undefined;
  private wasRunning = false;
  private isEnded = false;

  constructor(
    private readonly command: string,
    options: LanguageClientOptions,
    private readonly ears: Ears,
  ) {
    const errorHandler: ErrorHandler = {
      error: (...met) => usual.error(...met),
      // one that never ran does not run by itself the next time
      closed: () =>
        this.isEnded || !this.wasRunning
          ? { action: CloseAction.DoNotRestart, handled: true }
          : usual.closed(),
    };
    this.client = new QuietClient("warmline", "Warmline", () => this.spawned(), {
      ...options,
      errorHandler,
      // start() tells of it
      initializationFailedHandler: () => false,
    });
    const usual = this.client.createDefaultErrorHandler();
    this.client.registerFeature(announcement);
    this.client.onNotification("warmline/status", (sent: Status) => {
      ears.status.show(sent);
    });
    this.client.onNotification("warmline/better", showBetter);
    this.client.onDidChangeState(({ newState }) => {
      this.tell(newState);
    });
  }

  async start(): Promise<string | undefined> {
    try {
      await this.client.start();
    } catch (error) {
      // what could not be written to it says less
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
        this.ears.log.warn(String(error));
      });
    }
    if (!child || hasEnded(child)) return;
    const forced = setTimeout(() => child.kill("SIGKILL"), 2 * GRACE_MS);
    const asked = setTimeout(() => child.kill(), GRACE_MS);
    child.once("exit", () => {
      clearTimeout(asked);
      clearTimeout(forced);
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

  /** The program, at the first start and at each that follows a crash. */
  private async spawned(): Promise<ChildProcess> {
    const env = await this.ears.environment();
    const { log } = this.ears;
    const child = start(this.command, ["lsp"], { env });
    this.child = child;
    child.on("exit", (code, signal) => {
      log.info(`the server ended: ${signal ?? String(code)}`);
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

  private tell(state: State): void {
    if (this.isEnded) return;
    const { status } = this.ears;
    if (state === State.Running) {
      this.wasRunning = true;
      this.client.isQuiet = false;
      return;
    }
    // who waits for the start is told more
    if (!this.wasRunning && state !== State.Starting) return;
    status.registered(false);
    status.show(state === State.Starting ? { state: "starting" } : GONE);
  }
}

/** One that shows nothing of a first start, which is told of by us, nor of an end that we asked for. */
class QuietClient extends LanguageClient {
  isQuiet = true;

  override error(message: string, data?: unknown, shown: boolean | "force" = true): void {
    super.error(message, data, this.isQuiet ? false : shown);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}
