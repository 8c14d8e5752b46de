import * as vscode from "vscode";
import { menuEntries } from "./menu_entries";
import { currentSettings } from "./settings";
import type { Snooze } from "./snooze";

/** Shows the menu that the status bar item opens. */
export async function showMenu(snooze: Snooze): Promise<void> {
  const settings = currentSettings();
  const language = vscode.window.activeTextEditor?.document.languageId;
  const languages = settings.get<Record<string, boolean>>("languages", {});
  const entries = menuEntries({
    isOn: settings.get("enable", true),
    isManual: settings.get("mode") === "onRequest",
    isSnoozed: snooze.isOn,
    language,
    isLanguageOff: language !== undefined && languages[language] === false,
    isRemote: settings.get<string>("remoteEngine", "") !== "",
  });
  // a closed quick pick returns the focus to where it was: the editor, not the status bar
  await vscode.commands.executeCommand("workbench.action.focusActiveEditorGroup");
  const chosen = await vscode.window.showQuickPick(entries, { title: "Warmline" });
  if (chosen) await vscode.commands.executeCommand(chosen.command);
}
