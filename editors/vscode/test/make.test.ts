import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { Failure, type Kind } from "../src/environment/failure";
import type { Report } from "../src/environment/machine";
import {
  finishedCommand,
  isUnfinished,
  makeEnvironment,
  missing,
  sizeAhead,
  tidy,
} from "../src/environment/make";
import type { Task } from "../src/environment/making";
import { readRecord, writeRecord } from "../src/environment/record";
import { TORCH } from "../src/environment/torch";
import { FakeMachine } from "./machines";

const QUIET: Report = { step: () => undefined, log: () => undefined };
const STILL = new AbortController().signal;

function make(fake: FakeMachine, report = QUIET, signal = STILL, task?: Task): Promise<string> {
  return makeEnvironment(fake.wishes, fake.machine, report, signal, task);
}

function anew(fake: FakeMachine, task: Task = "anew"): Promise<string> {
  return make(fake, QUIET, STILL, task);
}

// above the largest id that Linux gives
const NOBODY = "4999999";

async function failure(made: Promise<string>): Promise<Failure> {
  const error: unknown = await made.then(
    () => assert.fail("it was made"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Failure, String(error));
  return error;
}

test("an environment is made once, and kept", async () => {
  const fake = new FakeMachine();
  fake.python("python3", [3, 12]);
  fake.pip('echo "Downloading torch-2.13.0-cp312.whl (190.0 MB)"; echo "Progress 50 of 100"');
  const steps: [string, number][] = [];
  const command = await make(fake, { ...QUIET, step: (...step) => steps.push(step) });
  assert.equal(command, path.join(fake.wishes.folder, "venv/bin/warmline"));
  assert.equal(finishedCommand(fake.wishes.folder, false), command);
  const [venv, torch, wheel, needs, ...more] = fake.calls();
  assert.equal(venv, "venv");
  assert.match(torch ?? "", /--progress-bar raw torch==2\.13\.0$/);
  assert.match(wheel ?? "", /--no-deps --force-reinstall \S+\.whl$/);
  assert.match(needs ?? "", /raw \S+\.whl$/);
  assert.deepEqual(more, []);
  const shares = steps.map(([, share]) => share);
  assert.ok(steps.some(([message]) => message === "downloading torch (190.0 MB)"));
  assert.ok(
    steps.some(([, share]) => Math.abs(share - 0.4) < 1e-9),
    "half of torch",
  );
  assert.equal(shares.at(-1), 1);
  await make(fake);
  assert.deepEqual(fake.calls(), []);
});

test("another wheel is all that another version installs", async () => {
  const fake = FakeMachine.good();
  await make(fake);
  fake.calls();
  const { folder, wheels } = fake.wishes;
  assert.equal(await missing(folder, wheels), "nothing");
  fake.wheel("second");
  assert.equal(await missing(folder, wheels), "wheel");
  await make(fake);
  assert.equal(fake.calls().filter((call) => !call.endsWith(".whl")).length, 0);
  assert.equal(await missing(folder, wheels), "nothing");
});

test("another version of torch is installed, and tried", async () => {
  const fake = FakeMachine.good();
  await make(fake);
  fake.calls();
  const { folder, wheels } = fake.wishes;
  const made = readRecord(folder);
  assert.ok(made);
  await writeRecord(folder, { ...made, pin: "torch==2.0.0" });
  assert.equal(await missing(folder, wheels), "torch");
  await make(fake);
  assert.match(fake.calls()[0] ?? "", /torch==2\.13\.0$/);
  assert.equal(await missing(folder, wheels), "nothing");
});

test("an update that fails leaves what worked", async () => {
  const fake = FakeMachine.good();
  const command = await make(fake);
  fake.wheel("second");
  fake.pip("exit 1");
  await failure(make(fake));
  assert.equal(finishedCommand(fake.wishes.folder, false), command);
  assert.equal(await missing(fake.wishes.folder, fake.wishes.wheels), "wheel");
  fake.break();
  await failure(make(fake));
  assert.equal(finishedCommand(fake.wishes.folder, false), undefined);
});

test("an interrupted run goes on where it was", async () => {
  const fake = new FakeMachine();
  fake.python("python3", [3, 12]);
  fake.pip('case "$*" in *.whl) kill -9 $$ ;; esac');
  assert.equal((await failure(make(fake))).kind, "killed");
  assert.equal(finishedCommand(fake.wishes.folder, false), undefined);
  assert.equal(readRecord(fake.wishes.folder)?.torch, "cpu");
  fake.calls();
  fake.pip("");
  await make(fake);
  assert.ok(fake.calls().every((call) => call.endsWith(".whl")));
});

test("a window closed in the middle needs no new consent, a failure does", async () => {
  const fake = FakeMachine.good();
  assert.ok(!isUnfinished(fake.wishes.folder));
  await make(fake);
  const made = readRecord(fake.wishes.folder);
  assert.ok(made && !isUnfinished(fake.wishes.folder));
  await writeRecord(fake.wishes.folder, { ...made, state: "unfinished", wheel: "" });
  assert.ok(isUnfinished(fake.wishes.folder));
  fake.pip("exit 1");
  await failure(make(fake));
  assert.ok(!isUnfinished(fake.wishes.folder));
});

test("one made anew takes the place of the other once it is finished", async () => {
  const fake = FakeMachine.good();
  const first = await make(fake);
  fake.calls();
  const { folder } = fake.wishes;
  fake.pip("exit 1");
  await failure(anew(fake));
  assert.equal(finishedCommand(folder, false), first);
  assert.equal(fake.calls()[0], "venv");
  fake.pip("");
  const second = await anew(fake, "go on anew");
  assert.notEqual(second, first);
  assert.ok(!fake.calls().includes("venv"));
  assert.equal(finishedCommand(folder, false), second);
  assert.ok(existsSync(first), "another window may use it");
  await tidy(folder);
  assert.ok(!existsSync(first));
  assert.equal(finishedCommand(folder, false), second);
  assert.equal(await anew(fake), first);
  assert.ok(fake.calls().includes("venv"));
});

test("anew begins from the start where nothing works", async () => {
  const fake = FakeMachine.good();
  fake.pip("exit 1");
  await failure(make(fake));
  fake.calls();
  fake.pip("");
  assert.equal(await anew(fake), path.join(fake.wishes.folder, "venv/bin/warmline"));
  assert.equal(fake.calls()[0], "venv");
});

test("what is installed but does not run is made from the start", async () => {
  const fake = FakeMachine.good();
  fake.break();
  assert.equal((await failure(make(fake))).kind, "broken");
  fake.calls();
  await failure(make(fake));
  assert.equal(fake.calls()[0], "venv");
});

test("torch is the one that the project is tested with", () => {
  assert.ok(readFileSync("../../Makefile", "utf8").includes(` ${TORCH}\n`));
});

test("an environment whose Python is gone is made anew", async () => {
  const fake = FakeMachine.good();
  await make(fake);
  fake.calls();
  writeFileSync(path.join(fake.wishes.folder, "venv/bin/python"), "#!/gone\n");
  await make(fake);
  assert.equal(fake.calls()[0], "venv");
});

test("cancelling ends pip, and says that it can go on", async () => {
  const fake = new FakeMachine();
  fake.python("python3", [3, 12]);
  fake.pip("echo Collecting torch; exec /bin/sleep 60");
  const stop = new AbortController();
  const log = (line: string): void => {
    if (line === "Collecting torch") stop.abort();
  };
  assert.equal((await failure(make(fake, { ...QUIET, log }, stop.signal))).kind, "cancelled");
  assert.equal(readRecord(fake.wishes.folder)?.state, "cancelled");
});

test("two windows make one, and the second says that it waits", async () => {
  const fake = FakeMachine.good();
  const steps: string[] = [];
  const report = { ...QUIET, step: (message: string) => steps.push(message) };
  const [one, other] = await Promise.all([make(fake, report), make(fake, report)]);
  assert.equal(one, other);
  assert.equal(fake.calls().filter((call) => call === "venv").length, 1);
  assert.equal(steps.filter((step) => step.includes("another window")).length, 1);
});

test("the pip that a killed window left behind is waited for", async () => {
  const fake = FakeMachine.good();
  await make(fake);
  const left = spawn("/bin/cat");
  writeFileSync(path.join(fake.wishes.folder, "lock.2"), `${NOBODY} ${String(left.pid)}`);
  assert.equal((await failure(make(fake, QUIET, AbortSignal.abort()))).kind, "cancelled");
  // it was not begun, hence nothing is noted
  assert.equal(readRecord(fake.wishes.folder)?.state, "finished");
  left.stdin.end();
  await once(left, "exit");
  await make(fake);
});

test("the room that is needed is that of what pip will fetch", async () => {
  const fake = FakeMachine.good();
  fake.machine.freeBytes = () => Promise.resolve(3e9);
  assert.deepEqual(await sizeAhead(fake.wishes, fake.machine, STILL), {
    size: "cuda",
    isMoreThanNeeded: true,
  });
  assert.equal((await failure(make(fake))).kind, "disk full");
  fake.wishes.sources = { ...fake.wishes.sources, cpuIndex: "https://mirror.test/cpu" };
  assert.deepEqual(await sizeAhead(fake.wishes, fake.machine, STILL), {
    size: "cpu",
    isMoreThanNeeded: false,
  });
  await make(fake);
});

function fails(name: string, kind: Kind, says: RegExp, set: (fake: FakeMachine) => void): void {
  test(`${name} is told as: ${kind}`, async () => {
    const fake = new FakeMachine();
    fake.pip("");
    set(fake);
    const told = await failure(make(fake));
    assert.equal(told.kind, kind, told.message);
    assert.match(told.message, says);
    assert.equal(finishedCommand(fake.wishes.folder, false), undefined);
  });
}

const says = (text: string) => (fake: FakeMachine) => {
  fake.python("python3", [3, 12]);
  fake.pip(`echo "${text}" >&2; exit 1`);
};

fails("no Python", "no python", /Install Python 3\.11/, () => undefined);
fails("a Python that does not start", "no python", /python3\.9 is not a working Python/, (fake) => {
  fake.wishes.python = "/nowhere/python3.9";
});
fails("a shim of a version that is not there", "no python", /No Python/, (fake) => {
  fake.program("python3", "echo 'python3: command not found' >&2; exit 127");
});
fails("only an old Python", "old python", /3\.11 or newer, but found 3\.9/, (fake) => {
  fake.python("python3", [3, 9]);
});
fails("Debian's Python", "no venv", /sudo apt install python3-venv python3\.12-venv/, (fake) => {
  fake.python("python3", [3, 12], false);
});
fails("a venv that fails", "no venv", /python3-venv/, (fake) => {
  const venv = "echo 'because ensurepip is not available.  On Debian/Ubuntu'; exit 1";
  fake.python("python3", [3, 12], true, venv);
});
fails("no venv elsewhere than on Debian", "no venv", /Install them/, (fake) => {
  fake.machine.isDebian = false;
  fake.python("python3", [3, 12], false);
});
fails("too small a disk", "disk full", /Free some space/, (fake) => {
  fake.python("python3", [3, 12]);
  fake.machine.freeBytes = () => Promise.resolve(1e8);
});
fails(
  "a disk that is full at last",
  "disk full",
  /continues where/,
  says("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"),
);
fails(
  "no network",
  "no network",
  /http\.proxy.*wheelFolder/,
  says(
    "WARNING: Retrying: NewConnectionError: Temporary failure in name resolution\n" +
      "ERROR: No matching distribution found for torch==2.13.0",
  ),
);
fails("a proxy", "proxy", /http\.proxy/, says("ProxyError('Cannot connect to proxy.')"));
fails("a certificate", "certificate", /PIP_CERT/, says("SSLError: CERTIFICATE_VERIFY_FAILED"));
fails(
  "a Python too new",
  "no build",
  /no build of torch==2\.13\.0 for Python 3\.12/,
  says("ERROR: No matching distribution found for torch==2.13.0"),
);
fails(
  "pip's constraints",
  "conflict",
  /found no torch==2\.13\.0 that satisfies its constraints.*PIP_CONSTRAINT/,
  says(
    "ERROR: Cannot install torch==2.13.0 because these package versions have conflicting dependencies.\n" +
      "ERROR: ResolutionImpossible: for help visit the documentation",
  ),
);
fails("a folder without it", "not in the folder", /\/wheels.*pip download .* torch==2/, (fake) => {
  says("ERROR: No matching distribution found for torch==2.13.0")(fake);
  fake.wishes.sources = { ...fake.wishes.sources, wheelFolder: "/wheels" };
});
fails("a locked file", "denied", /Close other windows/, says("[WinError 5] Access is denied"));
fails("what was killed", "killed", /memory/, (fake) => {
  fake.python("python3", [3, 12]);
  fake.pip("kill -9 $$");
});
fails("what does not run", "broken", /does not run/, (fake) => {
  fake.python("python3", [3, 12]);
  fake.break();
});
fails("anything else", "unknown", /failed: ERROR: odd/, says("ERROR: odd"));
fails("an extension without a wheel", "no wheel", /make vscode/, (fake) => {
  fake.wishes.wheels = "/nowhere";
});
