import { wordOnOthers } from "./others";

/** What the server says in `warmline/status`. */
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

/** What is known beside what the server says. */
export interface Beside {
  /** Names of other extensions that offer completions. */
  others: readonly string[];
  /** Until when there are no completions unasked, as a time of day; undefined: they are not off. */
  snoozedUntil: string | undefined;
}

/** What is said of a server that ended and is not started again. */
export const GONE: Status = {
  state: "error",
  message: "Warmline's server stopped. Restart it from the menu, and see the log for the reason.",
};

const SPINS = "$(loading~spin)";
const WARNS = "$(warning)";
const OFF = "$(circle-slash)";

interface Shown {
  icon: string;
  word: string;
  sentence: string;
}

/** What is shown for each state: of the server, of the engine, or why a file is not completed. */
const STATES: Record<string, Shown> = {
  starting: { icon: SPINS, word: "starting", sentence: "Warmline is starting" },
  loading: { icon: SPINS, word: "loading", sentence: "Loading the model" },
  "not installed": { icon: WARNS, word: "not installed", sentence: "Warmline is not installed" },
  installing: { icon: SPINS, word: "installing", sentence: "Installing Warmline" },
  ready: { icon: "$(sparkle)", word: "", sentence: "Warmline is ready" },
  error: { icon: WARNS, word: "error", sentence: "Warmline is not running; see the log" },
  off: { icon: OFF, word: "off", sentence: "Completions are off" },
  excluded: { icon: OFF, word: "file excluded", sentence: "This file is excluded" },
  "out of sync": {
    icon: OFF,
    word: "out of sync",
    sentence: "This file is out of sync with the editor; close it and open it again",
  },
  "too large": { icon: OFF, word: "file too large", sentence: "This file is too large" },
  binary: { icon: OFF, word: "not text", sentence: "This file is not text" },
  language: {
    icon: OFF,
    word: "language not supported",
    sentence: "The model does not support this language",
  },
  settings: {
    icon: SPINS,
    word: "reading settings",
    sentence: "Reading the settings of this file",
  },
};

/** What the server says of the engine at work, in a sentence. */
const STAGES: Record<string, string> = {
  fetching: "Downloading the model",
  loading: "Loading the model",
};

/** The text of the item in the status bar. */
export function itemText(status: Status, { snoozedUntil }: Beside): string {
  const { icon, word } = shown(status);
  if (status.state === "ready" && snoozedUntil !== undefined)
    return "$(bell-slash) Warmline snoozed";
  const percent = status.percent == null ? "" : ` ${status.percent} %`;
  const busy = status.state === "ready" && status.working ? SPINS : icon;
  return `${busy} Warmline${word && ` ${word}`}${percent}`;
}

/** What is shown where the mouse rests on the item. */
export function tooltip(status: Status, { others, snoozedUntil }: Beside): string {
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
  if (others.length > 0) lines.push(wordOnOthers(others));
  return lines.join("\n");
}

function sentence(status: Status): string {
  const percent = status.percent == null ? "" : ` (${status.percent} %)`;
  const said = status.message ?? "";
  if (status.state === "loading") return (STAGES[said] ?? shown(status).sentence) + percent;
  return (said === "" ? shown(status).sentence : said) + percent;
}

function shown({ state }: Status): Shown {
  return STATES[state] ?? { icon: OFF, word: state, sentence: `Warmline: ${state}` };
}
