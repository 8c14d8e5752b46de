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
import { machine, type InstallSettings } from "../src/environment/machine";
import { installEnvironment, estimateDownload } from "../src/environment/environment";
import { run } from "../src/program";
import { safeEnvironment } from "../src/safe_environment";
import { serverCommand } from "../src/server_command";
import { resolveProgram, start, setWorkspaceSource } from "../src/start";
import { expandHome, isInside, isAbsolute } from "../src/paths";
import { SOURCES } from "./fake_machine";
import { Poisoned, realPython, writeWheel } from "./poison";

const initialFolder = process.cwd();
const root = realpathSync(mkdtempSync(path.join(tmpdir(), "warmline-start-")));
after(() => {
  process.chdir(initialFolder);
  rmSync(root, { recursive: true });
});

const NO_WORKSPACE = { folders: [], isTrusted: true };
const NEVER_ABORTED = new AbortController().signal;
const SAFE = { PYTHONSAFEPATH: "1", NoDefaultCurrentDirectoryInExePath: "1" };
const QUIET = { step: () => undefined, log: () => undefined };

test("only start.ts starts programs", () => {
  const files = readdirSync(path.join(initialFolder, "src"), { recursive: true, encoding: "utf8" });
  const sources = files.filter((file) => file.endsWith(".ts"));
  assert.ok(sources.length > 30);
  // importing a type starts nothing
  const starts =
    /^import (?!type\b)[^;]*child_process|require\(|import\(|createTerminal|ShellExecution/m;
  const found = sources.filter((file) =>
    starts.test(readFileSync(path.join(initialFolder, "src", file), "utf8")),
  );
  assert.deepEqual(found, ["start.ts"]);
});

test("no search path contains the current folder", () => {
  const safe = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
    safeEnvironment(env, NO_WORKSPACE, false);
  assert.deepEqual(
    safe({ PATH: ":/bin:.:bin:~/bin:", PYTHONPATH: ":", LD_LIBRARY_PATH: "/lib:", HOME: "x" }),
    { PATH: "/bin", LD_LIBRARY_PATH: "/lib", HOME: "x", ...SAFE },
  );
  assert.deepEqual(safe({ PATH: "." }), { PATH: "/bin:/usr/bin", ...SAFE });
  assert.deepEqual(safe({ PATH: "/b", PYTHONHOME: "x", PYTHONUSERBASE: "/u" }), {
    PATH: "/b",
    PYTHONUSERBASE: "/u",
    ...SAFE,
  });
  const onWindows = safeEnvironment(
    { Path: 'C:\\a;"C:\\b;c";.;\\d;C:e;;\\\\host\\f', PythonPath: "." },
    NO_WORKSPACE,
    true,
  );
  assert.deepEqual(onWindows, { PATH: 'C:\\a;"C:\\b;\\\\host\\f', ...SAFE });
});

test("module paths never contain a workspace, program paths only a trusted one", () => {
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

test("a path is absolute if it depends on no folder or drive", () => {
  for (const file of ["C:\\a", "c:/a", "\\\\host\\a"]) assert.ok(isAbsolute(file, true), file);
  for (const file of ["\\a", "/a", "C:a", "a", ".\\a", ""])
    assert.ok(!isAbsolute(file, true), file);
  assert.ok(isAbsolute("/a", false));
  for (const file of ["a", "./a", "~/a", ""]) assert.ok(!isAbsolute(file, false), file);
  assert.equal(expandHome("~/x", "/home/$&"), "/home/$&/x");
  assert.ok(isInside("/w/a", ["/w"]));
  assert.ok(isInside("/w/..a", ["/w"]));
  assert.ok(!isInside("/wa", ["/w"]));
  assert.ok(!isInside("/w/../a", ["/w"]));
});

test("relative paths in settings are refused", async () => {
  for (const setting of ["./warmline", "bin/warmline", "../warmline", ".", "..", "~x/warmline"]) {
    const sources = {
      setting,
      interpreter: () => Promise.resolve(undefined),
      searchPath: "/bin",
      home: "/home/me",
      isWindows: false,
    };
    const found = serverCommand(sources, () => true);
    await assert.rejects(
      found,
      /Invalid setting .* is a relative path; use an absolute path or one/,
    );
  }
  for (const setting of ["C:warmline", "\\warmline", "bin\\warmline"]) {
    const sources = {
      setting,
      interpreter: () => Promise.resolve(undefined),
      searchPath: "C:\\bin",
      home: "C:\\me",
      isWindows: true,
    };
    await assert.rejects(
      serverCommand(sources, () => true),
      /is a relative path/,
    );
  }
  for (const bad of [
    { python: "bin/python" },
    { sources: { ...SOURCES, wheelFolder: "wheels" } },
  ]) {
    const folder = mkdtempSync(path.join(root, "bad-"));
    const settings = {
      folder,
      wheels: folder,
      python: "",
      device: "cpu",
      sources: SOURCES,
      ...bad,
    };
    const installed = installEnvironment(settings, machine(run, process.env), QUIET, NEVER_ABORTED);
    await assert.rejects(installed, /warmline\.environment\.\w+: .* is a relative path/);
  }
});

test("no program in an untrusted workspace is run, however it is found", async () => {
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
  const sources = {
    setting: "",
    interpreter: () => Promise.resolve(path.join(bin, "python")),
    searchPath: `${bin}:${outside}`,
    home: "/home/me",
    isWindows: false,
  };
  assert.equal((await serverCommand({ ...sources }))?.command, program);
  const untrusted = [folder];
  assert.equal(await serverCommand({ ...sources, untrusted }), undefined);
  for (const setting of [program, link, "warmline"]) {
    await assert.rejects(
      serverCommand({ ...sources, setting, untrusted }),
      /is in an untrusted folder/,
    );
  }
  setWorkspaceSource(() => ({ folders: [folder], isTrusted: false }));
  try {
    const env = { PATH: `${bin}:${outside}` };
    for (const command of [program, link, "warmline"]) {
      assert.throws(() => start(command, [], { env }));
      assert.equal((await run(command, [], { env, signal: NEVER_ABORTED })).end, "missing");
    }
  } finally {
    setWorkspaceSource(() => NO_WORKSPACE);
  }
  assert.ok(!readdirSync(root).includes("untrusted-ran"));
  const trusted = await run("warmline", [], { env: { PATH: bin }, signal: NEVER_ABORTED });
  assert.deepEqual([trusted.end, trusted.code], ["exit", 0]);
  assert.ok(readdirSync(root).includes("untrusted-ran"));
});

test("a program is found on absolute entries of the PATH", () => {
  assert.throws(() => resolveProgram("sh", ":.:bin", false), /sh is not on the PATH/);
  assert.equal(resolveProgram("sh", ".:/bin", false), "/bin/sh");
  for (const name of ["./sh", "bin/sh", "..", "~/sh", ""]) {
    assert.throws(() => resolveProgram(name, "/bin", false), /relative path/, name);
  }
});

const python = realPython();

test(
  "installing and starting the server runs nothing in the current folder",
  {
    skip: python === undefined && "there is no Python 3.11 or newer with venv",
  },
  async () => {
    assert.ok(python !== undefined);
    const poisoned = new Poisoned(path.join(root, "poisoned"), python);
    process.chdir(poisoned.folder);
    // a program that is started without precautions does run the modules
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
    const settings: InstallSettings = {
      folder: path.join(root, "environment"),
      wheels,
      python: "",
      device: "auto",
      sources: { ...SOURCES, wheelFolder: wheels },
    };
    setWorkspaceSource(() => ({ folders: [poisoned.folder], isTrusted: false }));
    try {
      const real = { ...machine(run, env), freeBytes: () => Promise.resolve(1e12) };
      await estimateDownload(settings, real, NEVER_ABORTED);
      const command = await installEnvironment(settings, real, QUIET, NEVER_ABORTED);
      const outcome = await run(command, ["lsp"], { env, signal: NEVER_ABORTED });
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
      setWorkspaceSource(() => NO_WORKSPACE);
    }
    assert.deepEqual(poisoned.ran(), []);
  },
);
