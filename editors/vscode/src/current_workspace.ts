import * as vscode from "vscode";
import type { Workspace } from "./safe_environment";

/** The open folders on disk, and whether they are trusted. */
export function currentWorkspace(): Workspace {
  const folders = (vscode.workspace.workspaceFolders ?? [])
    .filter(({ uri }) => uri.scheme === "file")
    .map(({ uri }) => uri.fsPath);
  return { folders, isTrusted: vscode.workspace.isTrusted };
}
