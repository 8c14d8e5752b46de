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
  type Where,
} from "./failure";
import type { Machine, Report, Wishes } from "./machine";
import {
  installArguments,
  masked,
  pipEnvironment,
  progress,
  sizeOf,
  torchBuild,
  type Build,
} from "./pip";
import type { Options, Outcome } from "../program";
import { isName, problemOf } from "../whole_path";
import { findPython } from "./python";
import { follow, NOTHING, readRecord, writeRecord, type Made, type Which } from "./record";
import { TORCH } from "./torch";

// room for what is fetched and unpacked, by what that is; most of it is torch
const NEEDED_BYTES: Record<Build, number> = { cpu: 2e9, cuda: 9e9 };
// an environment cannot be moved, hence the next one has another place
export const VENVS = [NOTHING.venv, "venv2"];
const CHECK =
  "import torch, warmline_protocol.wire, warmline_lsp.commands.cli; print(torch.zeros(2).sum())";
const CHECK_MS = 60_000;

/**
 * What is to be done: what is missing of the environment in use, or another one in its place, from the start or from
 * where a try before this one ended. The one in use stays until the other is finished.
 */
export type Task = "complete" | "anew" | "go on anew";

/** One try to make an environment, with nobody else at it. */
export class Making {
  private readonly where: Where;
  private readonly which: Which;
  /** Whether it works as it is. */
  private readonly wasFinished: boolean;
  private record: Made;
  private readonly options: Options;

  constructor(
    private readonly wishes: Wishes,
    private readonly machine: Machine,
    private readonly report: Report,
    options: Omit<Options, "env">,
    task: Task,
  ) {
    const { folder } = wishes;
    this.options = { ...options, env: pipEnvironment(machine.env, path.join(folder, "tmp")) };
    const used = readRecord(folder);
    const isKept = task !== "complete" && used?.state === "finished";
    this.which = isKept ? "next" : "record";
    this.wasFinished = task === "complete" && used?.state === "finished";
    const begun = task === "anew" ? undefined : readRecord(folder, this.which);
    const venv = VENVS.find((name) => !isKept || name !== used.venv) ?? NOTHING.venv;
    this.record = begun ?? { ...NOTHING, venv };
    this.where = {
      pythonVersion: this.record.python,
      isDebian: machine.isDebian,
      wheelFolder: wishes.sources.wheelFolder,
    };
  }

  async all(): Promise<string> {
    const { folder } = this.wishes;
    checkPaths(this.wishes, this.machine.isWindows);
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
    if (this.which === "next") await follow(folder);
    this.report.step("done", 1);
    return inEnvironment(folder, this.record, "warmline", this.machine.isWindows);
  }

  /** Notes how it ended; what worked before and still works is finished, though not current. */
  async failed(kind: Kind): Promise<void> {
    const options = { ...this.options, signal: AbortSignal.timeout(CHECK_MS) };
    const works = this.wasFinished && (await this.python(["-c", CHECK], options)).code === 0;
    const state = works ? "finished" : kind === "cancelled" ? "cancelled" : "failed";
    // what does not run is not gone on with
    const python = kind === "broken" ? "" : this.record.python;
    // a full disk takes no record either; then it says unfinished, which is true
    await this.note({ state, python }).catch(() => undefined);
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
    const { venv } = this.record;
    await this.note({ ...NOTHING, venv });
    const args = ["-P", "-m", "venv", "--clear", path.join(folder, venv)];
    this.expect(await run(found.executable, args, this.listening(0.01, 0.05)));
    await this.note({ python: found.version });
  }

  private async torch(pipVersion: string): Promise<void> {
    if (this.record.pin === TORCH) return;
    const { run, isLinux, env, freeBytes } = this.machine;
    const build = await torchBuild(run, this.wishes.device, this.options);
    const needed = NEEDED_BYTES[sizeOf(build, this.wishes.sources, isLinux, env)];
    if ((await freeBytes(this.wishes.folder)) < needed) throw diskFull();
    const name = build === "cuda" ? "torch for the GPU" : "torch";
    this.report.step(`installing ${name}`, 0.05);
    await this.pip([TORCH], build, pipVersion);
    // what was tried was another torch
    await this.note({ torch: build, pin: TORCH, wheel: "" });
  }

  /** That it computes on this machine, not only that pip was content. */
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
    const { isWindows, run } = this.machine;
    const python = inEnvironment(this.wishes.folder, this.record, "python", isWindows);
    return run(python, ["-P", ...args], options);
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
    await writeRecord(this.wishes.folder, this.record, this.which);
  }
}

/** Raises: Failure, where a setting names a path that depends on the current folder. */
function checkPaths({ python, sources }: Wishes, isWindows: boolean): void {
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
  { venv }: Made,
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
