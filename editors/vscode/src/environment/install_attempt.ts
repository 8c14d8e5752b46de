import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import * as path from "node:path";
import {
  CANCELLED,
  diskFull,
  Failure,
  failureOf,
  relativePath,
  type Kind,
  type FailureContext,
} from "./failure";
import type { Machine, Report, InstallSettings } from "./machine";
import {
  installArguments,
  maskCredentials,
  pipEnvironment,
  progress,
  sizeOf,
  torchBuild,
  type Build,
} from "./pip";
import type { Options, Outcome } from "../program";
import { isName, problemOf } from "../paths";
import { findPython } from "./python";
import {
  EMPTY_RECORD,
  promoteNext,
  readRecord,
  writeRecord,
  type InstallRecord,
  type RecordName,
} from "./record";
import { TORCH } from "./torch";

// disk space for download and installation; most of it is torch
const NEEDED_BYTES: Record<Build, number> = { cpu: 2e9, cuda: 9e9 };
// an environment cannot be moved, so a new one gets the other folder
export const VENVS = [EMPTY_RECORD.venv, "venv2"];
const CHECK =
  "import torch, warmline_protocol.wire, warmline_lsp.commands.cli; print(torch.zeros(2).sum())";
const CHECK_MS = 60_000;

/**
 * What to install: what is missing from the environment in use; or a new environment, from the start or from where an
 * earlier attempt ended. The environment in use stays until the new one is finished.
 */
export type Task = "complete" | "rebuild" | "resume rebuild";

/** One attempt to install the environment; the caller holds the lock. */
export class InstallAttempt {
  private readonly context: FailureContext;
  private readonly recordName: RecordName;
  /** Whether it was complete before this attempt. */
  private readonly wasFinished: boolean;
  private record: InstallRecord;
  private readonly options: Options;

  constructor(
    private readonly settings: InstallSettings,
    private readonly machine: Machine,
    private readonly report: Report,
    options: Omit<Options, "env">,
    task: Task,
  ) {
    const { folder } = settings;
    this.options = { ...options, env: pipEnvironment(machine.env, path.join(folder, "tmp")) };
    const current = readRecord(folder);
    const replacesFinished = task !== "complete" && current?.state === "finished";
    this.recordName = replacesFinished ? "next" : "record";
    this.wasFinished = task === "complete" && current?.state === "finished";
    const existing = task === "rebuild" ? undefined : readRecord(folder, this.recordName);
    const venv =
      VENVS.find((name) => !replacesFinished || name !== current.venv) ?? EMPTY_RECORD.venv;
    this.record = existing ?? { ...EMPTY_RECORD, venv };
    this.context = {
      pythonVersion: this.record.python,
      isDebian: machine.isDebian,
      wheelFolder: settings.sources.wheelFolder,
    };
  }

  async run(): Promise<string> {
    const { folder } = this.settings;
    checkPaths(this.settings, this.machine.isWindows);
    const wheel = await findWheel(this.settings.wheels);
    await mkdir(path.join(folder, "tmp"), { recursive: true });
    await this.save({ state: "unfinished" });
    await this.createVenv();
    const pipVersion = await this.pipVersion();
    await this.installTorch(pipVersion);
    if (this.record.wheel !== wheel.digest) {
      this.report.step("installing Warmline", 0.75);
      // first without its dependencies: another wheel may have the same version
      await this.pip(["--no-deps", "--force-reinstall", wheel.file], undefined, pipVersion);
      await this.pip([wheel.file], undefined, pipVersion);
      await this.check();
      await this.save({ wheel: wheel.digest });
    }
    await rm(path.join(folder, "tmp"), { recursive: true, force: true });
    await this.save({ state: "finished" });
    if (this.recordName === "next") await promoteNext(folder);
    this.report.step("done", 1);
    return inEnvironment(folder, this.record, "warmline", this.machine.isWindows);
  }

  /** Records a failure; an environment that still works stays finished, though not up to date. */
  async failed(kind: Kind): Promise<void> {
    const options = { ...this.options, signal: AbortSignal.timeout(CHECK_MS) };
    const works = this.wasFinished && (await this.python(["-c", CHECK], options)).code === 0;
    const state = works ? "finished" : kind === "cancelled" ? "cancelled" : "failed";
    // start over after a broken installation
    const python = kind === "broken" ? "" : this.record.python;
    // on a full disk the record stays "unfinished", which is true
    await this.save({ state, python }).catch(() => undefined);
  }

