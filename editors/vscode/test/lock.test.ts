import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { withLock, type LockOptions } from "../src/environment/lock";

// above the largest process id on Linux
const DEAD_PID = "4999999";

const roots: string[] = [];
after(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

function folder(lock?: string): string {
  const root = mkdtempSync(path.join(tmpdir(), "warmline-lock-"));
  roots.push(root);
  if (lock !== undefined) writeFileSync(path.join(root, "lock.7"), lock);
  return root;
}

function lockOptions(
  signal = new AbortController().signal,
  onWait = (): void => undefined,
): LockOptions {
  return { signal, pollMs: 1, onWait };
}

const locked = (place: string, work: () => Promise<void>, options = lockOptions()): Promise<void> =>
  withLock(place, options, work);

test("after an abandoned lock, the work runs one at a time", async () => {
  const place = folder(DEAD_PID);
  let n = 0;
  let maxRunning = 0;
  const work = async (): Promise<void> => {
    maxRunning = Math.max(maxRunning, ++n);
    await new Promise((resolve) => setTimeout(resolve, 2));
    n--;
  };
  await Promise.all(Array.from({ length: 12 }, () => locked(place, work)));
  assert.equal(maxRunning, 1);
  assert.deepEqual(readdirSync(place), ["lock.19"]);
});

test("an old empty lock file is free", async () => {
  const place = folder("");
  await assert.rejects(locked(place, () => Promise.resolve(), lockOptions(AbortSignal.abort())));
  const longAgo = new Date(Date.now() - 60_000);
  utimesSync(path.join(place, "lock.7"), longAgo, longAgo);
  await locked(place, () => Promise.resolve());
});

test("onWait is called once, and the wait can be aborted", async () => {
  const place = folder(String(process.pid));
  const stop = new AbortController();
  let nCalls = 0;
  const waits = locked(
    place,
    () => Promise.resolve(),
    lockOptions(stop.signal, () => {
      nCalls++;
      setTimeout(() => {
        stop.abort();
      }, 20);
    }),
  );
  await assert.rejects(waits, { name: "AbortError" });
  assert.equal(nCalls, 1);
});

test("the result of the work is kept even if the lock file is lost", async () => {
  const place = folder();
  const work = (): Promise<void> => {
    rmSync(place, { recursive: true });
    return Promise.reject(new Error("the work failed"));
  };
  await assert.rejects(locked(place, work), /the work failed/);
});
