import * as path from "node:path";
import * as vscode from "vscode";
import { apiOf, LateListener, type PythonApi } from "./interpreter_api";

// a start of the extension that takes longer is told of when it is over
const WITHIN_MS = 5000;

/** The interpreter that the workspace uses: by the Python extension where it runs, else by its setting. */
export async function workspaceInterpreter(
  fail: (error: unknown) => void,
): Promise<string | undefined> {
  const folder = vscode.workspace.workspaceFolders?.[0];
  const api = await pythonApi(WITHIN_MS, fail);
  const active = api?.environments?.getActiveEnvironmentPath(folder?.uri).path;
  if (active && path.isAbsolute(active)) return active;
  const set = vscode.workspace
    .getConfiguration("python", folder)
    .get<string>("defaultInterpreterPath", "")
    .replace("${workspaceFolder}", folder?.uri.fsPath ?? "");
  return path.isAbsolute(set) ? set : undefined;
}

/** Tells when the workspace may use another interpreter. */
export function interpreterChanges(
  tell: () => void,
  fail: (error: unknown) => void,
): vscode.Disposable {
  const listener = new LateListener();
  const attach = async (): Promise<void> => {
    const environments = (await pythonApi(undefined, fail))?.environments;
    const event = environments?.onDidChangeActiveEnvironmentPath;
    // what it says now is news too
    if (listener.attach(event && (() => event(tell)))) tell();
  };
  void attach();
  return vscode.Disposable.from(
    listener,
    vscode.workspace.onDidOpenTextDocument(({ languageId }) => {
      if (languageId === "python") void attach();
    }),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("python.defaultInterpreterPath")) tell();
    }),
  );
}

/** The Python extension is started no sooner than VS Code itself starts it: with the first file of Python. */
function pythonApi(
  withinMs: number | undefined,
  fail: (error: unknown) => void,
): Promise<PythonApi | undefined> {
  const isWanted = vscode.workspace.textDocuments.some(({ languageId }) => languageId === "python");
  const extension = vscode.extensions.getExtension<PythonApi>("ms-python.python");
  return apiOf(extension, isWanted, withinMs, fail);
}
