import { spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { lstatSync, statSync } from "node:fs";
import * as path from "node:path";
import { neutralFolder, safeEnvironment, type Workspace } from "./safe_environment";
import { isInside, isName, isAbsolute } from "./paths";

export interface StartOptions {
  env: NodeJS.ProcessEnv;
  detached?: boolean;
  stdio?: StdioOptions;
}

let workspaceSource: () => Workspace = () => ({ folders: [], isTrusted: true });

/** Sets the function that returns the current workspace, which `start` calls each time. */
export function setWorkspaceSource(source: () => Workspace): void {
  workspaceSource = source;
}

/**
 * Starts a program; the only function that does. It uses the absolute path, a working directory outside of the
 * workspace and a safe environment, and runs no program that is in an untrusted workspace.
 *
 * Raises: Error, if the program does not exist or must not be run.
 */
export function start(
  command: string,
  args: readonly string[],
  options: StartOptions,
): ChildProcess {
  const isWindows = process.platform === "win32";
  const workspace = workspaceSource();
  const env = safeEnvironment(options.env, workspace, isWindows);
  const program = resolveProgram(command, env["PATH"] ?? "", isWindows);
  if (!workspace.isTrusted && isInside(program, workspace.folders))
    throw new Error(untrustedMessage(program));
  return spawn(program, args, {
    ...options,
    env,
    cwd: neutralFolder(isWindows),
    shell: false,
    windowsHide: true,
  });
}

/** The message for a program in an untrusted workspace. */
export function untrustedMessage(program: string): string {
  return `${program} is in an untrusted folder, so it is not run`;
}

/**
 * The absolute path of a program that is given by an absolute path or by its name on the PATH.
 *
 * Raises: Error, if the path is relative or the name is not on the PATH.
 */
export function resolveProgram(command: string, searchPath: string, isWindows: boolean): string {
  if (isAbsolute(command, isWindows)) return command;
  if (!isName(command)) throw new Error(`${command} is a relative path, so it is not run`);
  const endings = isWindows && path.extname(command) === "" ? [".exe", ".com"] : [""];
  const files = searchPath
    .split(isWindows ? ";" : ":")
    .map((folder) => folder.replaceAll('"', ""))
    .filter((folder) => isAbsolute(folder, isWindows))
    .flatMap((folder) => endings.map((ending) => path.join(folder, command + ending)));
  const found = files.find((file) => isProgram(file, isWindows));
  if (found === undefined) throw new Error(`${command} is not on the PATH`);
  return found;
}

function isProgram(file: string, isWindows: boolean): boolean {
  // an alias of the Windows store cannot be followed
  const found = (isWindows ? lstatSync : statSync)(file, { throwIfNoEntry: false });
  return found !== undefined && !found.isDirectory() && (isWindows || (found.mode & 0o111) !== 0);
}
