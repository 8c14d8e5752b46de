import type { ChildProcess } from "node:child_process";
import * as path from "node:path";
import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";
import { neutralFolder } from "./safe_environment";
import { start } from "./start";

/** How a program ended, and the last lines of its stdout and stderr. */
export interface Outcome {
  end: "exit" | "killed" | "cancelled" | "missing";
  /** Exit status; null if it was killed or did not start. */
  code: number | null;
  output: string;
}

export interface Options {
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
  onLine?: (line: string) => void;
  onStart?: (pid: number) => void;
}

export type Run = (command: string, args: readonly string[], options: Options) => Promise<Outcome>;

const MAX_LINES = 200;
const GRACE_MS = 3000;

/** Runs a program to completion; aborting kills it and its children. Never rejects. */
export const run: Run = (command, args, { env, signal, onLine, onStart }) => {
  if (signal.aborted) return Promise.resolve({ end: "cancelled", code: null, output: "" });
  return new Promise((resolve) => {
    const isWindows = process.platform === "win32";
    let child: ChildProcess;
    try {
      child = start(command, args, {
        env,
        // its own process group, so that pip's children are killed too
        detached: !isWindows,
        stdio: ["ignore", "pipe", "pipe"],
      });
    } catch (error) {
      resolve({ end: "missing", code: null, output: (error as Error).message });
      return;
    }
    if (child.pid !== undefined) onStart?.(child.pid);
    const lines: string[] = [];
    const both = new PassThrough();
    let open = 2;
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      stream.on("end", () => --open === 0 && both.end());
      stream.pipe(both, { end: false });
    }
    createInterface({ input: both, crlfDelay: Infinity }).on("line", (line) => {
      lines.push(line);
      if (lines.length > MAX_LINES) lines.shift();
      onLine?.(line);
    });
    let killTimer: NodeJS.Timeout | undefined;
    const kill = (name: NodeJS.Signals): void => {
      if (child.pid === undefined) return;
      if (isWindows) {
        const taskkill = path.join(neutralFolder(isWindows), "System32", "taskkill.exe");
        start(taskkill, ["/pid", String(child.pid), "/T", "/F"], { env: process.env });
        return;
      }
      try {
        process.kill(-child.pid, name);
      } catch {
        // it has already ended
      }
    };
    const cancel = (): void => {
      kill("SIGTERM");
      killTimer = setTimeout(() => {
        kill("SIGKILL");
      }, GRACE_MS);
    };
    signal.addEventListener("abort", cancel, { once: true });
    const finish = (end: Outcome["end"], code: number | null): void => {
      clearTimeout(killTimer);
      signal.removeEventListener("abort", cancel);
      resolve({ end, code, output: lines.join("\n") });
    };
    child.on("error", () => {
      finish(signal.aborted ? "cancelled" : "missing", null);
    });
    child.on("close", (code, killedBy) => {
      if (signal.aborted) finish("cancelled", code);
      else finish(killedBy === null ? "exit" : "killed", code);
    });
  });
};
