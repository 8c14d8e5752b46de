import assert from "node:assert/strict";
import { test } from "node:test";
import { Server, type At, type Client, type Own, type Surroundings } from "../src/server";
import type { Status } from "../src/status_text";

/** Something that is settled by hand. */
class Later<Value> {
  settle!: (value: Value) => void;
  fail!: (error: Error) => void;
  readonly promise = new Promise<Value>((resolve, reject) => {
    this.settle = resolve;
    this.fail = reject;
  });
}

class FakeClient implements Client {
  readonly starting = new Later<string | undefined>();
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
    return assert.fail("nothing is asked");
  }

  sendNotification(): Promise<void> {
    return assert.fail("nothing is told");
  }
}

/** A window: what settings lead to, what the user answers, and the servers that were launched. */
class Window {
  found: string | Error | undefined;
  environment: string | undefined;
  readonly answer = new Later<string | undefined>();
  readonly clients: FakeClient[] = [];
  readonly states: string[] = [];
  readonly started: (string | undefined)[] = [];
  nOffered = 0;
  isOver = false;

  private readonly own: Own = {
    current: () => Promise.resolve(this.environment),
    offer: (at) => {
      this.nOffered++;
      return this.make(at);
    },
    make: (at) => this.make(at),
    dispose: () => (this.isOver = true),
  };

  readonly around: Surroundings = {
    own: this.own,
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

  readonly server = new Server(this.around);

  get commands(): string[] {
    return this.clients.map(({ command, state }) => `${command} ${state}`);
  }

  private async make(at: At): Promise<string | undefined> {
    const made = await this.answer.promise;
    if (made !== undefined) at("installing");
    this.environment = made;
    return made;
  }
}

/** What was begun goes on as far as it can. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test("a question that stands unanswered holds up no change", async () => {
  const window = new Window();
  await window.server.start();
  assert.equal(window.nOffered, 1);
  assert.deepEqual(window.commands, []);
  assert.equal(window.states.at(-1), "not installed");
  window.found = "/mine";
  await window.server.follow();
  assert.deepEqual(window.commands, ["/mine starting"]);
  // answered late, it changes nothing: the setting comes first
  window.answer.settle("/own");
  await settle();
  assert.deepEqual(window.commands, ["/mine starting"]);
});

test("what the user agrees to is made, then started", async () => {
  const window = new Window();
  await window.server.start();
  window.answer.settle("/own");
  await settle();
  assert.deepEqual(window.commands, ["/own starting"]);
  assert.deepEqual(window.states.slice(-2), ["installing", "starting"]);
});

test("who declines is told what is missing", async () => {
  const window = new Window();
  await window.server.start();
  window.answer.settle(undefined);
  await settle();
  assert.deepEqual(window.commands, []);
  assert.equal(window.states.at(-1), "not installed");
});

test("a server that hangs in its start is ended by the next", async () => {
  const window = new Window();
  window.found = "/mine";
  await window.server.start();
  await window.server.start();
  assert.deepEqual(window.commands, ["/mine ended", "/mine starting"]);
  // the end of the first is no news
  window.clients[0]?.starting.fail(new Error("killed"));
  await settle();
  assert.equal(window.states.at(-1), "starting");
});

test("a start that fails is told, and the next change tries again", async () => {
  const window = new Window();
  window.found = "/mine";
  await window.server.start();
  window.clients[0]?.starting.fail(new Error("no such interpreter"));
  await settle();
  assert.equal(window.states.at(-1), "error: no such interpreter");
  await window.server.follow();
  assert.deepEqual(window.commands, ["/mine ended", "/mine starting"]);
});

test("the same command is not started twice, another one takes its place", async () => {
  const window = new Window();
  window.found = "/mine";
  await window.server.start();
  window.clients[0]?.starting.settle("0.1.0");
  await settle();
  assert.deepEqual(window.started, ["0.1.0"]);
  await window.server.follow();
  assert.deepEqual(window.commands, ["/mine running"]);
  window.found = "/other";
  await window.server.follow();
  assert.deepEqual(window.commands, ["/mine ended", "/other starting"]);
  await window.server.again();
  assert.deepEqual(window.commands.slice(1), ["/other ended", "/other starting"]);
});

test("a setting that leads nowhere is told, and the next change counts", async () => {
  const window = new Window();
  window.found = new Error("no file /mine");
  await window.server.start();
  assert.equal(window.states.at(-1), "error: no file /mine");
  assert.equal(window.nOffered, 0);
  window.found = "/mine";
  await window.server.follow();
  assert.deepEqual(window.commands, ["/mine starting"]);
});

test("what runs goes on running until another environment is there", async () => {
  const window = new Window();
  window.environment = "/own";
  await window.server.start();
  window.clients[0]?.starting.settle(undefined);
  await settle();
  const made = window.server.remake();
  await settle();
  assert.deepEqual(window.commands, ["/own running"]);
  window.answer.settle("/own2");
  await made;
  assert.deepEqual(window.commands, ["/own ended", "/own2 starting"]);
  assert.ok(!window.states.includes("installing"), "the server's own state is shown");
});

test("after the end nothing is started, whatever was under way", async () => {
  const window = new Window();
  await window.server.start();
  await window.server.stop();
  assert.ok(window.isOver);
  window.answer.settle("/own");
  window.found = "/mine";
  await window.server.start();
  await settle();
  assert.deepEqual(window.commands, []);
});
