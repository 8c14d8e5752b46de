import * as vscode from "vscode";
import { chooseModel, type Program } from "./choose_model";
import { commentFirst } from "./comment_first";
import { showMenu } from "./menu";
import type { RemoteToken } from "./remote_token";
import { Reports } from "./reports";
import type { Server } from "./server";
import { updateSetting, updateEntry, currentSettings } from "./settings";
import { showContext } from "./show_context";
import type { Snooze } from "./snooze";
import { statisticsPage, type Counts } from "./statistics_page";
import type { StatusItem } from "./status";
import { openWalkthrough } from "./walkthrough";

const LOG = "Show the log";

/** Registers the commands of package.json. */
export function commands(
  server: Server,
  log: vscode.LogOutputChannel,
  status: StatusItem,
  snooze: Snooze,
  token: RemoteToken,
  environment: () => Promise<NodeJS.ProcessEnv>,
): { dispose(): unknown }[] {
  // VS Code itself reports only that a command failed
  const register = (name: string, work: () => unknown): vscode.Disposable =>
    vscode.commands.registerCommand(name, async () => {
      try {
        await work();
      } catch (error) {
        void showError(error, log);
      }
    });
  const reports = new Reports();
  return [
    reports,
    register("warmline.menu", () => showMenu(snooze)),
    register("warmline.toggle", () =>
      updateSetting("enable", !currentSettings().get("enable", true)),
    ),
    register("warmline.toggleLanguage", async () => {
      const language = vscode.window.activeTextEditor?.document.languageId;
      if (!language) return;
      const languages = currentSettings().get<Record<string, boolean>>("languages", {});
      await updateEntry("languages", language, languages[language] === false);
    }),
    register("warmline.toggleMode", () => {
      const isManual = currentSettings().get("mode") === "onRequest";
      return updateSetting("mode", isManual ? "automatic" : "onRequest");
    }),
    register("warmline.snooze", () => {
      if (snooze.isOn) snooze.end();
      else snooze.start();
    }),
    register("warmline.restart", () =>
      server.client?.isRunning() ? ask(server, "warmline/restart") : server.start(),
    ),
    register("warmline.makeEnvironment", () => server.reinstall()),
    register("warmline.chooseModel", async () =>
      chooseModel(await program(server, environment), log),
    ),
    register("warmline.setRemoteToken", () => token.ask()),
    register("warmline.walkthrough", () => openWalkthrough(status.wasReady)),
    register("warmline.showLog", () => {
      log.show();
    }),
    register("warmline.statistics", async () => {
      const page = statisticsPage(await ask<Counts>(server, "warmline/statistics"));
      await reports.show("Warmline statistics.md", page, vscode.ViewColumn.Active);
    }),
    register("warmline.showContext", () => showContext(server, reports)),
    register("warmline.commentFirst", () => commentFirst(server)),
    register("warmline.copyDebugInformation", async () => {
      const information = await ask<Record<string, unknown>>(server, "warmline/debugInformation");
      await vscode.env.clipboard.writeText(
        JSON.stringify(
          { vscode: vscode.version, remote: vscode.env.remoteName, ...information },
          undefined,
          2,
        ),
      );
      void vscode.window.showInformationMessage(
        "Warmline: Debug information copied. It contains none of your text.",
      );
    }),
  ];
}

async function showError(error: unknown, log: vscode.LogOutputChannel): Promise<void> {
  const message = error instanceof Error ? error.message : String(error);
  log.error(message);
  if ((await vscode.window.showErrorMessage(message, LOG)) === LOG) log.show();
}

async function program(
  { command }: Server,
  environment: () => Promise<NodeJS.ProcessEnv>,
): Promise<Program> {
  if (command === undefined) throw new Error("Warmline's server is not running. See the log.");
  return { command, env: await environment() };
}

async function ask<Answer>({ client }: Server, method: string): Promise<Answer> {
  if (!client?.isRunning()) {
    throw new Error(
      "Warmline's server is not running. See the log and the setting warmline.command.",
    );
  }
  return client.sendRequest<Answer>(method, {});
}
