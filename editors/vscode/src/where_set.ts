/** Where a setting is set, as VS Code's `inspect` tells. */
export interface Inspected {
  readonly workspaceFolderValue?: unknown;
  readonly workspaceValue?: unknown;
}

export type Place = "folder" | "workspace" | "user";

/** The place that decides, so that a change there shows: where the setting is set, else with the user. */
export function placeOf(inspected: Inspected | undefined): Place {
  if (inspected?.workspaceFolderValue !== undefined) return "folder";
  return inspected?.workspaceValue !== undefined ? "workspace" : "user";
}

/** The same of one entry of a setting whose places VS Code merges. */
export function placeOfEntry(inspected: Inspected | undefined, name: string): Place {
  const has = (value: unknown): boolean =>
    typeof value === "object" && value !== null && Object.hasOwn(value, name);
  if (has(inspected?.workspaceFolderValue)) return "folder";
  return has(inspected?.workspaceValue) ? "workspace" : "user";
}
