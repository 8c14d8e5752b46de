/** A model as `warmline models list --json` tells of it. */
export interface Model {
  model: string;
  licence: string;
  /** Empty where the licence lets everybody use the model for everything. */
  restriction: string;
  n_bytes: number | null;
  memory_bytes: number | null;
  /** Null where it is not on this machine. */
  folder: string | null;
}

/** The models in what the command printed; undefined where that is no list of them. */
export function parseModels(output: string): Model[] | undefined {
  // warnings may stand above it
  const last = output.trimEnd().split("\n").at(-1) ?? "";
  try {
    const found: unknown = JSON.parse(last);
    return Array.isArray(found) && found.every(isModel) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Size, memory and licence, in a line. */
export function detail(model: Model): string {
  const parts: string[] = [];
  if (model.n_bytes !== null) parts.push(size(model.n_bytes));
  if (model.memory_bytes !== null) parts.push(`about ${size(model.memory_bytes)} of memory`);
  parts.push(model.licence);
  return parts.join(", ") + (model.restriction === "" ? "" : ` (${model.restriction})`);
}

/** How much of a file is here, by a line of a progress bar: 0 to 100. */
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
