import { isInside, isWhole } from "./whole_path";

/** The folders that are open, and whether the user trusts what is in them. */
export interface Workspace {
  folders: readonly string[];
  isTrusted: boolean;
}

// searched in order, for programs, modules and libraries
const LISTS = [
  "PATH",
  "PYTHONPATH",
  "LD_LIBRARY_PATH",
  "DYLD_LIBRARY_PATH",
  "DYLD_FRAMEWORK_PATH",
  "DYLD_FALLBACK_LIBRARY_PATH",
  "DYLD_FALLBACK_FRAMEWORK_PATH",
];
const FOLDERS = ["PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX", "PYTHONSTARTUP"];

/**
 * The environment of each program that Warmline starts. Nothing in it leads into the current folder or into an
 * untrusted workspace, and no module of a workspace takes the place of Python's.
 */
export function safeEnvironment(
  env: NodeJS.ProcessEnv,
  workspace: Workspace,
  isWindows: boolean,
): NodeJS.ProcessEnv {
  const made: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(env)) {
    // Windows writes `Path`, and takes each spelling
    const known = isWindows ? name.toUpperCase() : name;
    if (value === undefined) continue;
    if (LISTS.includes(known)) {
      const kept = safeEntries(known, value, workspace, isWindows);
      if (kept !== "") made[known] = kept;
    } else if (!FOLDERS.includes(known) || isWhole(value, isWindows)) made[name] = value;
  }
  // without one, systems search where they like
  made["PATH"] ??= isWindows ? `${neutralFolder(isWindows)}\\System32` : "/bin:/usr/bin";
  made["PYTHONSAFEPATH"] = "1";
  made["NoDefaultCurrentDirectoryInExePath"] = "1";
  return made;
}

/** A folder that is always there, in which only an administrator may write. */
export function neutralFolder(isWindows: boolean): string {
  return isWindows ? (process.env["SystemRoot"] ?? "C:\\Windows") : "/";
}

function safeEntries(
  name: string,
  value: string,
  { folders, isTrusted }: Workspace,
  isWindows: boolean,
): string {
  const separator = isWindows ? ";" : ":";
  const barred = name === "PYTHONPATH" || !isTrusted ? folders : [];
  return value
    .split(separator)
    .filter((entry) => {
      const folder = entry.replaceAll('"', "");
      return isWhole(folder, isWindows) && !isInside(folder, barred);
    })
    .join(separator);
}
