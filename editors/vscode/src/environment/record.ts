import { readFileSync } from "node:fs";
import { mkdir, rename, unlink, writeFile } from "node:fs/promises";
import * as path from "node:path";
import type { Build } from "./pip";

/** The finished steps of an installation, saved so that an interrupted one can continue. */
export interface InstallRecord {
  /** `unfinished`: in progress or interrupted. */
  state: "unfinished" | "failed" | "cancelled" | "finished";
  /** Name of the environment's folder. */
  venv: string;
  /** Version of the environment's Python; empty before it is created. */
  python: string;
  torch: Build | "";
  /** The installed requirement, such as `torch==2.13.0`; empty before that. */
  pin: string;
  /** SHA-256 of the installed Warmline wheel; empty before that. */
  wheel: string;
}

/** Whose record: of the environment in use, or of the next one, which will replace it. */
export type RecordName = "record" | "next";

export const EMPTY_RECORD: InstallRecord = {
  state: "unfinished",
  venv: "venv",
  python: "",
  torch: "",
  pin: "",
  wheel: "",
};

/** Reads a record; undefined if it does not exist or is invalid. */
export function readRecord(
  folder: string,
  recordName: RecordName = "record",
): InstallRecord | undefined {
  try {
    const found: unknown = JSON.parse(readFileSync(fileOf(folder, recordName), "utf8"));
    return isRecord(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Writes a record atomically. */
export async function writeRecord(
  folder: string,
  record: InstallRecord,
  recordName?: RecordName,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const file = fileOf(folder, recordName ?? "record");
  await writeFile(`${file}.new`, JSON.stringify(record));
  await rename(`${file}.new`, file);
}

/** Makes the next environment the one in use. */
export async function promoteNext(folder: string): Promise<void> {
  await rename(fileOf(folder, "next"), fileOf(folder, "record"));
}

/** Deletes the record of the next environment. */
export async function forgetNext(folder: string): Promise<void> {
  await unlink(fileOf(folder, "next")).catch(() => undefined);
}

function fileOf(folder: string, recordName: RecordName): string {
  return path.join(folder, `${recordName}.json`);
}

function isRecord(found: unknown): found is InstallRecord {
  if (typeof found !== "object" || found === null) return false;
  return Object.keys(EMPTY_RECORD).every(
    (name) => typeof (found as Record<string, unknown>)[name] === "string",
  );
}
