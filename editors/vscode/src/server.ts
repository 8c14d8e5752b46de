import { NOT_FOUND } from "./server_command";
import type { Status } from "./status_text";

/** A client and the server that it started. */
export interface Client {
  /** Starts the server; its version. */
  start(): Promise<string | undefined>;
  /** Stops the server in any state, and kills one that hangs. Never rejects. */
  end(): Promise<void>;
  /** Whether it is starting or running. */
  isUp(): boolean;
  /** Whether it accepts requests. */
  isRunning(): boolean;
  sendRequest<Answer>(method: string, params: unknown): Promise<Answer>;
  sendNotification(method: string, params: unknown): Promise<void>;
}

/** Called when the state of an installation changes, also while a failed one waits for the user to retry. */
export type OnInstallState = (state: "installing" | "not installed") => void;

/** The Python environment that the extension installs, with the dialogs for it. */
export interface ManagedEnvironment {
  /** The command in it, if it is installed and up to date. */
  current(): Promise<string | undefined>;
  /** Asks the user and installs what is missing, if still needed then; the command, if there is one. */
  offer(onState: OnInstallState, isNeeded: () => boolean): Promise<string | undefined>;
  /** Installs what is missing, or everything again, because the user requested it. */
  install(onState: OnInstallState, isRebuild: boolean): Promise<string | undefined>;
  dispose(): void;
}

/** What `Server` needs to find, start and report a server. */
export interface ServerDeps {
  environment: ManagedEnvironment;
  /** The command by the settings and the interpreter; undefined if there is none. */
  find(): Promise<string | undefined>;
  launch(command: string): Client;
  /** Called after a server has started. */
  started(command: string, version: string | undefined): void;
  status: { show(status: Status): void; registered(isRegistered: boolean): void };
  log: { error(message: string): void };
}

/** The window's server: finds it, starts it, and restarts it when settings or interpreter change. */
export class Server {
  client: Client | undefined;
  /** The command that runs, or failed to start. */
  command: string | undefined;
  private isStopped = false;
  // changes run one after another; none waits for the user, pip or a server's answer
  private changes: Promise<void> = Promise.resolve();

  constructor(private readonly deps: ServerDeps) {}

  /** Stops the current server and starts one. */
  start(): Promise<void> {
    return this.change(() => this.run());
  }

  /** Restarts if the settings and the interpreter now select another server, or if none runs. */
  restartIfChanged(): Promise<void> {
    return this.change(async () => {
      const wanted = await this.wantedCommand();
      if (!this.client?.isUp() || wanted !== this.command) await this.run();
    });
  }

  /** Restarts the server with new environment variables. */
  restart(): Promise<void> {
    return this.change(async () => {
      if (this.client) await this.run();
    });
  }

  /** Reinstalls the extension's environment, then starts the server. */
  reinstall(): Promise<void> {
    return this.install((onState) => this.deps.environment.install(onState, true));
  }

  /** Installs what is missing from the extension's environment, then starts the server. */
  completeInstall(): Promise<void> {
    return this.install((onState) => this.deps.environment.install(onState, false));
  }

  /** Stops for good, without waiting for changes in progress. */
  stop(): Promise<void> {
    this.isStopped = true;
    this.deps.environment.dispose();
    return this.end();
  }

  private change(work: () => Promise<void>): Promise<void> {
    this.changes = this.changes
      .then(() => (this.isStopped ? undefined : work()))
      .catch((error: unknown) => {
        this.fail(error);
      });
    return this.changes;
  }

  private async run(): Promise<void> {
    await this.end();
    const command = await this.wantedCommand();
    if (command !== undefined) {
      this.launch(command);
      return;
    }
    const { environment } = this.deps;
    void this.install((onState) => environment.offer(onState, () => !this.client?.isUp()));
  }

  /** Installs outside of the queue of changes: the user may not answer, and pip takes minutes. */
  private async install(
    work: (onState: OnInstallState) => Promise<string | undefined>,
  ): Promise<void> {
    const show = (status: Status): void => {
      if (!this.client?.isUp()) this.deps.status.show(status);
    };
    const missing = { state: "not installed", message: NOT_FOUND };
    show(missing);
    try {
      const installed = await work((state) => {
        show(state === "installing" ? { state } : missing);
      });
      if (installed === undefined) show(missing);
      else await this.change(() => this.startInstalled(installed));
    } catch (error) {
      this.fail(error);
    }
  }

  /** Starts the server after an installation; a command from the settings has precedence. */
  private async startInstalled(installed: string): Promise<void> {
    const command = (await this.wantedCommand()) ?? installed;
    if (this.client?.isUp() && command === this.command) return;
    await this.end();
    this.launch(command);
  }

  private async wantedCommand(): Promise<string | undefined> {
    return (await this.deps.find()) ?? (await this.deps.environment.current());
  }

  private launch(command: string): void {
    if (this.isStopped) return;
    const client = this.deps.launch(command);
    this.client = client;
    this.command = command;
    this.deps.status.show({ state: "starting" });
    // not awaited: a hanging server must not block the change that stops it
    client.start().then(
      (version) => {
        if (this.client === client) this.deps.started(command, version);
      },
      (error: unknown) => {
        if (this.client === client) this.fail(error);
      },
    );
  }

  private async end(): Promise<void> {
    const client = this.client;
    this.client = this.command = undefined;
    await client?.end();
    this.deps.status.registered(false);
  }

  private fail(error: unknown): void {
    this.deps.log.error(String(error));
    const message = error instanceof Error ? error.message : String(error);
    this.deps.status.show({ state: "error", message });
  }
}
