import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, statfs } from "node:fs/promises";
import * as path from "node:path";
import { CANCELLED, diskFull, Failure, failureOf, type Where } from "./failure";
import {
  installArguments,
  masked,
  pipEnvironment,
  progress,
  torchBuild,
  type Build,
  type Sources,
} from "./pip";
import type { Options, Outcome, Run } from "../program";
import { findPython } from "./python";
import { alone, NOTHING, readRecord, writeRecord, type Made } from "./record";

/** What is wanted. */
export interface Wishes {
  /** Where the environment lies, in the extension's global storage. */
  folder: string;
  /** The folder of the wheels that the extension carries. */
  wheels: string;
  /** `warmline.environment.python` */
  python: string;
  /** `warmline.device` */
  device: string;
  sources: Sources;
}

/** The machine, which tests make up. */
export interface Machine {
  run: Run;
  env: NodeJS.ProcessEnv;
  isWindows: boolean;
  isDebian: boolean;
  freeBytes: (folder: string) => Promise<number>;
}

export interface Report {
  /** share: how much of all is done, 0 to 1. */
  step: (message: string, share: number) => void;
  log: (line: string) => void;
}

// room for what is fetched and unpacked; most of it is torch
const NEEDED_BYTES: Record<Build, number> = { cpu: 2e9, cuda: 9e9 };
// the one that the extension was tested with: see the Makefile
export const TORCH = "torch==2.13.0";
const WAIT_FOR_WINDOW_MS = 500;

/** This machine. */
export function machine(run: Run): Machine {
  return {
    run,
    env: process.env,
    isWindows: process.platform === "win32",
    isDebian: existsSync("/etc/debian_version"),
    freeBytes: async (folder) => {
      const { bavail, bsize } = await statfs(folder);
      return bavail * bsize;
    },
  };
}

/** The command in an environment that is there and finished, whichever wheel is in it; else undefined. */
export function finishedCommand(folder: string, isWindows: boolean): string | undefined {
  const command = inEnvironment(folder, "warmline", isWindows);
  return readRecord(folder)?.state === "finished" && existsSync(command) ? command : undefined;
}

/** Whether the wheel that the extension carries is the one installed. */
export async function isCurrent(folder: string, wheels: string): Promise<boolean> {
  const wheel = await findWheel(wheels);
  return readRecord(folder)?.wheel === wheel.digest;
}

/** Whether a window was closed while it was being made: consent was given, and it can go on. */
export function isUnfinished(folder: string): boolean {
  return readRecord(folder)?.state === "unfinished";
}

/** Has the next making begin from the start. */
export async function forget(folder: string): Promise<void> {
  await writeRecord(folder, NOTHING);
}

/**
 * Makes the environment, or what is missing of it, and returns the command `warmline` in it.
 *
 * Raises: Failure, which says what to do; what is done is kept.
 */
export async function makeEnvironment(
  wishes: Wishes,
  machine: Machine,
  report: Report,
  signal: AbortSignal,
): Promise<string> {
  const { folder } = wishes;
  try {
    return await alone(folder, signal, WAIT_FOR_WINDOW_MS, async (started) => {
      try {
        return await new Making(wishes, machine, report, { signal, onStart: started }).all();
      } catch (error) {
        const made = readRecord(folder) ?? NOTHING;
        const state = asFailure(error, signal).kind === "cancelled" ? "cancelled" : "failed";
        // a full disk takes no record either; then it says unfinished, which is true
        await writeRecord(folder, { ...made, state }).catch(() => undefined);
        throw error;
      }
    });
  } catch (error) {
    throw asFailure(error, signal);
  }
}

class Making {
  private readonly where: Where;
  private record: Made;
  private readonly options: Options;

  constructor(
    private readonly wishes: Wishes,
    private readonly machine: Machine,
    private readonly report: Report,
    options: Omit<Options, "env">,
  ) {
    const temporary = path.join(wishes.folder, "tmp");
    this.options = { ...options, env: pipEnvironment(machine.env, wishes.sources, temporary) };
    this.record = readRecord(wishes.folder) ?? NOTHING;
    this.where = {
      pythonVersion: this.record.python,
      isDebian: machine.isDebian,
      wheelFolder: wishes.sources.wheelFolder,
    };
  }

  async all(): Promise<string> {
    const { folder } = this.wishes;
    const wheel = await findWheel(this.wishes.wheels);
    await mkdir(path.join(folder, "tmp"), { recursive: true });
    await this.note({ state: "unfinished" });
    await this.venv();
    const pipVersion = await this.pipVersion();
    await this.torch(pipVersion);
    if (this.record.wheel !== wheel.digest) {
      this.report.step("installing Warmline", 0.75);
      // first without what it needs: another wheel may have the same version
      await this.pip(["--no-deps", "--force-reinstall", wheel.file], undefined, pipVersion);
      await this.pip([wheel.file], undefined, pipVersion);
      await this.check();
      await this.note({ wheel: wheel.digest });
    }
    await rm(path.join(folder, "tmp"), { recursive: true, force: true });
    await this.note({ state: "finished" });
    this.report.step("done", 1);
    return inEnvironment(folder, "warmline", this.machine.isWindows);
  }

