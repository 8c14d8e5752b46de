import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import * as path from "node:path";

const PROGRAMS = [
  "python",
  "python3",
  "python3.11",
  "python3.12",
  "python3.13",
  "python3.14",
  "git",
];
const PACKAGES = [
  "pip",
  "torch",
  "numpy",
  "warmline_lsp",
  "warmline_engine",
  "warmline_kernels",
  "warmline_protocol",
];
const HOOKS = ["sitecustomize", "usercustomize", "conftest", "setuptools", "pkg_resources"];

/** A folder whose modules and programs write a marker file when they run. */
export class Poisoned {
  readonly marks: string;

  constructor(
    readonly folder: string,
    python: string,
  ) {
    this.marks = path.join(folder, "marks");
    mkdirSync(this.marks, { recursive: true });
    const listModels = spawnSync(
      python,
      ["-I", "-c", "import sys; print(*sys.stdlib_module_names, *sys.builtin_module_names)"],
      { encoding: "utf8" },
    );
    for (const name of [...listModels.stdout.trim().split(/\s+/), ...PACKAGES, ...HOOKS]) {
      const mark = JSON.stringify(path.join(this.marks, name));
      writeFileSync(path.join(folder, `${name}.py`), `open(${mark}, "w").close()\n`);
    }
    mkdirSync(path.join(folder, "bin"));
    for (const name of [...PROGRAMS, "nvidia-smi", "warmline"]) {
      for (const below of ["", "bin"]) {
        const file = path.join(folder, below, name);
        writeFileSync(file, `#!/bin/sh\n: > '${path.join(this.marks, name)}'\n`);
        chmodSync(file, 0o755);
      }
    }
    writeFileSync(path.join(folder, "pip.conf"), "[global]\nindex-url = http://127.0.0.1:9/\n");
    writeFileSync(path.join(folder, "setup.cfg"), "[install]\nprefix = /nowhere\n");
    writeFileSync(path.join(folder, "pyvenv.cfg"), `home = ${folder}\n`);
  }

  /** Names of the modules and programs that ran. */
  ran(): string[] {
    return readdirSync(this.marks);
  }
}

/** A Python that is recent enough; undefined if there is none. */
export function realPython(): string | undefined {
  const names = ["python3.11", "python3.12", "python3.13", "python3.14", "python3"];
  const folders = (process.env["PATH"] ?? "").split(":").filter((one) => path.isAbsolute(one));
  return folders
    .flatMap((folder) => names.map((name) => path.join(folder, name)))
    .filter((file) => existsSync(file))
    .find((file) => {
      const code = "import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))";
      return spawnSync(file, ["-I", "-c", code]).status === 0;
    });
}

/** Writes a wheel with these files. */
export function writeWheel(
  python: string,
  folder: string,
  name: string,
  version: string,
  files: Record<string, string>,
): void {
  const info = `${name}-${version}.dist-info`;
  const all = {
    ...files,
    [`${info}/METADATA`]: `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n`,
    [`${info}/WHEEL`]:
      "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
  };
  const record = [...Object.keys(all), `${info}/RECORD`].map((file) => `${file},,\n`).join("");
  const code =
    "import json, sys, zipfile\n" +
    "with zipfile.ZipFile(sys.argv[1], 'w') as wheel:\n" +
    "    for name, text in json.load(sys.stdin).items(): wheel.writestr(name, text)\n";
  const file = path.join(folder, `${name}-${version}-py3-none-any.whl`);
  const written = spawnSync(python, ["-I", "-c", code, file], {
    input: JSON.stringify({ ...all, [`${info}/RECORD`]: record }),
  });
  if (written.status !== 0) throw new Error(String(written.stderr));
}
