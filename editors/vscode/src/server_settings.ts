import type * as vscode from "vscode";

/** Settings that only the extension uses; the server does not get them. */
const CLIENT_ONLY = new Set(["command", "environment", "trace"]);

type Workspace = Pick<typeof vscode.workspace, "getConfiguration" | "textDocuments">;

/** The effective server settings of a document, by folder and language, or of the window. */
export function settings(workspace: Workspace, uri?: vscode.Uri): Record<string, unknown> {
  const open = workspace.textDocuments.find((document) => same(document.uri, uri));
  const scope = open && { uri: open.uri, languageId: open.languageId };
  const configuration = workspace.getConfiguration(undefined, scope ?? uri);
  const all = configuration.get<Record<string, unknown>>("warmline") ?? {};
  const excludedGlobs = mergedGlobs(configuration.inspect<string[]>("warmline.excludedGlobs"));
  return {
    ...Object.fromEntries(Object.entries(all).filter(([name]) => !CLIENT_ONLY.has(name))),
    ...(excludedGlobs && { excludedGlobs }),
  };
}

function same(one: vscode.Uri, other?: vscode.Uri): boolean {
  return one.toString() === other?.toString();
}

interface Levels {
  defaultValue?: string[];
  globalValue?: string[];
  workspaceValue?: string[];
  workspaceFolderValue?: string[];
}

/** Excluded globs: a workspace may only add to the user's list, so that it cannot expose files. */
function mergedGlobs(found: Levels | undefined): string[] | undefined {
  const base = isList(found?.globalValue) ? found.globalValue : found?.defaultValue;
  const added = [found?.workspaceValue, found?.workspaceFolderValue].filter(isList);
  return base && [...new Set([base, ...added].flat())];
}

/** A settings file may contain any value. */
function isList(value: unknown): value is string[] {
  return Array.isArray(value);
}
