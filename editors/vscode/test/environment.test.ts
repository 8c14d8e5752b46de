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
  installEnvironment,
  missing,
  estimateDownload,
  removeUnused,
} from "../src/environment/environment";
import type { Task } from "../src/environment/install_attempt";
import { readRecord, writeRecord } from "../src/environment/record";
import { TORCH } from "../src/environment/torch";
import { FakeMachine } from "./fake_machine";

const QUIET: Report = { step: () => undefined, log: () => undefined };
const NEVER_ABORTED = new AbortController().signal;

function install(
  fake: FakeMachine,
  report = QUIET,
  signal = NEVER_ABORTED,
  task?: Task,
): Promise<string> {
  return installEnvironment(fake.settings, fake.machine, report, signal, task);
}

function rebuild(fake: FakeMachine, task: Task = "rebuild"): Promise<string> {
  return install(fake, QUIET, NEVER_ABORTED, task);
}

// above the largest process id on Linux
const DEAD_PID = "4999999";

async function failure(installed: Promise<string>): Promise<Failure> {
  const error: unknown = await installed.then(
    () => assert.fail("it was installed"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Failure, String(error));
  return error;
}

test("an environment is installed once and kept", async () => {
  const fake = new FakeMachine();
  fake.python("python3", [3, 12]);
  fake.pip('echo "Downloading torch-2.13.0-cp312.whl (190.0 MB)"; echo "Progress 50 of 100"');
  const steps: [string, number][] = [];
  const command = await install(fake, { ...QUIET, step: (...step) => steps.push(step) });
  assert.equal(command, path.join(fake.settings.folder, "venv/bin/warmline"));
  assert.equal(finishedCommand(fake.settings.folder, false), command);
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
  await install(fake);
  assert.deepEqual(fake.calls(), []);
});

test("another version of the extension installs only its wheel", async () => {
  const fake = FakeMachine.good();
  await install(fake);
  fake.calls();
  const { folder, wheels } = fake.settings;
  assert.equal(await missing(folder, wheels), "nothing");
  fake.wheel("second");
  assert.equal(await missing(folder, wheels), "wheel");
  await install(fake);
  assert.equal(fake.calls().filter((call) => !call.endsWith(".whl")).length, 0);
  assert.equal(await missing(folder, wheels), "nothing");
});

test("another version of torch is installed and tested", async () => {
  const fake = FakeMachine.good();
  await install(fake);
  fake.calls();
  const { folder, wheels } = fake.settings;
  const record = readRecord(folder);
  assert.ok(record);
  await writeRecord(folder, { ...record, pin: "torch==2.0.0" });
  assert.equal(await missing(folder, wheels), "torch");
  await install(fake);
  assert.match(fake.calls()[0] ?? "", /torch==2\.13\.0$/);
  assert.equal(await missing(folder, wheels), "nothing");
});

test("a failed update leaves the environment usable", async () => {
  const fake = FakeMachine.good();
  const command = await install(fake);
  fake.wheel("second");
  fake.pip("exit 1");
  await failure(install(fake));
  assert.equal(finishedCommand(fake.settings.folder, false), command);
  assert.equal(await missing(fake.settings.folder, fake.settings.wheels), "wheel");
  fake.break();
  await failure(install(fake));
  assert.equal(finishedCommand(fake.settings.folder, false), undefined);
});

test("an interrupted installation continues where it stopped", async () => {
  const fake = new FakeMachine();
  fake.python("python3", [3, 12]);
  fake.pip('case "$*" in *.whl) kill -9 $$ ;; esac');
  assert.equal((await failure(install(fake))).kind, "killed");
  assert.equal(finishedCommand(fake.settings.folder, false), undefined);
  assert.equal(readRecord(fake.settings.folder)?.torch, "cpu");
  fake.calls();
  fake.pip("");
  await install(fake);
  assert.ok(fake.calls().every((call) => call.endsWith(".whl")));
});

test("an interrupted installation needs no new consent, a failed one does", async () => {
  const fake = FakeMachine.good();
  assert.ok(!isUnfinished(fake.settings.folder));
  await install(fake);
  const record = readRecord(fake.settings.folder);
  assert.ok(record && !isUnfinished(fake.settings.folder));
  await writeRecord(fake.settings.folder, { ...record, state: "unfinished", wheel: "" });
  assert.ok(isUnfinished(fake.settings.folder));
  fake.pip("exit 1");
  await failure(install(fake));
  assert.ok(!isUnfinished(fake.settings.folder));
});

test("a rebuilt environment replaces the old one once it is finished", async () => {
  const fake = FakeMachine.good();
  const first = await install(fake);
  fake.calls();
  const { folder } = fake.settings;
  fake.pip("exit 1");
  await failure(rebuild(fake));
  assert.equal(finishedCommand(folder, false), first);
  assert.equal(fake.calls()[0], "venv");
  fake.pip("");
  const second = await rebuild(fake, "resume rebuild");
  assert.notEqual(second, first);
  assert.ok(!fake.calls().includes("venv"));
  assert.equal(finishedCommand(folder, false), second);
  assert.ok(existsSync(first), "another window may use it");
  await removeUnused(folder);
  assert.ok(!existsSync(first));
  assert.equal(finishedCommand(folder, false), second);
  assert.equal(await rebuild(fake), first);
  assert.ok(fake.calls().includes("venv"));
});

test("a rebuild starts over if nothing works", async () => {
  const fake = FakeMachine.good();
  fake.pip("exit 1");
  await failure(install(fake));
  fake.calls();
  fake.pip("");
  assert.equal(await rebuild(fake), path.join(fake.settings.folder, "venv/bin/warmline"));
  assert.equal(fake.calls()[0], "venv");
});

test("an installation that does not run is started over", async () => {
  const fake = FakeMachine.good();
  fake.break();
  assert.equal((await failure(install(fake))).kind, "broken");
  fake.calls();
  await failure(install(fake));
  assert.equal(fake.calls()[0], "venv");
});

test("torch has the version that the project is tested with", () => {
  assert.ok(readFileSync("../../Makefile", "utf8").includes(` ${TORCH}\n`));
});

test("an environment whose Python is gone is created again", async () => {
  const fake = FakeMachine.good();
  await install(fake);
  fake.calls();
  writeFileSync(path.join(fake.settings.folder, "venv/bin/python"), "#!/gone\n");
  await install(fake);
  assert.equal(fake.calls()[0], "venv");
});

test("cancelling kills pip and can be continued", async () => {
  const fake = new FakeMachine();
  fake.python("python3", [3, 12]);
  fake.pip("echo Collecting torch; exec /bin/sleep 60");
  const stop = new AbortController();
  const log = (line: string): void => {
    if (line === "Collecting torch") stop.abort();
  };
  assert.equal((await failure(install(fake, { ...QUIET, log }, stop.signal))).kind, "cancelled");
  assert.equal(readRecord(fake.settings.folder)?.state, "cancelled");
});

test("two windows install one environment, and the second one waits", async () => {
  const fake = FakeMachine.good();
  const steps: string[] = [];
  const report = { ...QUIET, step: (message: string) => steps.push(message) };
  const [one, other] = await Promise.all([install(fake, report), install(fake, report)]);
  assert.equal(one, other);
  assert.equal(fake.calls().filter((call) => call === "venv").length, 1);
  assert.equal(steps.filter((step) => step.includes("another window")).length, 1);
});

test("the pip of a killed window is waited for", async () => {
  const fake = FakeMachine.good();
  await install(fake);
  const orphan = spawn("/bin/cat");
  writeFileSync(path.join(fake.settings.folder, "lock.2"), `${DEAD_PID} ${String(orphan.pid)}`);
  assert.equal((await failure(install(fake, QUIET, AbortSignal.abort()))).kind, "cancelled");
  // it did not start, so nothing is recorded
  assert.equal(readRecord(fake.settings.folder)?.state, "finished");
  orphan.stdin.end();
  await once(orphan, "exit");
  await install(fake);
});

test("the required disk space is that of the build that pip will download", async () => {
  const fake = FakeMachine.good();
  fake.machine.freeBytes = () => Promise.resolve(3e9);
  assert.deepEqual(await estimateDownload(fake.settings, fake.machine, NEVER_ABORTED), {
    size: "cuda",
    isMoreThanNeeded: true,
  });
  assert.equal((await failure(install(fake))).kind, "disk full");
  fake.settings.sources = { ...fake.settings.sources, cpuIndex: "https://mirror.test/cpu" };
  assert.deepEqual(await estimateDownload(fake.settings, fake.machine, NEVER_ABORTED), {
    size: "cpu",
    isMoreThanNeeded: false,
  });
  await install(fake);
});

function fails(name: string, kind: Kind, message: RegExp, set: (fake: FakeMachine) => void): void {
  test(`${name} fails with: ${kind}`, async () => {
    const fake = new FakeMachine();
    fake.pip("");
    set(fake);
    const error = await failure(install(fake));
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, message);
    assert.equal(finishedCommand(fake.settings.folder, false), undefined);
  });
}

