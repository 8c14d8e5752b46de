import * as path from "node:path";
import * as vscode from "vscode";

interface PythonApi {
  environments?: { getActiveEnvironmentPath(resource?: vscode.Uri): { path: string } };
}

/** The interpreter that the workspace uses: by the Python extension where it is there, else by its setting. */
export async function workspaceInterpreter(): Promise<string | undefined> {
  const folder = vscode.workspace.workspaceFolders?.[0];
  const extension = vscode.extensions.getExtension<PythonApi>("ms-python.python");
  if (extension) {
    const api = await extension.activate();
    const active = api.environments?.getActiveEnvironmentPath(folder?.uri).path;
    if (active && path.isAbsolute(active)) return active;
  }
  const set = vscode.workspace
    .getConfiguration("python", folder)
    .get<string>("defaultInterpreterPath", "")
    .replace("${workspaceFolder}", folder?.uri.fsPath ?? "");
  return path.isAbsolute(set) ? set : undefined;
}
