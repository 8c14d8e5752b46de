import * as path from "node:path";
import * as vscode from "vscode";

interface PythonApi {
  environments?: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { path: string };
    onDidChangeActiveEnvironmentPath: vscode.Event<unknown>;
  };
}

/** The interpreter that the workspace uses: by the Python extension where it is there, else by its setting. */
export async function workspaceInterpreter(): Promise<string | undefined> {
  const folder = vscode.workspace.workspaceFolders?.[0];
  const api = await pythonApi();
  const active = api?.environments?.getActiveEnvironmentPath(folder?.uri).path;
  if (active && path.isAbsolute(active)) return active;
  const set = vscode.workspace
    .getConfiguration("python", folder)
    .get<string>("defaultInterpreterPath", "")
    .replace("${workspaceFolder}", folder?.uri.fsPath ?? "");
  return path.isAbsolute(set) ? set : undefined;
}

/** Tells when the workspace may use another interpreter. */
export function interpreterChanges(tell: () => void): vscode.Disposable {
  const ours = [
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("python.defaultInterpreterPath")) tell();
    }),
  ];
  void pythonApi().then((api) => {
    const event = api?.environments?.onDidChangeActiveEnvironmentPath;
    if (event) ours.push(event(tell));
  });
  return new vscode.Disposable(() => {
    for (const one of ours) one.dispose();
  });
}

async function pythonApi(): Promise<PythonApi | undefined> {
  return vscode.extensions.getExtension<PythonApi>("ms-python.python")?.activate();
}
