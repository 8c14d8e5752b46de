import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import type { Run } from "../program";
import type { Sources } from "./pip";

/** What to install, and where. */
export interface InstallSettings {
  /** The environment's folder in the extension's global storage. */
  folder: string;
  /** The folder of the extension's own wheels. */
  wheels: string;
  /** `warmline.environment.python` */
  python: string;
  /** `warmline.device` */
  device: string;
  sources: Sources;
}

/** The machine, which tests replace by a fake. */
export interface Machine {
  run: Run;
  env: NodeJS.ProcessEnv;
  isWindows: boolean;
  isLinux: boolean;
  isDebian: boolean;
  freeBytes: (folder: string) => Promise<number>;
}

export interface Report {
  /** share: the completed part of the installation, 0 to 1. */
  step: (message: string, share: number) => void;
  log: (line: string) => void;
}

/** This machine, with the environment variables for its programs. */
export function machine(run: Run, env: NodeJS.ProcessEnv): Machine {
  return {
    run,
    env,
    isWindows: process.platform === "win32",
    isLinux: process.platform === "linux",
    isDebian: existsSync("/etc/debian_version"),
    freeBytes: async (folder) => {
      const { bavail, bsize } = await statfs(folder);
      return bavail * bsize;
    },
  };
}
