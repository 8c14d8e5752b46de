import type { Outcome } from "../program";
import { TORCH } from "./torch";

export type Kind =
  | "cancelled"
  | "killed"
  | "no python"
  | "old python"
  | "no venv"
  | "disk full"
  | "certificate"
  | "proxy"
  | "no network"
  | "no build"
  | "not in the folder"
  | "conflict"
  | "denied"
  | "no wheel"
  | "broken"
  | "relative path"
  | "unknown";

/** What a button beside a failure does. */
export type Action =
  | { does: "copy"; title: string; text: string }
  | { does: "open"; title: string; address: string }
  | { does: "settings"; title: string; query: string };

/** Why there is no environment, and what to do; the message names both. */
export class Failure extends Error {
  constructor(
    readonly kind: Kind,
    what: string,
    remedy: string,
    readonly actions: readonly Action[] = [],
  ) {
    super(remedy === "" ? what : `${what}. ${remedy}`);
    this.name = "Failure";
  }
}

export const CANCELLED = new Failure(
  "cancelled",
  "The installation was cancelled",
  "The next attempt continues where this one stopped.",
);

const PIP_SETTINGS: Action = {
  does: "settings",
  title: "Open settings",
  query: "warmline.environment",
};
const PROXY_SETTINGS: Action = { does: "settings", title: "Open settings", query: "http.proxy" };

/** How one kind is known by what pip or Python say, and what to tell. The first that fits counts. */
interface Sign {
  pattern: RegExp;
  failure: (found: RegExpExecArray, where: Where) => Failure;
}

/** What the text of a failure depends on. */
export interface Where {
  /** Of the chosen Python: `3.11`. */
  pythonVersion: string;
  isDebian: boolean;
  /** The setting `warmline.environment.wheelFolder`. */
  wheelFolder: string;
}

const SIGNS: readonly Sign[] = [
  {
    pattern: /No space left on device|Errno 28\b|ENOSPC|WinError 112\b/,
    failure: () => diskFull(),
  },
  {
    pattern: /ensurepip is not available|No module named '?(?:ensurepip|venv)\b/,
    failure: (_, where) => noVenv(where.pythonVersion, where.isDebian),
  },
  {
    pattern: /CERTIFICATE_VERIFY_FAILED|certificate verify failed|SSLError/,
    failure: () =>
      new Failure(
        "certificate",
        "The certificate of the package index is not trusted",
        "If your proxy has its own certificate, set PIP_CERT to its file, or add --cert FILE to " +
          "warmline.environment.pipArguments.",
        [PIP_SETTINGS],
      ),
  },
  {
    pattern: /ProxyError|Cannot connect to proxy|Tunnel connection failed|\b407\b.*Proxy/,
    failure: () =>
      new Failure(
        "proxy",
        "The proxy refused pip's connection",
        "Correct the setting http.proxy.",
        [PROXY_SETTINGS],
      ),
  },
  {
    pattern:
      /NewConnectionError|NameResolutionError|Temporary failure in name resolution|Name or service not known|getaddrinfo failed|Network is unreachable|Connection refused|ConnectTimeout|timed out|Max retries exceeded|Connection reset|RemoteDisconnected/i,
    failure: () =>
      new Failure(
        "no network",
        "The package index cannot be reached",
        "Check the connection. Behind a proxy, set http.proxy. Without a network, set " +
          "warmline.environment.wheelFolder to a folder of wheels.",
        [PIP_SETTINGS],
      ),
  },
  {
    pattern: /No matching distribution found for (\S+)|satisfies the requirement (\S+)/,
    failure: (found, where) => {
      const wanted = found[1] ?? found[2] ?? "a package";
      if (where.wheelFolder !== "") {
        return new Failure(
          "not in the folder",
          `${wanted} is not in ${where.wheelFolder} for Python ${where.pythonVersion}`,
          `Fill the folder on a machine with the same system: pip download --dest FOLDER ${TORCH} warmline-*.whl`,
          [PIP_SETTINGS],
        );
      }
      return new Failure(
        "no build",
        `The package index has no build of ${wanted} for Python ${where.pythonVersion} on this machine`,
        "Set warmline.environment.python to another Python; 3.11 to 3.13 work best.",
        [PIP_SETTINGS],
      );
    },
  },
  {
    // what a constraint names too is never told to be missing
    pattern: /Cannot install (.+?) because these package versions have conflicting dependencies/,
    failure: (found, { wheelFolder }) =>
      new Failure(
        "conflict",
        `pip found no ${found[1] ?? "package"} ${wheelFolder === "" ? "" : `in ${wheelFolder} `}that satisfies its constraints`,
        "Check the versions in PIP_CONSTRAINT and in pip's configuration. The log has details.",
        [PIP_SETTINGS],
      ),
  },
  {
    pattern: /requires a different Python|Requires-Python/,
    failure: (_, where) => oldPython([where.pythonVersion]),
  },
  {
    pattern: /Permission denied|Errno 13\b|Access is denied|WinError (?:5|32)\b/,
    failure: () =>
      new Failure(
        "denied",
        "Cannot write files of the environment",
        "Close other windows that use Warmline, then try again.",
      ),
  },
];

