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

/** The action of a button in a failure message. */
export type Action =
  | { does: "copy"; title: string; text: string }
  | { does: "open"; title: string; address: string }
  | { does: "settings"; title: string; query: string };

/** Why the installation failed; the message says the reason and what to do. */
export class Failure extends Error {
  constructor(
    readonly kind: Kind,
    reason: string,
    remedy: string,
    readonly actions: readonly Action[] = [],
  ) {
    super(remedy === "" ? reason : `${reason}. ${remedy}`);
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

/** Recognizes one kind in the output of pip or Python. The first match counts. */
interface FailurePattern {
  pattern: RegExp;
  failure: (found: RegExpExecArray, context: FailureContext) => Failure;
}

/** What the message depends on. */
export interface FailureContext {
  /** Of the chosen Python: `3.11`. */
  pythonVersion: string;
  isDebian: boolean;
  /** The setting `warmline.environment.wheelFolder`. */
  wheelFolder: string;
}

const FAILURE_PATTERNS: readonly FailurePattern[] = [
  {
    pattern: /No space left on device|Errno 28\b|ENOSPC|WinError 112\b/,
    failure: () => diskFull(),
  },
  {
    pattern: /ensurepip is not available|No module named '?(?:ensurepip|venv)\b/,
    failure: (_, context) => noVenv(context.pythonVersion, context.isDebian),
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
      /NewConnectionError|NameResolutionError|Temporary failure in name resolution|Name or service not known|getaddrinfo failed|Network is unreachable|Connection untrustedMessage|ConnectTimeout|timed out|Max retries exceeded|Connection reset|RemoteDisconnected/i,
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
    failure: (found, context) => {
      const wanted = found[1] ?? found[2] ?? "a package";
      if (context.wheelFolder !== "") {
        return new Failure(
          "not in the folder",
          `${wanted} is not in ${context.wheelFolder} for Python ${context.pythonVersion}`,
          `Fill the folder on a machine with the same system: pip download --dest FOLDER ${TORCH} warmline-*.whl`,
          [PIP_SETTINGS],
        );
      }
      return new Failure(
        "no build",
        `The package index has no build of ${wanted} for Python ${context.pythonVersion} on this machine`,
        "Set warmline.environment.python to another Python; 3.11 to 3.13 work best.",
        [PIP_SETTINGS],
      );
    },
  },
  {
    // pip reports missing packages that a constraint also names as conflicts
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
    failure: (_, context) => oldPython([context.pythonVersion]),
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

/** The failure of a program, by its output and exit code. */
export function failureOf(outcome: Outcome, context: FailureContext): Failure {
  if (outcome.end === "cancelled") return CANCELLED;
  for (const known of FAILURE_PATTERNS) {
    const found = known.pattern.exec(outcome.output);
    if (found) return known.failure(found, context);
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
  const detail = last === "" ? `exit status ${String(outcome.code)}` : last;
  return new Failure("unknown", `The installation failed: ${detail}`, "See the log for details.");
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
  const reason = setting === "" ? "No Python was found" : `${setting} is not a working Python`;
  return new Failure(
    "no python",
    reason,
    "Install Python 3.11 or newer, or set warmline.environment.python.",
    [GET_PYTHON, PIP_SETTINGS],
  );
}

/** A setting has a relative path, which would depend on the current folder. */
export function relativePath(setting: string, problem: string): Failure {
  const open: Action = { does: "settings", title: "Open settings", query: setting };
  return new Failure("relative path", `Invalid setting ${setting}: ${problem}`, "", [open]);
}
