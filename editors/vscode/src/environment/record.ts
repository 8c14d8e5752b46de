import { readFileSync } from "node:fs";
import { mkdir, rename, unlink, writeFile } from "node:fs/promises";
import * as path from "node:path";
import type { Build } from "./pip";

/** Which steps are done, kept beside the environment so that an interrupted run goes on. */
export interface Made {
  /** `unfinished` is also what an interrupted run leaves. */
  state: "unfinished" | "failed" | "cancelled" | "finished";
  /** Name of the folder that the environment is in. */
  venv: string;
  /** Version of the Python that the environment is made of; empty before that. */
  python: string;
  torch: Build | "";
  /** The version of torch, as pip was told it; empty before that. */
  pin: string;
  /** Digest of the wheel that is installed; empty before that. */
  wheel: string;
}

/** Of which environment: the one that is used, or the one that is to follow it. */
export type Which = "record" | "next";

export const NOTHING: Made = {
  state: "unfinished",
  venv: "venv",
  python: "",
  torch: "",
  pin: "",
  wheel: "",
};

/** What is recorded in a folder; undefined where nothing was begun, or where it cannot be read. */
export function readRecord(folder: string, which: Which = "record"): Made | undefined {
  try {
    const found: unknown = JSON.parse(readFileSync(fileOf(folder, which), "utf8"));
    return isRecord(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** All of it or nothing is written. */
export async function writeRecord(folder: string, record: Made, which?: Which): Promise<void> {
  await mkdir(folder, { recursive: true });
  const file = fileOf(folder, which ?? "record");
  await writeFile(`${file}.new`, JSON.stringify(record));
  await rename(`${file}.new`, file);
}

/** The one that was to follow is the one that is used from now on. */
export async function follow(folder: string): Promise<void> {
  await rename(fileOf(folder, "next"), fileOf(folder, "record"));
}

/** Forgets the one that was to follow. */
export async function forgetNext(folder: string): Promise<void> {
  await unlink(fileOf(folder, "next")).catch(() => undefined);
}

function fileOf(folder: string, which: Which): string {
  return path.join(folder, `${which}.json`);
}

function isRecord(found: unknown): found is Made {
  if (typeof found !== "object" || found === null) return false;
  return Object.keys(NOTHING).every(
    (name) => typeof (found as Record<string, unknown>)[name] === "string",
  );
}
