import { existsSync } from "node:fs";
import * as path from "node:path";
import { refused } from "./start";
import { expanded, isInside, isName, isWhole, problemOf } from "./whole_path";

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
  /** The folders of a workspace that is not trusted: nothing in them is run, whoever named it. */
  untrusted?: readonly string[];
  isWindows: boolean;
}

export interface Found {
  command: string;
  from: "setting" | "interpreter" | "path";
}

/**
 * Where the command `warmline` is: 1. the setting, 2. beside the workspace's interpreter, 3. on the PATH.
 *
 * Raises: Error, where the setting names what is not there or must not be run.
 */
export async function serverCommand(
  places: Places,
  exists: (file: string) => boolean = existsSync,
  isPassedOver: (command: string) => boolean = () => false,
): Promise<Found | undefined> {
  const { setting, searchPath, isWindows, untrusted = [] } = places;
  // another entry would begin in the folder that we are in, the workspace maybe
  const folders = searchPath
    .split(isWindows ? ";" : ":")
    .filter((folder) => isWhole(folder, isWindows));
  const isTaken = (file: string): boolean =>
    exists(file) && !isPassedOver(file) && !isInside(file, untrusted);
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

/** The program that the setting names: a whole path, or a name on the PATH. */
function named(
  { setting, home, isWindows, untrusted = [] }: Places,
  folders: readonly string[],
  exists: (file: string) => boolean,
): string {
  const program = expanded(setting, home);
  const isOnPath = isName(program);
  const problem = isOnPath ? undefined : problemOf(program, isWindows);
  if (problem !== undefined) throw wrong(problem);
  const endings = isWindows ? ["", ".exe"] : [""];
  const files = (isOnPath ? folders : [""]).flatMap((folder) =>
    endings.map((ending) => path.join(folder, program + ending)),
  );
  const found = files.filter((file) => exists(file));
  const taken = found.find((file) => !isInside(file, untrusted));
  if (taken !== undefined) return taken;
  if (found[0] !== undefined) throw wrong(refused(found[0]));
  throw wrong(isOnPath ? `${setting} is not on the PATH` : `${program} does not exist`);
}

function wrong(what: string): Error {
  return new Error(`Invalid setting warmline.command: ${what}`);
}

/** What to say where there is no server. */
export const NOT_FOUND =
  'The warmline command was not found. Choose "Reinstall the extension\'s environment" in the menu, run ' +
  "`pip install warmline` in the workspace's environment, or set warmline.command.";
