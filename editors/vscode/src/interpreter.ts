import * as path from "node:path";
import * as vscode from "vscode";
import { apiOf, LateListener, type PythonApi } from "./interpreter_api";

// if the Python extension starts more slowly, its interpreter is used once it has started
const ACTIVATION_TIMEOUT_MS = 5000;

/** The workspace's interpreter: from the Python extension if it runs, else from its setting. */
export async function workspaceInterpreter(
  fail: (error: unknown) => void,
): Promise<string | undefined> {
  const folder = vscode.workspace.workspaceFolders?.[0];
  const api = await pythonApi(ACTIVATION_TIMEOUT_MS, fail);
  const active = api?.environments?.getActiveEnvironmentPath(folder?.uri).path;
  if (active && path.isAbsolute(active)) return active;
  const set = vscode.workspace
    .getConfiguration("python", folder)
    .get<string>("defaultInterpreterPath", "")
    .replace("${workspaceFolder}", folder?.uri.fsPath ?? "");
  return path.isAbsolute(set) ? set : undefined;
}

/** Calls a listener when the workspace may use another interpreter. */
export function interpreterChanges(
  onChange: () => void,
  fail: (error: unknown) => void,
): vscode.Disposable {
  const listener = new LateListener();
  const attach = async (): Promise<void> => {
    const environments = (await pythonApi(undefined, fail))?.environments;
    const event = environments?.onDidChangeActiveEnvironmentPath;
    // the interpreter may have changed before the listener was attached
    if (listener.attach(event && (() => event(onChange)))) onChange();
  };
  void attach();
  return vscode.Disposable.from(
    listener,
    vscode.workspace.onDidOpenTextDocument(({ languageId }) => {
      if (languageId === "python") void attach();
    }),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("python.defaultInterpreterPath")) onChange();
    }),
  );
}

/** API of the Python extension, which is activated only if a Python file is open, as VS Code itself does. */
function pythonApi(
  withinMs: number | undefined,
  fail: (error: unknown) => void,
): Promise<PythonApi | undefined> {
  const isWanted = vscode.workspace.textDocuments.some(({ languageId }) => languageId === "python");
  const extension = vscode.extensions.getExtension<PythonApi>("ms-python.python");
  return apiOf(extension, isWanted, withinMs, fail);
}
