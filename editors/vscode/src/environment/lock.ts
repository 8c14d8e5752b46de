import { writeFileSync } from "node:fs";
import { mkdir, readdir, readFile, stat, unlink, writeFile } from "node:fs/promises";
import * as path from "node:path";

// how long a window may take between making its file and writing into it
const EMPTY_MS = 10_000;
const FREE = "free";

/** How a wait goes on. */
export interface Waiting {
  signal: AbortSignal;
  everyMs: number;
  /** Told once, where another window is at it. */
  onWait: () => void;
}

/**
 * Does something while no other window does it: waits for one that is at it.
 *
 * The work names the programs it starts: where a window is killed they go on, and are waited for too.
 * The locks of a folder are numbered, and the highest is the one that counts. It is never removed, only followed by
 * the next: two windows that find it left behind cannot both take what follows.
 */
export async function alone<T>(
  folder: string,
  { signal, everyMs, onWait }: Waiting,
  work: (started: (pid: number) => void) => Promise<T>,
): Promise<T> {
  await mkdir(folder, { recursive: true });
  let lock = await take(folder);
  if (lock === undefined) onWait();
  while (lock === undefined) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, everyMs));
    lock = await take(folder);
  }
  const held = lock;
  try {
    return await work((pid) => {
      writeFileSync(held, `${process.pid} ${pid}`);
    });
  } finally {
    // what the work came to counts; where this fails, on a full disk, the file is empty or names this window
    await writeFile(held, FREE).catch(() => undefined);
  }
}

/** The file of the lock, where it is ours now. */
async function take(folder: string): Promise<string | undefined> {
  const highest = Math.max(0, ...(await numbers(folder)));
  if (highest > 0 && !(await isFree(fileOf(folder, highest)))) return undefined;
  const ours = fileOf(folder, highest + 1);
  try {
    await writeFile(ours, String(process.pid), { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return undefined;
  }
  const all = await numbers(folder);
  // what we saw as the highest was followed, and removed, before ours was made
  const isOurs = Math.max(...all) === highest + 1;
  const old = isOurs ? all.filter((number) => number <= highest) : [highest + 1];
  for (const number of old) await unlink(fileOf(folder, number)).catch(() => undefined);
  return isOurs ? ours : undefined;
}

async function isFree(file: string): Promise<boolean> {
  try {
    const text = await readFile(file, "utf8");
    if (text === "") return Date.now() - (await stat(file)).mtimeMs > EMPTY_MS;
    return text === FREE || !text.split(" ").map(Number).some(isAlive);
  } catch {
    // another window has just taken what follows
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
