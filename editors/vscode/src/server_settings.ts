import type * as vscode from "vscode";

/** What only the extension uses; the server is not told of it. */
const OURS = new Set(["command", "environment", "trace"]);

type Workspace = Pick<typeof vscode.workspace, "getConfiguration" | "textDocuments">;

/** The server's settings in force for a document, by its folder and language, or for the window. */
export function settings(workspace: Workspace, uri?: vscode.Uri): Record<string, unknown> {
  const open = workspace.textDocuments.find((document) => same(document.uri, uri));
  const scope = open && { uri: open.uri, languageId: open.languageId };
  const configuration = workspace.getConfiguration(undefined, scope ?? uri);
  const all = configuration.get<Record<string, unknown>>("warmline") ?? {};
  const excludedGlobs = merged(configuration.inspect<string[]>("warmline.excludedGlobs"));
  return {
    ...Object.fromEntries(Object.entries(all).filter(([name]) => !OURS.has(name))),
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

/** A workspace must not give away what its user keeps back, so it may only add. */
function merged(found: Levels | undefined): string[] | undefined {
  const own = isList(found?.globalValue) ? found.globalValue : found?.defaultValue;
  const added = [found?.workspaceValue, found?.workspaceFolderValue].filter(isList);
  return own && [...new Set([own, ...added].flat())];
}

/** Nothing keeps a settings file from having something else. */
function isList(value: unknown): value is string[] {
  return Array.isArray(value);
}
