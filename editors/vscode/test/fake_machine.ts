import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import type { Machine, InstallSettings } from "../src/environment/machine";
import { VENVS } from "../src/environment/install_attempt";
import type { Sources } from "../src/environment/pip";
import { run } from "../src/program";

/** The default settings. */
export const SOURCES: Sources = {
  pipArguments: [],
  cpuIndex: "",
  wheelFolder: "",
  isStrict: true,
};

const roots: string[] = [];
process.on("exit", () => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

/** A machine in a folder, whose PATH has only the programs that a test adds. */
export class FakeMachine {
  readonly root = mkdtempSync(path.join(tmpdir(), "warmline-"));
  private readonly bin = path.join(this.root, "bin");
  readonly settings: InstallSettings = {
    folder: path.join(this.root, "environment"),
    wheels: path.join(this.root, "wheels"),
    python: "",
    device: "auto",
    sources: SOURCES,
  };
  readonly machine: Machine = {
    run,
    env: { PATH: this.bin },
    isWindows: false,
    isLinux: true,
    isDebian: true,
    freeBytes: () => Promise.resolve(1e12),
  };

  constructor() {
    roots.push(this.root);
    mkdirSync(this.bin);
    mkdirSync(this.settings.wheels);
    this.wheel("first");
  }

  /** A machine on which the installation succeeds. */
  static good(): FakeMachine {
    const fake = new FakeMachine();
    fake.python("python3", [3, 12]);
    fake.pip("");
    return fake;
  }

  /** Writes another wheel with the same name. */
  wheel(content: string): void {
    writeFileSync(path.join(this.settings.wheels, "warmline-0.1.0-py3-none-any.whl"), content);
  }

  program(name: string, script: string): void {
    const file = path.join(this.bin, name);
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
  }

  /** Adds a Python that creates environments, whose pip runs the script of `pip`. */
  python(name: string, version: [number, number], hasVenv = true, venv = ""): void {
    const probed = JSON.stringify({
      executable: path.join(this.bin, name),
      version,
      is64: true,
      hasVenv,
    });
    this.program(
      name,
      `
case "$1" in -P | -I) shift ;; esac
case "$1 $2" in
-c*) echo '${probed}' ;;
"-m venv")
  echo "venv" >> '${this.root}/calls'
  ${venv}
  /bin/mkdir -p "$4/bin"
  /bin/cp '${this.root}/inner' "$4/bin/python"
  /bin/chmod 755 "$4/bin/python" ;;
esac`,
    );
  }

  /** Sets the shell script of `pip install`, which sees its arguments. */
  pip(script: string, version = "24.2"): void {
    const inner = `#!/bin/sh
[ "$1" = -P ] && shift
case "$1 $2 $3" in
"-m pip --version") echo "pip ${version} from somewhere" ;;
"-m pip install")
  echo "$*" >> '${this.root}/calls'
  echo 'touch' > "\${0%python}warmline"
  ${script} ;;
-c*) echo ok; exit "$(/bin/cat '${this.root}/broken' 2>/dev/null || echo 0)" ;;
esac
`;
    writeFileSync(path.join(this.root, "inner"), inner);
    for (const venv of VENVS) {
      const python = path.join(this.settings.folder, venv, "bin/python");
      if (existsSync(python)) writeFileSync(python, inner);
    }
  }

  /** Breaks the installed server. */
  break(): void {
    writeFileSync(path.join(this.root, "broken"), "1");
  }

  /** The calls of venv and `pip install` since the last call of this function. */
  calls(): string[] {
    const file = path.join(this.root, "calls");
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, "utf8").trim().split("\n");
    writeFileSync(file, "");
    return lines.filter((line) => line !== "");
  }
}
