import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { machine, type Wishes } from "../src/environment/machine";
import { makeEnvironment, sizeAhead } from "../src/environment/make";
import { run } from "../src/program";
import { safeEnvironment } from "../src/safe_environment";
import { serverCommand } from "../src/server_command";
import { resolved, start, startsIn } from "../src/start";
import { expanded, isInside, isWhole } from "../src/whole_path";
import { SOURCES } from "./machines";
import { Poisoned, realPython, writeWheel } from "./poison";

const began = process.cwd();
const root = realpathSync(mkdtempSync(path.join(tmpdir(), "warmline-start-")));
after(() => {
  process.chdir(began);
  rmSync(root, { recursive: true });
});

const NOTHING = { folders: [], isTrusted: true };
const STILL = new AbortController().signal;
const SAFE = { PYTHONSAFEPATH: "1", NoDefaultCurrentDirectoryInExePath: "1" };
const QUIET = { step: () => undefined, log: () => undefined };

test("no other file starts a program", () => {
  const files = readdirSync(path.join(began, "src"), { recursive: true, encoding: "utf8" });
  const sources = files.filter((file) => file.endsWith(".ts"));
  assert.ok(sources.length > 30);
  // a type is no way to start one
  const starts =
    /^import (?!type\b)[^;]*child_process|require\(|import\(|createTerminal|ShellExecution/m;
  const found = sources.filter((file) =>
    starts.test(readFileSync(path.join(began, "src", file), "utf8")),
  );
  assert.deepEqual(found, ["start.ts"]);
});

test("nothing in the environment leads into the current folder", () => {
  const made = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv => safeEnvironment(env, NOTHING, false);
  assert.deepEqual(
    made({ PATH: ":/bin:.:bin:~/bin:", PYTHONPATH: ":", LD_LIBRARY_PATH: "/lib:", HOME: "x" }),
    { PATH: "/bin", LD_LIBRARY_PATH: "/lib", HOME: "x", ...SAFE },
  );
  assert.deepEqual(made({ PATH: "." }), { PATH: "/bin:/usr/bin", ...SAFE });
  assert.deepEqual(made({ PATH: "/b", PYTHONHOME: "x", PYTHONUSERBASE: "/u" }), {
    PATH: "/b",
    PYTHONUSERBASE: "/u",
    ...SAFE,
  });
  const onWindows = safeEnvironment(
    { Path: 'C:\\a;"C:\\b;c";.;\\d;C:e;;\\\\host\\f', PythonPath: "." },
    NOTHING,
    true,
  );
  assert.deepEqual(onWindows, { PATH: 'C:\\a;"C:\\b;\\\\host\\f', ...SAFE });
});

test("nor into a workspace: modules never, programs once it is trusted", () => {
  const env = {
    PATH: "/w/bin:/bin",
    PYTHONPATH: "/w:/w/src:/lib:/workshop",
    LD_LIBRARY_PATH: "/w",
  };
  const trusted = safeEnvironment(env, { folders: ["/w"], isTrusted: true }, false);
  const path_ = "/lib:/workshop";
  assert.deepEqual(trusted, { ...env, PYTHONPATH: path_, ...SAFE });
  const untrusted = safeEnvironment(env, { folders: ["/w"], isTrusted: false }, false);
  assert.deepEqual(untrusted, { PATH: "/bin", PYTHONPATH: path_, ...SAFE });
});

test("a path is whole where it begins in no folder", () => {
  for (const file of ["C:\\a", "c:/a", "\\\\host\\a"]) assert.ok(isWhole(file, true), file);
  for (const file of ["\\a", "/a", "C:a", "a", ".\\a", ""]) assert.ok(!isWhole(file, true), file);
  assert.ok(isWhole("/a", false));
  for (const file of ["a", "./a", "~/a", ""]) assert.ok(!isWhole(file, false), file);
  assert.equal(expanded("~/x", "/home/$&"), "/home/$&/x");
  assert.ok(isInside("/w/a", ["/w"]));
  assert.ok(isInside("/w/..a", ["/w"]));
  assert.ok(!isInside("/wa", ["/w"]));
  assert.ok(!isInside("/w/../a", ["/w"]));
});

test("a setting names no relative path", async () => {
  for (const setting of ["./warmline", "bin/warmline", "../warmline", ".", "..", "~x/warmline"]) {
    const places = {
      setting,
      interpreter: () => Promise.resolve(undefined),
      searchPath: "/bin",
      home: "/home/me",
      isWindows: false,
    };
    const found = serverCommand(places, () => true);
    await assert.rejects(
      found,
      /Invalid setting .* is a relative path; use an absolute path or one/,
    );
  }
  for (const setting of ["C:warmline", "\\warmline", "bin\\warmline"]) {
    const places = {
      setting,
      interpreter: () => Promise.resolve(undefined),
      searchPath: "C:\\bin",
      home: "C:\\me",
      isWindows: true,
    };
    await assert.rejects(
      serverCommand(places, () => true),
      /is a relative path/,
    );
  }
  for (const bad of [
    { python: "bin/python" },
    { sources: { ...SOURCES, wheelFolder: "wheels" } },
  ]) {
    const folder = mkdtempSync(path.join(root, "bad-"));
    const wishes = { folder, wheels: folder, python: "", device: "cpu", sources: SOURCES, ...bad };
    const made = makeEnvironment(wishes, machine(run, process.env), QUIET, STILL);
    await assert.rejects(made, /warmline\.environment\.\w+: .* is a relative path/);
  }
});

test("nothing in an untrusted workspace is run, by whichever way it is found", async () => {
  const folder = path.join(root, "untrusted");
  const outside = path.join(root, "outside");
  mkdirSync(path.join(folder, ".venv/bin"), { recursive: true });
  mkdirSync(outside);
  const program = path.join(folder, ".venv/bin/warmline");
  writeFileSync(program, `#!/bin/sh\n: > '${root}/untrusted-ran'\n`);
  chmodSync(program, 0o755);
  const link = path.join(outside, "warmline");
  symlinkSync(program, link);
  const bin = path.dirname(program);
  const places = {
    setting: "",
    interpreter: () => Promise.resolve(path.join(bin, "python")),
    searchPath: `${bin}:${outside}`,
    home: "/home/me",
    isWindows: false,
  };
  assert.equal((await serverCommand({ ...places }))?.command, program);
  const untrusted = [folder];
  assert.equal(await serverCommand({ ...places, untrusted }), undefined);
  for (const setting of [program, link, "warmline"]) {
    await assert.rejects(serverCommand({ ...places, setting, untrusted }), /not trusted/);
  }
  startsIn(() => ({ folders: [folder], isTrusted: false }));
  try {
    const env = { PATH: `${bin}:${outside}` };
    for (const command of [program, link, "warmline"]) {
      assert.throws(() => start(command, [], { env }));
      assert.equal((await run(command, [], { env, signal: STILL })).end, "missing");
    }
  } finally {
    startsIn(() => NOTHING);
  }
  assert.ok(!readdirSync(root).includes("untrusted-ran"));
  const trusted = await run("warmline", [], { env: { PATH: bin }, signal: STILL });
  assert.deepEqual([trusted.end, trusted.code], ["exit", 0]);
  assert.ok(readdirSync(root).includes("untrusted-ran"));
});

test("a program is found on whole entries of the PATH", () => {
  assert.throws(() => resolved("sh", ":.:bin", false), /no sh on the PATH/);
  assert.equal(resolved("sh", ".:/bin", false), "/bin/sh");
  for (const name of ["./sh", "bin/sh", "..", "~/sh", ""]) {
    assert.throws(() => resolved(name, "/bin", false), /relative path/, name);
  }
});

const python = realPython();

test(
  "an environment is made and its server started from a folder full of poison",
  {
    skip: python === undefined && "there is no Python 3.11 or newer with venv",
  },
  async () => {
    assert.ok(python !== undefined);
    const poisoned = new Poisoned(path.join(root, "poisoned"), python);
    process.chdir(poisoned.folder);
    // what a program that is started without care runs
    spawnSync(python, ["-m", "pip", "--version"], { cwd: poisoned.folder });
    assert.notDeepEqual(poisoned.ran(), []);
    for (const mark of poisoned.ran()) rmSync(path.join(poisoned.marks, mark));

    const wheels = path.join(root, "wheels");
    mkdirSync(wheels);
    writeWheel(python, wheels, "torch", "2.13.0", {
      "torch/__init__.py":
        "class zeros(list):\n    def __init__(self, n): pass\n    def sum(self): return 0\n",
    });
    const server =
      "import json, os, random, sys\n" +
      "def main(): print(json.dumps([os.getcwd(), sys.path, os.environ['PYTHONSAFEPATH'], sys.argv[1:]]))\n";
    writeWheel(python, wheels, "warmline", "0.1.0", {
      "warmline_protocol/__init__.py": "",
      "warmline_protocol/wire.py": "",
      "warmline_lsp/__init__.py": "",
      "warmline_lsp/commands/__init__.py": "",
      "warmline_lsp/commands/cli.py": server,
      "warmline-0.1.0.dist-info/entry_points.txt":
        "[console_scripts]\nwarmline = warmline_lsp.commands.cli:main\n",
    });
    const env = {
      ...process.env,
      PATH: `:.:bin:${path.dirname(python)}:${process.env["PATH"] ?? ""}`,
      PYTHONPATH: `:.:${poisoned.folder}`,
      PYTHONUSERBASE: ".",
      PYTHONPYCACHEPREFIX: ".",
    };
    const wishes: Wishes = {
      folder: path.join(root, "environment"),
      wheels,
      python: "",
      device: "auto",
      sources: { ...SOURCES, wheelFolder: wheels },
    };
    startsIn(() => ({ folders: [poisoned.folder], isTrusted: false }));
    try {
      const real = { ...machine(run, env), freeBytes: () => Promise.resolve(1e12) };
      await sizeAhead(wishes, real, STILL);
      const command = await makeEnvironment(wishes, real, QUIET, STILL);
      const outcome = await run(command, ["lsp"], { env, signal: STILL });
      assert.equal(outcome.code, 0, outcome.output);
      const [cwd, searched, safe, args] = JSON.parse(outcome.output) as [
        string,
        string[],
        string,
        string[],
      ];
      assert.deepEqual([cwd, safe, args], ["/", "1", ["lsp"]]);
      assert.ok(searched.every((one) => path.isAbsolute(one) && !isInside(one, [poisoned.folder])));
    } finally {
      startsIn(() => NOTHING);
    }
    assert.deepEqual(poisoned.ran(), []);
  },
);