  private async createVenv(): Promise<void> {
    const { folder, python } = this.settings;
    if (this.record.python !== "" && (await this.python(["-c", "pass"])).code === 0) return;
    this.report.step("looking for Python", 0);
    const { run, isWindows, isDebian } = this.machine;
    const found = await findPython(run, python, isWindows, isDebian, this.options);
    this.context.pythonVersion = found.version;
    this.report.log(`creating the environment with ${found.executable}, Python ${found.version}`);
    this.report.step(`creating an environment with Python ${found.version}`, 0.01);
    const { venv } = this.record;
    await this.save({ ...EMPTY_RECORD, venv });
    const args = ["-P", "-m", "venv", "--clear", path.join(folder, venv)];
    this.checkExit(await run(found.executable, args, this.withProgress(0.01, 0.05)));
    await this.save({ python: found.version });
  }

  private async installTorch(pipVersion: string): Promise<void> {
    if (this.record.pin === TORCH) return;
    const { run, isLinux, env, freeBytes } = this.machine;
    const build = await torchBuild(run, this.settings.device, this.options);
    const needed = NEEDED_BYTES[sizeOf(build, this.settings.sources, isLinux, env)];
    if ((await freeBytes(this.settings.folder)) < needed) throw diskFull();
    const name = build === "cuda" ? "torch for the GPU" : "torch";
    this.report.step(`installing ${name}`, 0.05);
    await this.pip([TORCH], build, pipVersion);
    // the wheel was tested with another torch
    await this.save({ torch: build, pin: TORCH, wheel: "" });
  }

  /** Checks that torch computes on this machine: pip's success does not show that. */
  private async check(): Promise<void> {
    this.report.step("testing the installation", 0.95);
    const outcome = await this.python(["-c", CHECK]);
    if (outcome.end === "cancelled") throw CANCELLED;
    if (outcome.code === 0) return;
    const last = outcome.output.trim().split("\n").at(-1) ?? "";
    throw new Failure(
      "broken",
      `The installed server does not run: ${last}`,
      "Reinstall the environment from the menu. If that fails too, see the log.",
    );
  }

  private async pipVersion(): Promise<string> {
    const outcome = await this.python(["-m", "pip", "--version"]);
    this.checkExit(outcome);
    return /^pip (\S+)/m.exec(outcome.output)?.[1] ?? "0";
  }

  private async pip(packages: string[], build: Build | undefined, version: string): Promise<void> {
    const args = installArguments(this.settings.sources, packages, build, version);
    this.report.log(maskCredentials(`pip ${args.slice(2).join(" ")}`));
    const [from, to] = build === undefined ? [0.75, 0.95] : [0.05, 0.75];
    this.checkExit(await this.python(args, this.withProgress(from, to)));
  }

  private python(args: readonly string[], options = this.options): Promise<Outcome> {
    const { isWindows, run } = this.machine;
    const python = inEnvironment(this.settings.folder, this.record, "python", isWindows);
    return run(python, ["-P", ...args], options);
  }

  /** Reports pip's progress as the part [from, to) of the whole installation. */
  private withProgress(from: number, to: number): Options {
    let message = "";
    return {
      ...this.options,
      onLine: (line) => {
        const update = progress(line);
        if (update?.share === undefined) this.report.log(maskCredentials(line));
        message = update?.message ?? message;
        if (update) this.report.step(message, from + (to - from) * (update.share ?? 0));
      },
    };
  }

  private checkExit(outcome: Outcome): void {
    if (outcome.code !== 0) throw failureOf(outcome, this.context);
  }

  private async save(changes: Partial<InstallRecord>): Promise<void> {
    this.record = { ...this.record, ...changes };
    await writeRecord(this.settings.folder, this.record, this.recordName);
  }
}

/** Raises: Failure, if a setting has a relative path. */
function checkPaths({ python, sources }: InstallSettings, isWindows: boolean): void {
  const { wheelFolder } = sources;
  if (python !== "" && !isName(python)) check("python", python);
  if (wheelFolder !== "") check("wheelFolder", wheelFolder);

  function check(name: string, file: string): void {
    const problem = problemOf(file, isWindows);
    if (problem !== undefined) throw relativePath(`warmline.environment.${name}`, problem);
  }
}

export function inEnvironment(
  folder: string,
  { venv }: InstallRecord,
  name: string,
  isWindows: boolean,
): string {
  return isWindows
    ? path.join(folder, venv, "Scripts", `${name}.exe`)
    : path.join(folder, venv, "bin", name);
}

export async function findWheel(folder: string): Promise<{ file: string; digest: string }> {
  const names = await readdir(folder).catch(() => []);
  const name = names.find((one) => one.startsWith("warmline-") && one.endsWith(".whl"));
  if (name === undefined) {
    throw new Failure(
      "no wheel",
      "This build of the extension contains no Warmline wheel",
      "Install the warmline command yourself, or build the extension with `make vscode`.",
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
