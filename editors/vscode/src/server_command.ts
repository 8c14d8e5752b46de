import { existsSync } from "node:fs";
import * as path from "node:path";

/** What is known of where the server may be; none of it needs VS Code. */
export interface Places {
  /** The setting `warmline.command`, as far as it may be trusted; empty where it is not set. */
  setting: string;
  /** Asked where the setting is empty: the interpreter that the workspace uses, as far as that is trusted. */
  interpreter: () => Promise<string | undefined>;
  /** The environment variable PATH. */
  searchPath: string;
  /** What `~` stands for. */
  home: string;
  /** What a relative setting starts from; undefined where no folder is open. */
  folder: string | undefined;
  isWindows: boolean;
}

export interface Found {
  command: string;
  from: "setting" | "interpreter" | "path";
}

/**
 * Where the command `warmline` is: 1. the setting, 2. beside the workspace's interpreter, 3. on the PATH.
 *
 * Raises: Error, where the setting names what is not there.
 */
export async function serverCommand(
  places: Places,
  exists: (file: string) => boolean = existsSync,
  isPassedOver: (command: string) => boolean = () => false,
): Promise<Found | undefined> {
  const { setting, searchPath, isWindows } = places;
  const folders = searchPath.split(isWindows ? ";" : ":").filter(Boolean);
  const isTaken = (file: string): boolean => exists(file) && !isPassedOver(file);
  if (setting) {
    const command = named(places, folders, exists);
    if (!isPassedOver(command)) return { command, from: "setting" };
  }
  const name = isWindows ? "warmline.exe" : "warmline";
  const interpreter = await places.interpreter();
  if (interpreter) {
    const beside = path.join(path.dirname(interpreter), name);
    if (isTaken(beside)) return { command: beside, from: "interpreter" };
  }
  const found = folders.map((folder) => path.join(folder, name)).find(isTaken);
  return found === undefined ? undefined : { command: found, from: "path" };
}

/** The program that the setting names: a path, or a name on the PATH. */
function named(
  { setting, home, folder, isWindows }: Places,
  folders: readonly string[],
  exists: (file: string) => boolean,
): string {
  const expanded = setting.replace(/^~(?=$|[/\\])/, home);
  const isName = !/[/\\]/.test(expanded);
  const starts = isName ? folders : [folder ?? ""];
  const endings = isWindows ? ["", ".exe"] : [""];
  const files = starts.flatMap((start) =>
    endings.map((ending) => path.resolve(start, expanded + ending)),
  );
  const found = files.find((file) => exists(file));
  if (found !== undefined) return found;
  const what = isName ? `no ${setting} on the PATH` : `no file ${files[0] ?? expanded}`;
  throw new Error(`The setting warmline.command is wrong: there is ${what}`);
}

/** What to say where there is no server. */
export const NOT_FOUND =
  "The command warmline was not found. Make an environment for it from the menu, run `pip install warmline` in " +
  "the one that this workspace uses, or set warmline.command to the program.";
