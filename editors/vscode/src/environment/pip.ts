import type { Options, Run } from "../program";
import { isBefore } from "./python";

/** The settings about package sources. */
export interface Sources {
  /** `warmline.environment.pipArguments` */
  pipArguments: readonly string[];
  /** `warmline.environment.cpuIndex`: an index with the CPU build of torch; empty: pip's own. */
  cpuIndex: string;
  /** `warmline.environment.wheelFolder`: if set, the only package source. */
  wheelFolder: string;
  /** `http.proxyStrictSSL` */
  isStrict: boolean;
}

export type Build = "cpu" | "cuda";

/** The build of torch for this machine: CUDA if the driver lists a GPU. */
export async function torchBuild(run: Run, device: string, options: Options): Promise<Build> {
  if (device === "cpu" || device === "cuda") return device;
  const outcome = await run("nvidia-smi", ["-L"], options);
  return outcome.code === 0 && /^GPU \d+:/m.test(outcome.output) ? "cuda" : "cpu";
}

/**
 * The build that determines the download size. On Linux the default package is the CUDA build, also for CPUs; other
 * systems only have the small one.
 */
export function sizeOf(
  build: Build,
  sources: Sources,
  isLinux: boolean,
  env: NodeJS.ProcessEnv,
): Build {
  if (!isLinux) return "cpu";
  return build === "cuda" || !hasCustomIndex(sources, env) ? "cuda" : "cpu";
}

/** Arguments of `python` to install packages. `build`: of torch, if it is one of them. */
export function installArguments(
  sources: Sources,
  packages: readonly string[],
  build: Build | undefined,
  pipVersion: string,
): string[] {
  const args = ["-m", "pip", "install", "--only-binary", ":all:", "--retries", "2"];
  // since 24.1 pip can print progress as lines of byte counts
  args.push("--progress-bar", isBefore(majorMinor(pipVersion), [24, 1]) ? "off" : "raw");
  if (sources.wheelFolder !== "") args.push("--no-index", "--find-links", sources.wheelFolder);
  else if (build === "cpu" && sources.cpuIndex !== "") args.push("--index-url", sources.cpuIndex);
  args.push(...trustedHosts(sources), ...sources.pipArguments);
  return [...args, ...packages];
}

/** pip's environment variables, without those that would install somewhere else. */
export function pipEnvironment(env: NodeJS.ProcessEnv, temporary: string): NodeJS.ProcessEnv {
  const result: NodeJS.ProcessEnv = {
    ...env,
    PIP_NO_INPUT: "1",
    PIP_DISABLE_PIP_VERSION_CHECK: "1",
    PYTHONUNBUFFERED: "1",
    PYTHONIOENCODING: "utf-8",
    // the disk whose free space was checked; /tmp may be small
    TMPDIR: temporary,
  };
  for (const name of ["PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"]) {
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the object is a copy
    delete result[name];
  }
  return result;
}

/** Progress in a line of pip's output; undefined if there is none. */
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

/** A line for the log, without user names and passwords in URLs. */
export function maskCredentials(line: string): string {
  return line.replace(/(\w+:\/\/)[^/@\s]+@/g, "$1****@");
}

/** Whether the user configured another package source, whose builds are unknown. */
function hasCustomIndex(sources: Sources, env: NodeJS.ProcessEnv): boolean {
  if (sources.cpuIndex !== "" || sources.wheelFolder !== "") return true;
  const options =
    /^(-i|-f|--(extra-)?index-url|--find-links|--no-index|PIP_((EXTRA_)?INDEX_URL|FIND_LINKS))/;
  return [...sources.pipArguments, ...Object.keys(env)].some((name) => options.test(name));
}

/** Without strict TLS, trusts the hosts that the user configured, never the default index. */
function trustedHosts(sources: Sources): string[] {
  if (sources.isStrict) return [];
  const urls = [
    sources.cpuIndex,
    ...sources.pipArguments.map((one) => one.replace(/^--?[\w-]+=/, "")),
  ];
  return urls.flatMap((address) => {
    if (!/^https?:/.test(address) || !URL.canParse(address)) return [];
    return ["--trusted-host", new URL(address).host];
  });
}

function majorMinor(version: string): [number, number] {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return [major, minor];
}
