/** The models that Warmline contains. */
export const INCLUDED: readonly string[] = ["small", "base"];

/** A model in the output of `warmline models list --json`. */
export interface Model {
  model: string;
  licence: string;
  /** Empty if the licence has no restrictions. */
  restriction: string;
  n_bytes: number | null;
  memory_bytes: number | null;
  /** Null if the model is not downloaded. */
  folder: string | null;
}

/** Parses the command's output; undefined if it is not a list of models. */
export function parseModels(output: string): Model[] | undefined {
  // warnings may precede it
  const last = output.trimEnd().split("\n").at(-1) ?? "";
  try {
    const found: unknown = JSON.parse(last);
    return Array.isArray(found) && found.every(isModel) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a model has to be downloaded. */
export function availability({ model, folder }: Model): string {
  if (INCLUDED.includes(model)) return "included";
  return folder === null ? "not downloaded" : "downloaded";
}

/** Size, memory and licence in one line. */
export function detail(model: Model): string {
  const parts: string[] = [];
  if (model.n_bytes !== null) parts.push(size(model.n_bytes));
  if (model.memory_bytes !== null) parts.push(`about ${size(model.memory_bytes)} of memory`);
  // the card is a file of the installed package, which users do not see
  parts.push(model.licence.replace(/; see card\.md$/, ""));
  return parts.join(", ") + (model.restriction === "" ? "" : ` (${model.restriction})`);
}

/** Percentage in a line of a progress bar: 0 to 100. */
export function percentOf(line: string): number | undefined {
  const found = /(?:^|\s)(\d{1,3})%\|/.exec(line);
  return found ? Number(found[1]) : undefined;
}

function size(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function isModel(found: unknown): found is Model {
  if (typeof found !== "object" || found === null) return false;
  const { model, licence, restriction } = found as Record<string, unknown>;
  return [model, licence, restriction].every((text) => typeof text === "string");
}
