import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { alone, type Waiting } from "../src/environment/lock";

// above the largest id that Linux gives
const NOBODY = "4999999";

const roots: string[] = [];
after(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

function folder(lock?: string): string {
  const made = mkdtempSync(path.join(tmpdir(), "warmline-lock-"));
  roots.push(made);
  if (lock !== undefined) writeFileSync(path.join(made, "lock.7"), lock);
  return made;
}

function waiting(signal = new AbortController().signal, onWait = (): void => undefined): Waiting {
  return { signal, everyMs: 1, onWait };
}

const at = (place: string, work: () => Promise<void>, how = waiting()): Promise<void> =>
  alone(place, how, work);

test("of many that find a lock left behind, one at a time does its work", async () => {
  const place = folder(NOBODY);
  let n = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    most = Math.max(most, ++n);
    await new Promise((resolve) => setTimeout(resolve, 2));
    n--;
  };
  await Promise.all(Array.from({ length: 12 }, () => at(place, work)));
  assert.equal(most, 1);
  assert.deepEqual(readdirSync(place), ["lock.19"]);
});

test("one that was made and never written into is not waited for without end", async () => {
  const place = folder("");
  await assert.rejects(at(place, () => Promise.resolve(), waiting(AbortSignal.abort())));
  const longAgo = new Date(Date.now() - 60_000);
  utimesSync(path.join(place, "lock.7"), longAgo, longAgo);
  await at(place, () => Promise.resolve());
});

test("who waits is told once, and may stop", async () => {
  const place = folder(String(process.pid));
  const stop = new AbortController();
  let nTold = 0;
  const waits = at(
    place,
    () => Promise.resolve(),
    waiting(stop.signal, () => {
      nTold++;
      setTimeout(() => {
        stop.abort();
      }, 20);
    }),
  );
  await assert.rejects(waits, { name: "AbortError" });
  assert.equal(nTold, 1);
});

test("what the work came to is told, whatever becomes of the lock", async () => {
  const place = folder();
  const work = (): Promise<void> => {
    rmSync(place, { recursive: true });
    return Promise.reject(new Error("the work failed"));
  };
  await assert.rejects(at(place, work), /the work failed/);
});