/** The failure that a program's end stands for. */
export function failureOf(outcome: Outcome, where: Where): Failure {
  if (outcome.end === "cancelled") return CANCELLED;
  for (const sign of SIGNS) {
    const found = sign.pattern.exec(outcome.output);
    if (found) return sign.failure(found, where);
  }
  if (outcome.end === "killed" || outcome.code === 137) {
    return new Failure(
      "killed",
      "The installation was killed",
      "The machine may be out of memory. Close other programs, then try again; the installation continues where it stopped.",
    );
  }
  const errors = outcome.output.split("\n").filter((line) => line.startsWith("ERROR"));
  const last = errors.at(-1) ?? outcome.output.trimEnd().split("\n").at(-1) ?? "";
  const said = last === "" ? `exit status ${String(outcome.code)}` : last;
  return new Failure("unknown", `The installation failed: ${said}`, "See the log for details.");
}

export function diskFull(): Failure {
  return new Failure(
    "disk full",
    "Not enough disk space",
    "Free some space, then try again; the installation continues where it stopped.",
  );
}

export function noVenv(pythonVersion: string, isDebian: boolean): Failure {
  if (!isDebian) {
    return new Failure(
      "no venv",
      `Python ${pythonVersion} has no venv or ensurepip module`,
      "Install them, or set warmline.environment.python to another Python.",
      [PIP_SETTINGS],
    );
  }
  const command = `sudo apt install python3-venv python${pythonVersion}-venv`;
  return new Failure(
    "no venv",
    `Python ${pythonVersion} has no venv module; Debian has it in a separate package`,
    `Run \`${command}\`, then try again.`,
    [{ does: "copy", title: "Copy the command", text: command }],
  );
}

const GET_PYTHON: Action = {
  does: "open",
  title: "Get Python",
  address: "https://www.python.org/downloads/",
};

export function oldPython(versions: readonly string[]): Failure {
  return new Failure(
    "old python",
    `Warmline needs 64-bit Python 3.11 or newer, but found ${versions.join(", ")}`,
    "Install a newer Python, or set warmline.environment.python.",
    [GET_PYTHON, PIP_SETTINGS],
  );
}

export function noPython(setting: string): Failure {
  const what = setting === "" ? "No Python was found" : `${setting} is not a working Python`;
  return new Failure(
    "no python",
    what,
    "Install Python 3.11 or newer, or set warmline.environment.python.",
    [GET_PYTHON, PIP_SETTINGS],
  );
}

/** A setting names a path that would begin in the current folder. */
export function relativePath(setting: string, problem: string): Failure {
  const open: Action = { does: "settings", title: "Open settings", query: setting };
  return new Failure("relative path", `Invalid setting ${setting}: ${problem}`, "", [open]);
}
