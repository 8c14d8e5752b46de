import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import * as path from "node:path";
import type { Ahead } from "./consent";
import { CANCELLED, diskFull, Failure } from "./failure";
import { alone } from "./lock";
import type { Machine, Report, Wishes } from "./machine";
import { findWheel, inEnvironment, Making, VENVS, type Task } from "./making";
import { sizeOf, torchBuild } from "./pip";
import { forgetNext, readRecord } from "./record";
import { TORCH } from "./torch";

const WAIT_FOR_WINDOW_MS = 500;

/** The command in an environment that is there and finished, whichever wheel is in it; else undefined. */
export function finishedCommand(folder: string, isWindows: boolean): string | undefined {
  const record = readRecord(folder);
  if (record?.state !== "finished") return undefined;
  const command = inEnvironment(folder, record, "warmline", isWindows);
  return existsSync(command) ? command : undefined;
}

/** What another version of the extension has to install: nothing, its wheel, or torch too, which is large. */
export async function missing(
  folder: string,
  wheels: string,
): Promise<"nothing" | "wheel" | "torch"> {
  const record = readRecord(folder);
  if (record?.pin !== TORCH) return "torch";
  return record.wheel === (await findWheel(wheels)).digest ? "nothing" : "wheel";
}

/** Whether a window was closed while it was being made: consent was given, and it can go on. */
export function isUnfinished(folder: string): boolean {
  return readRecord(folder)?.state === "unfinished";
}

/** How large what is to be fetched is, and whether it is larger than this machine needs. */
export async function sizeAhead(
  wishes: Wishes,
  { run, env, isLinux }: Machine,
  signal: AbortSignal,
): Promise<Ahead> {
  const build = await torchBuild(run, wishes.device, { env, signal });
  const size = sizeOf(build, wishes.sources, isLinux, env);
  return { size, isMoreThanNeeded: build === "cpu" && size === "cuda" };
}

/** Removes what an environment that is not used any more left behind, where nobody is at it. */
export async function tidy(folder: string): Promise<void> {
  const now = { signal: AbortSignal.abort(), everyMs: 0, onWait: () => undefined };
  const work = async (): Promise<void> => {
    const record = readRecord(folder);
    if (record?.state !== "finished") return;
    await forgetNext(folder);
    const old = VENVS.filter((name) => name !== record.venv);
    for (const name of old) await rm(path.join(folder, name), { recursive: true, force: true });
  };
  // in use by another window, or locked by a program of Windows: the next start removes it
  await alone(folder, now, work).catch(() => undefined);
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
  task: Task = "complete",
): Promise<string> {
  const { folder } = wishes;
  const onWait = (): void => {
    report.step("it is being made already, maybe by another window; waiting", 0);
  };
  try {
    return await alone(folder, { signal, everyMs: WAIT_FOR_WINDOW_MS, onWait }, async (onStart) => {
      const making = new Making(wishes, machine, report, { signal, onStart }, task);
      try {
        return await making.all();
      } catch (error) {
        await making.failed(asFailure(error, signal).kind);
        throw error;
      }
    });
  } catch (error) {
    throw asFailure(error, signal);
  }
}

function asFailure(error: unknown, signal: AbortSignal): Failure {
  if (error instanceof Failure) return error;
  if (signal.aborted) return CANCELLED;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "ENOSPC") return diskFull();
  return new Failure("unknown", String(error), "See the log for details.");
}
