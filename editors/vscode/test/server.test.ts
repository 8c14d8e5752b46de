import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Server,
  type OnInstallState,
  type Client,
  type ManagedEnvironment,
  type ServerDeps,
} from "../src/server";
import type { Status } from "../src/status_text";

/** A promise that the test settles. */
class Deferred<Value> {
  settle!: (value: Value) => void;
  fail!: (error: Error) => void;
  readonly promise = new Promise<Value>((resolve, reject) => {
    this.settle = resolve;
    this.fail = reject;
  });
}

class FakeClient implements Client {
  readonly starting = new Deferred<string | undefined>();
  state: "starting" | "running" | "ended" | "failed" = "starting";

  constructor(readonly command: string) {}

  async start(): Promise<string | undefined> {
    try {
      const version = await this.starting.promise;
      this.state = "running";
      return version;
    } catch (error) {
      this.state = "failed";
      throw error;
    }
  }

  end(): Promise<void> {
    this.state = "ended";
    return Promise.resolve();
  }

  isUp(): boolean {
    return this.state === "starting" || this.state === "running";
  }

  isRunning(): boolean {
    return this.state === "running";
  }

  sendRequest<Answer>(): Promise<Answer> {
    return assert.fail("unexpected request");
  }

  sendNotification(): Promise<void> {
    return assert.fail("unexpected notification");
  }
}

/** A window: the command by the settings, the user's answer, and the launched servers. */
class Window {
  found: string | Error | undefined;
  environment: string | undefined;
  readonly answer = new Deferred<string | undefined>();
  readonly clients: FakeClient[] = [];
  readonly states: string[] = [];
  readonly started: (string | undefined)[] = [];
  nOffered = 0;
  isDisposed = false;

  private readonly managed: ManagedEnvironment = {
    current: () => Promise.resolve(this.environment),
    offer: (onState) => {
      this.nOffered++;
      return this.install(onState);
    },
    install: (onState) => this.install(onState),
    dispose: () => (this.isDisposed = true),
  };

  readonly deps: ServerDeps = {
    environment: this.managed,
    find: () =>
      this.found instanceof Error ? Promise.reject(this.found) : Promise.resolve(this.found),
    launch: (command) => {
      const client = new FakeClient(command);
      this.clients.push(client);
      return client;
    },
    started: (_, version) => this.started.push(version),
    status: {
      show: ({ state, message }: Status) =>
        this.states.push(state === "error" ? `error: ${message ?? ""}` : state),
      registered: () => undefined,
    },
    log: { error: () => undefined },
  };

  readonly server = new Server(this.deps);

  get commands(): string[] {
    return this.clients.map(({ command, state }) => `${command} ${state}`);
  }

  private async install(onState: OnInstallState): Promise<string | undefined> {
    const installed = await this.answer.promise;
    if (installed !== undefined) onState("installing");
    this.environment = installed;
    return installed;
  }
}

/** Lets pending promises settle. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test("an unanswered question does not block changes", async () => {
  const window = new Window();
  await window.server.start();
  assert.equal(window.nOffered, 1);
  assert.deepEqual(window.commands, []);
  assert.equal(window.states.at(-1), "not installed");
  window.found = "/mine";
  await window.server.restartIfChanged();
  assert.deepEqual(window.commands, ["/mine starting"]);
  // a late answer changes nothing: the setting has precedence
  window.answer.settle("/own");
  await settle();
  assert.deepEqual(window.commands, ["/mine starting"]);
});

test("after the user agrees, the environment is installed and the server started", async () => {
  const window = new Window();
  await window.server.start();
  window.answer.settle("/own");
  await settle();
  assert.deepEqual(window.commands, ["/own starting"]);
  assert.deepEqual(window.states.slice(-2), ["installing", "starting"]);
});

test("after the user declines, the status says what is missing", async () => {
  const window = new Window();
  await window.server.start();
  window.answer.settle(undefined);
  await settle();
  assert.deepEqual(window.commands, []);
  assert.equal(window.states.at(-1), "not installed");
});

test("a server that hangs while starting is stopped by the next start", async () => {
  const window = new Window();
  window.found = "/mine";
  await window.server.start();
  await window.server.start();
  assert.deepEqual(window.commands, ["/mine ended", "/mine starting"]);
  // the failure of the stopped server is not shown
  window.clients[0]?.starting.fail(new Error("killed"));
  await settle();
  assert.equal(window.states.at(-1), "starting");
});

test("a failed start is shown, and the next change starts again", async () => {
  const window = new Window();
  window.found = "/mine";
  await window.server.start();
  window.clients[0]?.starting.fail(new Error("no such interpreter"));
  await settle();
  assert.equal(window.states.at(-1), "error: no such interpreter");
  await window.server.restartIfChanged();
  assert.deepEqual(window.commands, ["/mine ended", "/mine starting"]);
});

test("the same command is not restarted, another command replaces it", async () => {
  const window = new Window();
  window.found = "/mine";
  await window.server.start();
  window.clients[0]?.starting.settle("0.1.0");
  await settle();
  assert.deepEqual(window.started, ["0.1.0"]);
  await window.server.restartIfChanged();
  assert.deepEqual(window.commands, ["/mine running"]);
  window.found = "/other";
  await window.server.restartIfChanged();
  assert.deepEqual(window.commands, ["/mine ended", "/other starting"]);
  await window.server.restart();
  assert.deepEqual(window.commands.slice(1), ["/other ended", "/other starting"]);
});

test("a wrong setting is shown, and the next change is followed", async () => {
  const window = new Window();
  window.found = new Error("no file /mine");
  await window.server.start();
  assert.equal(window.states.at(-1), "error: no file /mine");
  assert.equal(window.nOffered, 0);
  window.found = "/mine";
  await window.server.restartIfChanged();
  assert.deepEqual(window.commands, ["/mine starting"]);
});

test("the old server runs until the new environment is installed", async () => {
  const window = new Window();
  window.environment = "/own";
  await window.server.start();
  window.clients[0]?.starting.settle(undefined);
  await settle();
  const reinstalled = window.server.reinstall();
  await settle();
  assert.deepEqual(window.commands, ["/own running"]);
  window.answer.settle("/own2");
  await reinstalled;
  assert.deepEqual(window.commands, ["/own ended", "/own2 starting"]);
  assert.ok(!window.states.includes("installing"), "the server's own state is shown");
});

test("after stop nothing is started, even if an installation was in progress", async () => {
  const window = new Window();
  await window.server.start();
  await window.server.stop();
  assert.ok(window.isDisposed);
  window.answer.settle("/own");
  window.found = "/mine";
  await window.server.start();
  await settle();
  assert.deepEqual(window.commands, []);
});
