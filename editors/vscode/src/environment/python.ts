import { noPython, noVenv, oldPython } from "./failure";
import type { Options, Run } from "../program";

/** A Python that can create the environment. */
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

const MIN_VERSION: readonly [number, number] = [3, 11];

const PROBE = `
import json, sys, importlib.util as u
print(json.dumps({
    "executable": sys.executable,
    "version": sys.version_info[:2],
    "is64": sys.maxsize > 2**32,
    "hasVenv": all(u.find_spec(name) for name in ("venv", "ensurepip")),
}))`;

/** Commands to try. Older versions come first: every package has a build for them. */
export function candidates(setting: string, isWindows: boolean): Candidate[] {
  if (setting !== "") return [[setting]];
  const versions = ["3.11", "3.12", "3.13", "3.14"];
  const versioned: Candidate[] = isWindows
    ? versions.map((version) => ["py", `-${version}`] as const)
    : versions.map((version) => [`python${version}`] as const);
  return isWindows
    ? [...versioned, ["py", "-3"], ["python"], ["python3"]]
    : [...versioned, ["python3"]];
}

/**
 * The first Python that can create the environment.
 *
 * Raises: Failure, with the reason why none can.
 */
export async function findPython(
  run: Run,
  setting: string,
  isWindows: boolean,
  isDebian: boolean,
  options: Options,
): Promise<Python> {
  const unsupported = new Set<string>();
  let withoutVenv: string | undefined;
  for (const [command, ...args] of candidates(setting, isWindows)) {
    // not -P: Python 3.10 and older lack it, and should fail with their version
    const outcome = await run(command, [...args, "-I", "-c", PROBE], options);
    const probed = outcome.code === 0 ? parse(outcome.output) : undefined;
    if (!probed) continue;
    const version = probed.version.join(".");
    if (isBefore(probed.version, MIN_VERSION)) unsupported.add(version);
    else if (!probed.is64) unsupported.add(`${version} (32 bit)`);
    else if (!probed.hasVenv) withoutVenv ??= version;
    else return { executable: probed.executable, version };
  }
  if (withoutVenv !== undefined) throw noVenv(withoutVenv, isDebian);
  if (unsupported.size > 0) throw oldPython([...unsupported]);
  throw noPython(setting);
}

function parse(output: string): Probed | undefined {
  try {
    return JSON.parse(output.trim().split("\n").at(-1) ?? "") as Probed;
  } catch {
    return undefined;
  }
}

/** Whether a version (major, minor) is older than another. */
export function isBefore(
  one: readonly [number, number],
  other: readonly [number, number],
): boolean {
  return one[0] < other[0] || (one[0] === other[0] && one[1] < other[1]);
}
