import { isInside, isAbsolute } from "./paths";

/** The open folders, and whether the user trusts them. */
export interface Workspace {
  folders: readonly string[];
  isTrusted: boolean;
}

// search paths of programs, modules and libraries
const PATH_LISTS = [
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
 * The environment variables of each program that Warmline starts. No search path contains the current folder or an
 * untrusted workspace, and no module of a workspace can replace one of Python's.
 */
export function safeEnvironment(
  env: NodeJS.ProcessEnv,
  workspace: Workspace,
  isWindows: boolean,
): NodeJS.ProcessEnv {
  const result: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(env)) {
    // names of variables are case-insensitive on Windows, which writes `Path`
    const known = isWindows ? name.toUpperCase() : name;
    if (value === undefined) continue;
    if (PATH_LISTS.includes(known)) {
      const kept = safeEntries(known, value, workspace, isWindows);
      if (kept !== "") result[known] = kept;
    } else if (!FOLDERS.includes(known) || isAbsolute(value, isWindows)) result[name] = value;
  }
  // without a PATH, the search differs between systems
  result["PATH"] ??= isWindows ? `${neutralFolder(isWindows)}\\System32` : "/bin:/usr/bin";
  result["PYTHONSAFEPATH"] = "1";
  result["NoDefaultCurrentDirectoryInExePath"] = "1";
  return result;
}

/** A folder that always exists and that only administrators may write to. */
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
  const excluded = name === "PYTHONPATH" || !isTrusted ? folders : [];
  return value
    .split(separator)
    .filter((entry) => {
      const folder = entry.replaceAll('"', "");
      return isAbsolute(folder, isWindows) && !isInside(folder, excluded);
    })
    .join(separator);
}