  private async venv(): Promise<void> {
    const { folder, python } = this.wishes;
    if (this.record.python !== "" && (await this.python(["-c", "pass"])).code === 0) return;
    this.report.step("looking for Python", 0);
    const { run, isWindows, isDebian } = this.machine;
    const found = await findPython(run, python, isWindows, isDebian, this.options);
    this.where.pythonVersion = found.version;
    this.report.log(`the environment is made with ${found.executable}, Python ${found.version}`);
    this.report.step(`making an environment of Python ${found.version}`, 0.01);
    await this.note(NOTHING);
    const args = ["-m", "venv", "--clear", path.join(folder, "venv")];
    this.expect(await run(found.executable, args, this.listening(0.01, 0.05)));
    await this.note({ python: found.version });
  }

  private async torch(pipVersion: string): Promise<void> {
    if (this.record.torch !== "") return;
    const build = await torchBuild(this.machine.run, this.wishes.device, this.options);
    if ((await this.machine.freeBytes(this.wishes.folder)) < NEEDED_BYTES[build]) throw diskFull();
    const name = build === "cuda" ? "torch for the GPU" : "torch";
    this.report.step(`installing ${name}`, 0.05);
    await this.pip([TORCH], build, pipVersion);
    await this.note({ torch: build });
  }

  /** That it computes on this machine, not only that pip was content. */
  private async check(): Promise<void> {
    this.report.step("trying it", 0.95);
    const code =
      "import torch, warmline_engine.wire, warmline_lsp.cli; print(torch.zeros(2).sum())";
    const outcome = await this.python(["-c", code]);
    if (outcome.end === "cancelled") throw CANCELLED;
    if (outcome.code === 0) return;
    const last = outcome.output.trim().split("\n").at(-1) ?? "";
    throw new Failure(
      "broken",
      `What was installed does not run: ${last}`,
      "Make the environment anew from the menu; if it fails again, the log has all of it.",
    );
  }

  private async pipVersion(): Promise<string> {
    const outcome = await this.python(["-m", "pip", "--version"]);
    this.expect(outcome);
    return /^pip (\S+)/m.exec(outcome.output)?.[1] ?? "0";
  }

  private async pip(wanted: string[], build: Build | undefined, version: string): Promise<void> {
    const args = installArguments(this.wishes.sources, wanted, build, version);
    this.report.log(masked(`pip ${args.slice(2).join(" ")}`));
    const [from, to] = build === undefined ? [0.75, 0.95] : [0.05, 0.75];
    this.expect(await this.python(args, this.listening(from, to)));
  }

  private python(args: readonly string[], options = this.options): Promise<Outcome> {
    const python = inEnvironment(this.wishes.folder, "python", this.machine.isWindows);
    return this.machine.run(python, args, options);
  }

  /** Reports pip's progress as part [from, to) of all. */
  private listening(from: number, to: number): Options {
    let message = "";
    return {
      ...this.options,
      onLine: (line) => {
        const told = progress(line);
        if (told?.share === undefined) this.report.log(masked(line));
        message = told?.message ?? message;
        if (told) this.report.step(message, from + (to - from) * (told.share ?? 0));
      },
    };
  }

  private expect(outcome: Outcome): void {
    if (outcome.code !== 0) throw failureOf(outcome, this.where);
  }

  private async note(done: Partial<Made>): Promise<void> {
    this.record = { ...this.record, ...done };
    await writeRecord(this.wishes.folder, this.record);
  }
}

function inEnvironment(folder: string, name: string, isWindows: boolean): string {
  return isWindows
    ? path.join(folder, "venv", "Scripts", `${name}.exe`)
    : path.join(folder, "venv", "bin", name);
}

async function findWheel(folder: string): Promise<{ file: string; digest: string }> {
  const names = await readdir(folder).catch(() => []);
  const name = names.find((one) => one.startsWith("warmline-") && one.endsWith(".whl"));
  if (name === undefined) {
    throw new Failure(
      "no wheel",
      "This build of the extension carries no wheel of Warmline",
      "Install the command warmline yourself, or build the extension with `make vscode`.",
    );
  }
  const file = path.join(folder, name);
  return {
    file,
    digest: createHash("sha256")
      .update(await readFile(file))
      .digest("hex"),
  };
}

function asFailure(error: unknown, signal: AbortSignal): Failure {
  if (error instanceof Failure) return error;
  if (signal.aborted) return CANCELLED;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "ENOSPC") return diskFull();
  return new Failure("unknown", String(error), "The log has all of it.");
}
