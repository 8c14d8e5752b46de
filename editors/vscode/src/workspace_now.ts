import * as vscode from "vscode";
import type { Workspace } from "./safe_environment";

/** The folders on disk that are open, and whether they are trusted. */
export function workspaceNow(): Workspace {
  const folders = (vscode.workspace.workspaceFolders ?? [])
    .filter(({ uri }) => uri.scheme === "file")
    .map(({ uri }) => uri.fsPath);
  return { folders, isTrusted: vscode.workspace.isTrusted };
}
