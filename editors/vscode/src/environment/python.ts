import { noPython, noVenv, oldPython } from "./failure";
import type { Options, Run } from "../program";

/** A Python that an environment can be made with. */
export interface Python {
  executable: string;
  /** `3.11` */
  version: string;
}

type Candidate = readonly [command: string, ...args: string[]];

interface Probed {
  executable: string;
  version: [number, number];
  is64: boolean;
  hasVenv: boolean;
}

const OLDEST: readonly [number, number] = [3, 11];

const PROBE = `
import json, sys, importlib.util as u
print(json.dumps({
    "executable": sys.executable,
    "version": sys.version_info[:2],
    "is64": sys.maxsize > 2**32,
    "hasVenv": all(u.find_spec(name) for name in ("venv", "ensurepip")),
}))`;

/** Where Python may be. The older ones come first: there is a build of every package for them. */
export function candidates(setting: string, isWindows: boolean): Candidate[] {
  if (setting !== "") return [[setting]];
  const versions = ["3.11", "3.12", "3.13", "3.14"];
  const named: Candidate[] = isWindows
    ? versions.map((version) => ["py", `-${version}`] as const)
    : versions.map((version) => [`python${version}`] as const);
  return isWindows ? [...named, ["py", "-3"], ["python"], ["python3"]] : [...named, ["python3"]];
}

/**
 * The first that an environment can be made with.
 *
 * Raises: Failure, which says of all of them what is wrong.
 */
export async function findPython(
  run: Run,
  setting: string,
  isWindows: boolean,
  isDebian: boolean,
  options: Options,
): Promise<Python> {
  const old = new Set<string>();
  let withoutVenv: string | undefined;
  for (const [command, ...args] of candidates(setting, isWindows)) {
    // not -P, which Python has since 3.11 only: an older one is to be told by its version
    const outcome = await run(command, [...args, "-I", "-c", PROBE], options);
    const probed = outcome.code === 0 ? parse(outcome.output) : undefined;
    if (!probed) continue;
    const version = probed.version.join(".");
    if (isBefore(probed.version, OLDEST)) old.add(version);
    else if (!probed.is64) old.add(`${version} (32 bit)`);
    else if (!probed.hasVenv) withoutVenv ??= version;
    else return { executable: probed.executable, version };
  }
  if (withoutVenv !== undefined) throw noVenv(withoutVenv, isDebian);
  if (old.size > 0) throw oldPython([...old]);
  throw noPython(setting);
}

function parse(output: string): Probed | undefined {
  try {
    return JSON.parse(output.trim().split("\n").at(-1) ?? "") as Probed;
  } catch {
    return undefined;
  }
}

/** Whether a version, as (major, minor), is older than another. */
export function isBefore(
  one: readonly [number, number],
  other: readonly [number, number],
): boolean {
  return one[0] < other[0] || (one[0] === other[0] && one[1] < other[1]);
}
