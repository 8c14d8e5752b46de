import * as vscode from "vscode";
import { chooseModel } from "./choose_model";
import { commentFirst } from "./comment_first";
import { showMenu } from "./menu";
import type { RemoteToken } from "./remote_token";
import { Reports } from "./reports";
import type { Server } from "./server";
import { showContext } from "./show_context";
import type { Snooze } from "./snooze";

/** The commands of package.json. */
export function commands(
  server: Server,
  log: vscode.LogOutputChannel,
  snooze: Snooze,
  token: RemoteToken,
): { dispose(): unknown }[] {
  const configuration = (): vscode.WorkspaceConfiguration =>
    vscode.workspace.getConfiguration("warmline");
  const register = vscode.commands.registerCommand;
  const reports = new Reports();
  return [
    reports,
    register("warmline.menu", showMenu),
    register("warmline.toggle", () =>
      configuration().update("enable", !configuration().get("enable"), true),
    ),
    register("warmline.toggleLanguage", async () => {
      const language = vscode.window.activeTextEditor?.document.languageId;
      if (!language) return;
      const languages = configuration().get<Record<string, boolean>>("languages", {});
      const isOn = languages[language] === false;
      await configuration().update("languages", { ...languages, [language]: isOn }, true);
    }),
    register("warmline.toggleMode", () => {
      const isManual = configuration().get("mode") === "onRequest";
      return configuration().update("mode", isManual ? "automatic" : "onRequest", true);
    }),
    register("warmline.snooze", () => {
      snooze.start();
    }),
    register("warmline.restart", () =>
      server.client?.isRunning() ? ask(server, "warmline/restart") : server.start(),
    ),
    register("warmline.makeEnvironment", () => server.remake()),
    register("warmline.chooseModel", () => chooseModel(server.command, log)),
    register("warmline.setRemoteToken", () => token.ask()),
    register("warmline.showLog", () => {
      log.show();
    }),
    register("warmline.statistics", async () => {
      const counts = await ask(server, "warmline/statistics");
      const text = JSON.stringify(counts, undefined, 2);
      await reports.show("Statistics of Warmline.json", text, vscode.ViewColumn.Active);
    }),
    register("warmline.showContext", () => showContext(server, reports)),
    register("warmline.commentFirst", () => commentFirst(server)),
    register("warmline.copyDebugInformation", async () => {
      const found = await ask(server, "warmline/debugInformation");
      await vscode.env.clipboard.writeText(
        JSON.stringify(
          { vscode: vscode.version, remote: vscode.env.remoteName, ...found },
          undefined,
          2,
        ),
      );
      void vscode.window.showInformationMessage(
        "Warmline: copied; there is none of your text in it.",
      );
    }),
  ];
}

async function ask({ client }: Server, method: string): Promise<Record<string, unknown>> {
  if (!client?.isRunning()) {
    throw new Error("Warmline's server does not run; see its log, and warmline.command");
  }
  return client.sendRequest<Record<string, unknown>>(method, {});
}
