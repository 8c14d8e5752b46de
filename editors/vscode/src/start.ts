import { spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { lstatSync, statSync } from "node:fs";
import * as path from "node:path";
import { neutralFolder, safeEnvironment, type Workspace } from "./safe_environment";
import { isInside, isName, isWhole } from "./whole_path";

export interface StartOptions {
  env: NodeJS.ProcessEnv;
  detached?: boolean;
  stdio?: StdioOptions;
}

let workspaceNow: () => Workspace = () => ({ folders: [], isTrusted: true });

/** Has each start look at the workspace as it is then. */
export function startsIn(workspace: () => Workspace): void {
  workspaceNow = workspace;
}

/**
 * The one way to start a program: by its whole path, outside of the workspace, with a safe environment, and none that
 * an untrusted workspace brought along.
 *
 * Raises: Error, where there is no such program or it may not be run.
 */
export function start(
  command: string,
  args: readonly string[],
  options: StartOptions,
): ChildProcess {
  const isWindows = process.platform === "win32";
  const workspace = workspaceNow();
  const env = safeEnvironment(options.env, workspace, isWindows);
  const program = resolved(command, env["PATH"] ?? "", isWindows);
  if (!workspace.isTrusted && isInside(program, workspace.folders))
    throw new Error(refused(program));
  return spawn(program, args, {
    ...options,
    env,
    cwd: neutralFolder(isWindows),
    shell: false,
    windowsHide: true,
  });
}

/** What to say of a program that lies in a workspace which is not trusted. */
export function refused(program: string): string {
  return `${program} lies in a folder that is not trusted, so it is not run`;
}

/**
 * The whole path of a program that is given by it, or by its name on the PATH.
 *
 * Raises: Error, where it is a relative path, or nowhere.
 */
export function resolved(command: string, searchPath: string, isWindows: boolean): string {
  if (isWhole(command, isWindows)) return command;
  if (!isName(command)) throw new Error(`${command} is a relative path, so it is not run`);
  const endings = isWindows && path.extname(command) === "" ? [".exe", ".com"] : [""];
  const files = searchPath
    .split(isWindows ? ";" : ":")
    .map((folder) => folder.replaceAll('"', ""))
    .filter((folder) => isWhole(folder, isWindows))
    .flatMap((folder) => endings.map((ending) => path.join(folder, command + ending)));
  const found = files.find((file) => isProgram(file, isWindows));
  if (found === undefined) throw new Error(`there is no ${command} on the PATH`);
  return found;
}

function isProgram(file: string, isWindows: boolean): boolean {
  // an alias of Windows' store cannot be followed
  const found = (isWindows ? lstatSync : statSync)(file, { throwIfNoEntry: false });
  return found !== undefined && !found.isDirectory() && (isWindows || (found.mode & 0o111) !== 0);
}
