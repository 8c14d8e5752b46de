import { existsSync } from "node:fs";
import * as path from "node:path";
import { untrustedMessage } from "./start";
import { expandHome, isInside, isName, isAbsolute, problemOf } from "./paths";

/** Where to look for the server, independent of VS Code. */
export interface CommandSources {
  /** The setting `warmline.command`, from trusted sources only; empty if it is not set. */
  setting: string;
  /** The interpreter of a trusted workspace; called only if the setting is empty. */
  interpreter: () => Promise<string | undefined>;
  /** The environment variable PATH. */
  searchPath: string;
  /** The home folder. */
  home: string;
  /** Folders of an untrusted workspace; no program in them is run. */
  untrusted?: readonly string[];
  isWindows: boolean;
}

export interface Found {
  command: string;
  from: "setting" | "interpreter" | "path";
}

/**
 * Finds the `warmline` command: 1. the setting, 2. beside the workspace's interpreter, 3. on the PATH.
 *
 * Raises: Error, if the setting's command does not exist or must not be run.
 */
export async function serverCommand(
  sources: CommandSources,
  exists: (file: string) => boolean = existsSync,
  isIgnored: (command: string) => boolean = () => false,
): Promise<Found | undefined> {
  const { setting, searchPath, isWindows, untrusted = [] } = sources;
  // relative entries would depend on the current folder, which may be the workspace
  const folders = searchPath
    .split(isWindows ? ";" : ":")
    .filter((folder) => isAbsolute(folder, isWindows));
  const isUsable = (file: string): boolean =>
    exists(file) && !isIgnored(file) && !isInside(file, untrusted);
  if (setting) {
    const command = commandFromSetting(sources, folders, exists);
    if (!isIgnored(command)) return { command, from: "setting" };
  }
  const name = isWindows ? "warmline.exe" : "warmline";
  const interpreter = await sources.interpreter();
  if (interpreter) {
    const beside = path.join(path.dirname(interpreter), name);
    if (isUsable(beside)) return { command: beside, from: "interpreter" };
  }
  const found = folders.map((folder) => path.join(folder, name)).find(isUsable);
  return found === undefined ? undefined : { command: found, from: "path" };
}

/** The setting's program: an absolute path, or a name on the PATH. */
function commandFromSetting(
  { setting, home, isWindows, untrusted = [] }: CommandSources,
  folders: readonly string[],
  exists: (file: string) => boolean,
): string {
  const program = expandHome(setting, home);
  const isOnPath = isName(program);
  const problem = isOnPath ? undefined : problemOf(program, isWindows);
  if (problem !== undefined) throw invalidSetting(problem);
  const endings = isWindows ? ["", ".exe"] : [""];
  const files = (isOnPath ? folders : [""]).flatMap((folder) =>
    endings.map((ending) => path.join(folder, program + ending)),
  );
  const found = files.filter((file) => exists(file));
  const trusted = found.find((file) => !isInside(file, untrusted));
  if (trusted !== undefined) return trusted;
  if (found[0] !== undefined) throw invalidSetting(untrustedMessage(found[0]));
  throw invalidSetting(isOnPath ? `${setting} is not on the PATH` : `${program} does not exist`);
}

function invalidSetting(problem: string): Error {
  return new Error(`Invalid setting warmline.command: ${problem}`);
}

/** The message if there is no server. */
export const NOT_FOUND =
  'The warmline command was not found. Choose "Reinstall the extension\'s environment" in the menu, run ' +
  "`pip install warmline` in the workspace's environment, or set warmline.command.";