const pipFails = (text: string) => (fake: FakeMachine) => {
  fake.python("python3", [3, 12]);
  fake.pip(`echo "${text}" >&2; exit 1`);
};

fails("no Python", "no python", /Install Python 3\.11/, () => undefined);
fails("a Python that does not start", "no python", /python3\.9 is not a working Python/, (fake) => {
  fake.settings.python = "/nowhere/python3.9";
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
  pipFails(
    "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
  ),
);
fails(
  "no network",
  "no network",
  /http\.proxy.*wheelFolder/,
  pipFails(
    "WARNING: Retrying: NewConnectionError: Temporary failure in name resolution\n" +
      "ERROR: No matching distribution found for torch==2.13.0",
  ),
);
fails("a proxy", "proxy", /http\.proxy/, pipFails("ProxyError('Cannot connect to proxy.')"));
fails("a certificate", "certificate", /PIP_CERT/, pipFails("SSLError: CERTIFICATE_VERIFY_FAILED"));
fails(
  "a Python too new",
  "no build",
  /no build of torch==2\.13\.0 for Python 3\.12/,
  pipFails("ERROR: No matching distribution found for torch==2.13.0"),
);
fails(
  "pip's constraints",
  "conflict",
  /found no torch==2\.13\.0 that satisfies its constraints.*PIP_CONSTRAINT/,
  pipFails(
    "ERROR: Cannot install torch==2.13.0 because these package versions have conflicting dependencies.\n" +
      "ERROR: ResolutionImpossible: for help visit the documentation",
  ),
);
fails("a folder without it", "not in the folder", /\/wheels.*pip download .* torch==2/, (fake) => {
  pipFails("ERROR: No matching distribution found for torch==2.13.0")(fake);
  fake.settings.sources = { ...fake.settings.sources, wheelFolder: "/wheels" };
});
fails("a locked file", "denied", /Close other windows/, pipFails("[WinError 5] Access is denied"));
fails("what was killed", "killed", /memory/, (fake) => {
  fake.python("python3", [3, 12]);
  fake.pip("kill -9 $$");
});
fails("what does not run", "broken", /does not run/, (fake) => {
  fake.python("python3", [3, 12]);
  fake.break();
});
fails("anything else", "unknown", /failed: ERROR: odd/, pipFails("ERROR: odd"));
fails("an extension without a wheel", "no wheel", /make vscode/, (fake) => {
  fake.settings.wheels = "/nowhere";
});
