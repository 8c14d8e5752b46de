import { readFileSync, writeFileSync } from "node:fs";
import { mkdir, open, readFile, rename, unlink, writeFile } from "node:fs/promises";
import * as path from "node:path";
import type { Build } from "./pip";

/** Which steps are done, kept beside the environment so that an interrupted run goes on. */
export interface Made {
  /** `unfinished` is also what an interrupted run leaves. */
  state: "unfinished" | "failed" | "cancelled" | "finished";
  /** Version of the Python that the environment is made of; empty before that. */
  python: string;
  torch: Build | "";
  /** Digest of the wheel that is installed; empty before that. */
  wheel: string;
}

export const NOTHING: Made = { state: "unfinished", python: "", torch: "", wheel: "" };

/** What is recorded in a folder; undefined where nothing was begun, or where it cannot be read. */
export function readRecord(folder: string): Made | undefined {
  try {
    const found: unknown = JSON.parse(readFileSync(path.join(folder, "record.json"), "utf8"));
    return isRecord(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** All of it or nothing is written. */
export async function writeRecord(folder: string, record: Made): Promise<void> {
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, "record.json");
  await writeFile(`${file}.new`, JSON.stringify(record));
  await rename(`${file}.new`, file);
}

/**
 * Does something while no other window does it: waits for one that is at it.
 *
 * The work names the programs it starts: where a window is killed they go on, and are waited for too.
 */
export async function alone<T>(
  folder: string,
  signal: AbortSignal,
  everyMs: number,
  work: (started: (pid: number) => void) => Promise<T>,
): Promise<T> {
  await mkdir(folder, { recursive: true });
  const lock = path.join(folder, "lock");
  while (!(await take(lock))) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  try {
    return await work((pid) => {
      writeFileSync(lock, `${process.pid} ${pid}`);
    });
  } finally {
    await unlink(lock);
  }
}

async function take(lock: string): Promise<boolean> {
  try {
    const file = await open(lock, "wx");
    await file.writeFile(String(process.pid));
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const owners = (await readFile(lock, "utf8").catch(() => "")).split(" ").map(Number);
  // empty: it is being written
  if (owners[0] !== 0 && !owners.some(isAlive)) await unlink(lock).catch(() => undefined);
  return false;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function isRecord(found: unknown): found is Made {
  if (typeof found !== "object" || found === null) return false;
  return Object.keys(NOTHING).every(
    (name) => typeof (found as Record<string, unknown>)[name] === "string",
  );
}
