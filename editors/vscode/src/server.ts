import { NOT_FOUND } from "./server_command";
import type { Status } from "./status_text";

/** A server that was started, and the way to talk to it. */
export interface Client {
  /** The version that the server tells, once it can be asked. */
  start(): Promise<string | undefined>;
  /** For good, in whatever state it is; a server that hangs is killed. It never rejects. */
  end(): Promise<void>;
  /** Whether it starts or runs. */
  isUp(): boolean;
  /** Whether it can be asked. */
  isRunning(): boolean;
  sendRequest<Answer>(method: string, params: unknown): Promise<Answer>;
  sendNotification(method: string, params: unknown): Promise<void>;
}

/** Told where making an environment is at: a failure may be shown for long, and another try follow it. */
export type At = (state: "installing" | "not installed") => void;

/** The environment that the extension makes, with what the user is asked and told. */
export interface Own {
  /** The command in it where it can be used as it is. */
  current(): Promise<string | undefined>;
  /** Makes what is missing, where the user agrees and it is still needed then; the command that there is at last. */
  offer(at: At, isNeeded: () => boolean): Promise<string | undefined>;
  /** Makes what is missing, or all of it anew, as the user asked for. */
  make(at: At, isAnew: boolean): Promise<string | undefined>;
  dispose(): void;
}

/** What a server is found, started and told of with. */
export interface Surroundings {
  own: Own;
  /** The command that settings and interpreter lead to; undefined where they lead to none. */
  find(): Promise<string | undefined>;
  launch(command: string): Client;
  /** Notes that a server started. */
  started(command: string, version: string | undefined): void;
  status: { show(status: Status): void; registered(isRegistered: boolean): void };
  log: { error(message: string): void };
}

/** The server of this window: found, started, and started anew where it may be another one. */
export class Server {
  client: Client | undefined;
  /** The program that runs, or was to run. */
  command: string | undefined;
  private isOver = false;
  // one change after another; none waits for the user, for pip or for a server's answer
  private changes: Promise<void> = Promise.resolve();

  constructor(private readonly around: Surroundings) {}

  /** Starts the server that there is; what runs or hangs gives way. */
  start(): Promise<void> {
    return this.change(() => this.run());
  }

  /** Starts the server that settings and interpreter lead to now, where it is another one. */
  follow(): Promise<void> {
    return this.change(async () => {
      const wanted = await this.wanted();
      if (!this.client?.isUp() || wanted !== this.command) await this.run();
    });
  }

  /** Starts the same server again, with what it is told at its start. */
  again(): Promise<void> {
    return this.change(async () => {
      if (this.client) await this.run();
    });
  }

  /** Makes the extension's own environment anew, then starts what there is. */
  remake(): Promise<void> {
    return this.make((at) => this.around.own.make(at, true));
  }

  /** Makes what is missing of the extension's own environment, then starts what there is. */
  complete(): Promise<void> {
    return this.make((at) => this.around.own.make(at, false));
  }

  /** For good: it waits for no change that is under way. */
  stop(): Promise<void> {
    this.isOver = true;
    this.around.own.dispose();
    return this.end();
  }

  private change(work: () => Promise<void>): Promise<void> {
    this.changes = this.changes
      .then(() => (this.isOver ? undefined : work()))
      .catch((error: unknown) => {
        this.fail(error);
      });
    return this.changes;
  }

  private async run(): Promise<void> {
    await this.end();
    const command = await this.wanted();
    if (command !== undefined) {
      this.launch(command);
      return;
    }
    const { own } = this.around;
    void this.make((at) => own.offer(at, () => !this.client?.isUp()));
  }

  /** Makes an environment beside the changes, since a question may stand unanswered and pip takes minutes. */
  private async make(work: (at: At) => Promise<string | undefined>): Promise<void> {
    const show = (status: Status): void => {
      if (!this.client?.isUp()) this.around.status.show(status);
    };
    const missing = { state: "not installed", message: NOT_FOUND };
    show(missing);
    try {
      const made = await work((state) => {
        show(state === "installing" ? { state } : missing);
      });
      if (made === undefined) show(missing);
      else await this.change(() => this.take(made));
    } catch (error) {
      this.fail(error);
    }
  }

  /** Starts what is to be used now that an environment was made. */
  private async take(made: string): Promise<void> {
    const command = (await this.wanted()) ?? made;
    if (this.client?.isUp() && command === this.command) return;
    await this.end();
    this.launch(command);
  }

  private async wanted(): Promise<string | undefined> {
    return (await this.around.find()) ?? (await this.around.own.current());
  }

  private launch(command: string): void {
    if (this.isOver) return;
    const client = this.around.launch(command);
    this.client = client;
    this.command = command;
    this.around.status.show({ state: "starting" });
    // not waited for: a server that hangs must not hold up the change that ends it
    client.start().then(
      (version) => {
        if (this.client === client) this.around.started(command, version);
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
    this.around.status.registered(false);
  }

  private fail(error: unknown): void {
    this.around.log.error(String(error));
    const message = error instanceof Error ? error.message : String(error);
    this.around.status.show({ state: "error", message });
  }
}
