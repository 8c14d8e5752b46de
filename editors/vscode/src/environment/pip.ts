import type { Options, Run } from "../program";
import { isBefore } from "./python";

/** The settings that say where packages come from. */
export interface Sources {
  /** `warmline.environment.pipArguments` */
  pipArguments: readonly string[];
  /** `warmline.environment.cpuIndex`: an index with the CPU build of torch; empty: pip's own. */
  cpuIndex: string;
  /** `warmline.environment.wheelFolder`: nothing but this folder is used where it is set. */
  wheelFolder: string;
  /** `http.proxyStrictSSL` */
  isStrict: boolean;
}

export type Build = "cpu" | "cuda";

/** Which build of torch suits: CUDA where a driver answers with a GPU. */
export async function torchBuild(run: Run, device: string, options: Options): Promise<Build> {
  if (device === "cpu" || device === "cuda") return device;
  const outcome = await run("nvidia-smi", ["-L"], options);
  return outcome.code === 0 && /^GPU \d+:/m.test(outcome.output) ? "cuda" : "cpu";
}

/**
 * How much is fetched and unpacked for a build: on Linux the package index has torch with CUDA and its libraries
 * under the usual name, elsewhere only the small one.
 */
export function sizeOf(
  build: Build,
  sources: Sources,
  isLinux: boolean,
  env: NodeJS.ProcessEnv,
): Build {
  if (!isLinux) return "cpu";
  return build === "cuda" || !isElsewhere(sources, env) ? "cuda" : "cpu";
}

/** What follows `python`, to install what is wanted. `build` is that of torch, where torch is wanted. */
export function installArguments(
  sources: Sources,
  wanted: readonly string[],
  build: Build | undefined,
  pipVersion: string,
): string[] {
  const args = ["-m", "pip", "install", "--only-binary", ":all:", "--retries", "2"];
  // since 24.1 pip tells bytes in lines
  args.push("--progress-bar", isBefore(majorMinor(pipVersion), [24, 1]) ? "off" : "raw");
  if (sources.wheelFolder !== "") args.push("--no-index", "--find-links", sources.wheelFolder);
  else if (build === "cpu" && sources.cpuIndex !== "") args.push("--index-url", sources.cpuIndex);
  args.push(...trustedHosts(sources), ...sources.pipArguments);
  return [...args, ...wanted];
}

/** The environment that pip runs in: without what would lead it elsewhere. */
export function pipEnvironment(env: NodeJS.ProcessEnv, temporary: string): NodeJS.ProcessEnv {
  const made: NodeJS.ProcessEnv = {
    ...env,
    PIP_NO_INPUT: "1",
    PIP_DISABLE_PIP_VERSION_CHECK: "1",
    PYTHONUNBUFFERED: "1",
    PYTHONIOENCODING: "utf-8",
    // the disk that was measured, rather than a small /tmp
    TMPDIR: temporary,
  };
  for (const name of ["PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"]) {
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- a copy that is ours
    delete made[name];
  }
  return made;
}

/** What a line of pip's tells of progress; undefined where it tells none. */
export function progress(line: string): { share?: number; message?: string } | undefined {
  const bytes = /^Progress (\d+) of (\d+)/.exec(line);
  if (bytes) {
    const all = Number(bytes[2]);
    return all > 0 ? { share: Number(bytes[1]) / all } : undefined;
  }
  const download = /^\s*Downloading (?:\S*\/)?([\w.]+)-\S*(?:whl|metadata)\S*(?: \((.+)\))?/.exec(
    line,
  );
  if (download && !line.includes(".metadata")) {
    const size = download[2] === undefined ? "" : ` (${download[2]})`;
    return { message: `downloading ${download[1] ?? ""}${size}` };
  }
  return line.startsWith("Installing collected packages") ? { message: "unpacking" } : undefined;
}

/** A line for the log, without the name and password of an address. */
export function masked(line: string): string {
  return line.replace(/(\w+:\/\/)[^/@\s]+@/g, "$1****@");
}

/** Whether packages come from where the user says, of which we know nothing. */
function isElsewhere(sources: Sources, env: NodeJS.ProcessEnv): boolean {
  if (sources.cpuIndex !== "" || sources.wheelFolder !== "") return true;
  const places =
    /^(-i|-f|--(extra-)?index-url|--find-links|--no-index|PIP_((EXTRA_)?INDEX_URL|FIND_LINKS))/;
  return [...sources.pipArguments, ...Object.keys(env)].some((name) => places.test(name));
}

/** Where the user turned strictness off, the hosts they named themselves; never the default index. */
function trustedHosts(sources: Sources): string[] {
  if (sources.isStrict) return [];
  const named = [
    sources.cpuIndex,
    ...sources.pipArguments.map((one) => one.replace(/^--?[\w-]+=/, "")),
  ];
  return named.flatMap((address) => {
    if (!/^https?:/.test(address) || !URL.canParse(address)) return [];
    return ["--trusted-host", new URL(address).host];
  });
}

function majorMinor(version: string): [number, number] {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return [major, minor];
}
