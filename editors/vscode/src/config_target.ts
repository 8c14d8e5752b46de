/** The part of a result of VS Code's `inspect` that is used. */
export interface Inspected {
  readonly workspaceFolderValue?: unknown;
  readonly workspaceValue?: unknown;
}

export type ConfigTarget = "folder" | "workspace" | "user";

/** The level that takes effect: the most specific level where the setting is set, else the user's. */
export function configTarget(inspected: Inspected | undefined): ConfigTarget {
  if (inspected?.workspaceFolderValue !== undefined) return "folder";
  return inspected?.workspaceValue !== undefined ? "workspace" : "user";
}

/** The same for one entry of a setting whose levels VS Code merges. */
export function entryConfigTarget(inspected: Inspected | undefined, name: string): ConfigTarget {
  const has = (value: unknown): boolean =>
    typeof value === "object" && value !== null && Object.hasOwn(value, name);
  if (has(inspected?.workspaceFolderValue)) return "folder";
  return has(inspected?.workspaceValue) ? "workspace" : "user";
}
