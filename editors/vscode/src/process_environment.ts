import * as vscode from "vscode";
import { certificatesFor, programEnvironment } from "./program_environment";

/** The environment variables of child processes, from the current settings. */
export async function processEnvironment(storage: vscode.Uri): Promise<NodeJS.ProcessEnv> {
  const http = vscode.workspace.getConfiguration("http");
  const usesProxy = http.get<string>("proxySupport") !== "off";
  return programEnvironment(process.env, {
    proxy: usesProxy ? http.get<string>("proxy", "") : "",
    noProxy: http.get<string[]>("noProxy", []),
    certificates: await certificatesFor(process.env, storage.fsPath),
  });
}
