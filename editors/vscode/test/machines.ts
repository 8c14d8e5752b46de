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
import type { Machine, Wishes } from "../src/environment/machine";
import { VENVS } from "../src/environment/making";
import type { Sources } from "../src/environment/pip";
import { run } from "../src/program";

/** The settings as they are when nobody set them. */
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

/** A machine in a folder: its PATH has only the programs put there. */
export class FakeMachine {
  readonly root = mkdtempSync(path.join(tmpdir(), "warmline-"));
  private readonly bin = path.join(this.root, "bin");
  readonly wishes: Wishes = {
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
    mkdirSync(this.wishes.wheels);
    this.wheel("first");
  }

  /** One on which everything goes well. */
  static good(): FakeMachine {
    const fake = new FakeMachine();
    fake.python("python3", [3, 12]);
    fake.pip("");
    return fake;
  }

  /** Another wheel of the same name. */
  wheel(content: string): void {
    writeFileSync(path.join(this.wishes.wheels, "warmline-0.1.0-py3-none-any.whl"), content);
  }

  program(name: string, script: string): void {
    const file = path.join(this.bin, name);
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
  }

  /** A Python that makes environments; in them, pip does what `pip` says. */
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

  /** What `pip install` does, by shell lines that see its arguments. */
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
      const made = path.join(this.wishes.folder, venv, "bin/python");
      if (existsSync(made)) writeFileSync(made, inner);
    }
  }

  /** From now on what is installed does not run. */
  break(): void {
    writeFileSync(path.join(this.root, "broken"), "1");
  }

  /** What was run since the last look: each environment and each pip install. */
  calls(): string[] {
    const file = path.join(this.root, "calls");
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, "utf8").trim().split("\n");
    writeFileSync(file, "");
    return lines.filter((line) => line !== "");
  }
}
