import { writeFileSync } from "node:fs";
import { mkdir, readdir, readFile, stat, unlink, writeFile } from "node:fs/promises";
import * as path from "node:path";

// maximum time between creating a lock file and writing to it
const MAX_EMPTY_MS = 10_000;
const FREE = "free";

/** How to wait for a lock. */
export interface LockOptions {
  signal: AbortSignal;
  pollMs: number;
  /** Called once if another window holds the lock. */
  onWait: () => void;
}

/**
 * Runs `work` while it holds a folder's lock, which one window at a time can hold.
 *
 * The lock file names the window and the program that `work` started: if the window is killed, the program goes on, and
 * the lock is not free before it ends too. Lock files are numbered and the highest number is the lock. It is only
 * removed after the next one exists, so two windows that find an abandoned lock cannot both take the next.
 */
export async function withLock<T>(
  folder: string,
  { signal, pollMs, onWait }: LockOptions,
  work: (started: (pid: number) => void) => Promise<T>,
): Promise<T> {
  await mkdir(folder, { recursive: true });
  let lock = await tryLock(folder);
  if (lock === undefined) onWait();
  while (lock === undefined) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, pollMs));
    lock = await tryLock(folder);
  }
  const held = lock;
  try {
    return await work((pid) => {
      writeFileSync(held, `${process.pid} ${pid}`);
    });
  } finally {
    // keep the result of `work` if this fails; on a full disk the file is empty or still names this window
    await writeFile(held, FREE).catch(() => undefined);
  }
}

/** Takes the lock if it is free; its file. */
async function tryLock(folder: string): Promise<string | undefined> {
  const highest = Math.max(0, ...(await numbers(folder)));
  if (highest > 0 && !(await isFree(fileOf(folder, highest)))) return undefined;
  const file = fileOf(folder, highest + 1);
  try {
    await writeFile(file, String(process.pid), { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return undefined;
  }
  const all = await numbers(folder);
  // another window may already have taken a higher number
  const isLatest = Math.max(...all) === highest + 1;
  const old = isLatest ? all.filter((number) => number <= highest) : [highest + 1];
  for (const number of old) await unlink(fileOf(folder, number)).catch(() => undefined);
  return isLatest ? file : undefined;
}

async function isFree(file: string): Promise<boolean> {
  try {
    const text = await readFile(file, "utf8");
    if (text === "") return Date.now() - (await stat(file)).mtimeMs > MAX_EMPTY_MS;
    return text === FREE || !text.split(" ").map(Number).some(isAlive);
  } catch {
    // another window has just taken the next lock
    return false;
  }
}

async function numbers(folder: string): Promise<number[]> {
  const found = (await readdir(folder)).map((name) => /^lock\.(\d+)$/.exec(name)?.[1]);
  return found.filter((number) => number !== undefined).map(Number);
}

function fileOf(folder: string, number: number): string {
  return path.join(folder, `lock.${number}`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
