import { competitorWarning } from "./competing_extensions";

/** Parameters of `warmline/status`. */
export interface Status {
  state: string;
  message?: string;
  model?: string;
  percent?: number | null;
  nTokens?: number | null;
  nFresh?: number | null;
  p50Ms?: number | null;
  p95Ms?: number | null;
  working?: boolean;
  acceptedShare?: number | null;
}

/** State that the server does not know. */
export interface LocalState {
  /** Names of other active extensions with completions. */
  competitors: readonly string[];
  /** End of the snooze as a time of day; undefined: not snoozed. */
  snoozedUntil: string | undefined;
}

/** The status of a server that exited and is not restarted. */
export const STOPPED: Status = {
  state: "error",
  message: "Warmline's server stopped. Restart it from the menu, and see the log for the reason.",
};

const SPINS = "$(loading~spin)";
const WARNS = "$(warning)";
const OFF = "$(circle-slash)";

interface StateText {
  icon: string;
  label: string;
  sentence: string;
}

/** Texts of each state of the server or the engine, and of each reason why a file has no completions. */
const STATES: Record<string, StateText> = {
  starting: { icon: SPINS, label: "starting", sentence: "Warmline is starting" },
  loading: { icon: SPINS, label: "loading", sentence: "Loading the model" },
  "not installed": { icon: WARNS, label: "not installed", sentence: "Warmline is not installed" },
  installing: { icon: SPINS, label: "installing", sentence: "Installing Warmline" },
  ready: { icon: "$(sparkle)", label: "", sentence: "Warmline is ready" },
  error: { icon: WARNS, label: "error", sentence: "Warmline is not running; see the log" },
  off: { icon: OFF, label: "off", sentence: "Completions are off" },
  excluded: { icon: OFF, label: "file excluded", sentence: "This file is excluded" },
  "out of sync": {
    icon: OFF,
    label: "out of sync",
    sentence: "This file is out of sync with the editor; close it and open it again",
  },
  "too large": { icon: OFF, label: "file too large", sentence: "This file is too large" },
  binary: { icon: OFF, label: "not text", sentence: "This file is not text" },
  language: {
    icon: OFF,
    label: "language not supported",
    sentence: "The model does not support this language",
  },
  settings: {
    icon: SPINS,
    label: "reading settings",
    sentence: "Reading the settings of this file",
  },
};

/** Sentences for the stages of loading, by the server's message. */
const STAGES: Record<string, string> = {
  fetching: "Downloading the model",
  loading: "Loading the model",
};

/** The text of the status bar item. */
export function itemText(status: Status, { snoozedUntil }: LocalState): string {
  const { icon, label } = stateText(status);
  if (status.state === "ready" && snoozedUntil !== undefined)
    return "$(bell-slash) Warmline snoozed";
  const percent = status.percent == null ? "" : ` ${status.percent} %`;
  const busy = status.state === "ready" && status.working ? SPINS : icon;
  return `${busy} Warmline${label && ` ${label}`}${percent}`;
}

/** The tooltip of the status bar item. */
export function tooltip(status: Status, { competitors, snoozedUntil }: LocalState): string {
  const lines = [sentence(status)];
  if (snoozedUntil !== undefined) {
    lines.push(`Snoozed until ${snoozedUntil}; end it from the menu`);
  }
  if (status.model) lines.push(`Model: ${status.model}`);
  if (status.nTokens != null) {
    lines.push(`Context: ${status.nTokens} tokens, ${status.nFresh ?? 0} of them fresh`);
  }
  if (status.p50Ms != null) {
    lines.push(
      `Latency: median ${Math.round(status.p50Ms)} ms, 95th percentile ${Math.round(status.p95Ms ?? 0)} ms`,
    );
  }
  if (status.acceptedShare != null) {
    lines.push(`Accepted: ${Math.round(100 * status.acceptedShare)} %`);
  }
  if (competitors.length > 0) lines.push(competitorWarning(competitors));
  return lines.join("\n");
}

function sentence(status: Status): string {
  const percent = status.percent == null ? "" : ` (${status.percent} %)`;
  const message = status.message ?? "";
  if (status.state === "loading") return (STAGES[message] ?? stateText(status).sentence) + percent;
  return (message === "" ? stateText(status).sentence : message) + percent;
}

function stateText({ state }: Status): StateText {
  return STATES[state] ?? { icon: OFF, label: state, sentence: `Warmline: ${state}` };
}
