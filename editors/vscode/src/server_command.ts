import { existsSync } from "node:fs";
import * as path from "node:path";

/** What is known of where the server may be; none of it needs VS Code. */
export interface Places {
  /** The setting `warmline.command`, as far as it may be trusted; empty where it is not set. */
  setting: string;
  /** The interpreter that the workspace uses, as far as the workspace is trusted. */
  interpreter: string | undefined;
  /** The environment variable PATH. */
  searchPath: string;
  isWindows: boolean;
}

export interface Found {
  command: string;
  from: "setting" | "interpreter" | "path";
}

/** Where the command `warmline` is: 1. the setting, 2. beside the workspace's interpreter, 3. on the PATH. */
export function serverCommand(places: Places, exists = existsSync): Found | undefined {
  if (places.setting) return { command: places.setting, from: "setting" };
  const name = places.isWindows ? "warmline.exe" : "warmline";
  if (places.interpreter) {
    const beside = path.join(path.dirname(places.interpreter), name);
    if (exists(beside)) return { command: beside, from: "interpreter" };
  }
  const folders = places.searchPath.split(places.isWindows ? ";" : ":").filter(Boolean);
  const found = folders.map((folder) => path.join(folder, name)).find((file) => exists(file));
  return found === undefined ? undefined : { command: found, from: "path" };
}

/** What to say where there is no server. */
export const NOT_FOUND =
  "The command warmline was not found. Reload the window to have an environment made for it, run " +
  "`pip install warmline` in the one that this workspace uses, or set warmline.command to the program.";
