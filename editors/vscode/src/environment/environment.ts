import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import * as path from "node:path";
import type { DownloadEstimate } from "./consent";
import { CANCELLED, diskFull, Failure } from "./failure";
import { withLock } from "./lock";
import type { Machine, Report, InstallSettings } from "./machine";
import { findWheel, inEnvironment, InstallAttempt, VENVS, type Task } from "./install_attempt";
import { sizeOf, torchBuild } from "./pip";
import { forgetNext, readRecord } from "./record";
import { TORCH } from "./torch";

const WAIT_FOR_WINDOW_MS = 500;

/** The command in a finished environment, whichever wheel it has; undefined if there is none. */
export function finishedCommand(folder: string, isWindows: boolean): string | undefined {
  const record = readRecord(folder);
  if (record?.state !== "finished") return undefined;
  const command = inEnvironment(folder, record, "warmline", isWindows);
  return existsSync(command) ? command : undefined;
}

/** What this version of the extension has to install: nothing, its wheel, or also torch, which is large. */
export async function missing(
  folder: string,
  wheels: string,
): Promise<"nothing" | "wheel" | "torch"> {
  const record = readRecord(folder);
  if (record?.pin !== TORCH) return "torch";
  return record.wheel === (await findWheel(wheels)).digest ? "nothing" : "wheel";
}

/** Whether an installation was interrupted: the user has agreed to it, and it can continue. */
export function isUnfinished(folder: string): boolean {
  return readRecord(folder)?.state === "unfinished";
}

/** The download size, and whether it is larger than this machine needs. */
export async function estimateDownload(
  settings: InstallSettings,
  { run, env, isLinux }: Machine,
  signal: AbortSignal,
): Promise<DownloadEstimate> {
  const build = await torchBuild(run, settings.device, { env, signal });
  const size = sizeOf(build, settings.sources, isLinux, env);
  return { size, isMoreThanNeeded: build === "cpu" && size === "cuda" };
}

/** Removes an environment that is no longer in use, unless another window holds the lock. */
export async function removeUnused(folder: string): Promise<void> {
  const noWait = { signal: AbortSignal.abort(), pollMs: 0, onWait: () => undefined };
  const work = async (): Promise<void> => {
    const record = readRecord(folder);
    if (record?.state !== "finished") return;
    await forgetNext(folder);
    const unused = VENVS.filter((name) => name !== record.venv);
    for (const name of unused) await rm(path.join(folder, name), { recursive: true, force: true });
  };
  // used by another window, or Windows locks its files: the next start removes it
  await withLock(folder, noWait, work).catch(() => undefined);
}

/**
 * Installs the environment, or what is missing from it; the path of the `warmline` command in it.
 *
 * Raises: Failure, with what to do; finished steps are kept.
 */
export async function installEnvironment(
  settings: InstallSettings,
  machine: Machine,
  report: Report,
  signal: AbortSignal,
  task: Task = "complete",
): Promise<string> {
  const { folder } = settings;
  const onWait = (): void => {
    report.step("waiting for an installation in another window", 0);
  };
  try {
    return await withLock(
      folder,
      { signal, pollMs: WAIT_FOR_WINDOW_MS, onWait },
      async (onStart) => {
        const attempt = new InstallAttempt(settings, machine, report, { signal, onStart }, task);
        try {
          return await attempt.run();
        } catch (error) {
          await attempt.failed(asFailure(error, signal).kind);
          throw error;
        }
      },
    );
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
