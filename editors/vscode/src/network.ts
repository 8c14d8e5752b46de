import * as vscode from "vscode";
import { certificatesFor, programEnvironment } from "./program_environment";

/** The environment of the programs that we start, by the settings as they are now. */
export async function ourEnvironment(storage: vscode.Uri): Promise<NodeJS.ProcessEnv> {
  const http = vscode.workspace.getConfiguration("http");
  const isUsed = http.get<string>("proxySupport") !== "off";
  return programEnvironment(process.env, {
    proxy: isUsed ? http.get<string>("proxy", "") : "",
    noProxy: http.get<string[]>("noProxy", []),
    certificates: await certificatesFor(process.env, storage.fsPath),
  });
}
