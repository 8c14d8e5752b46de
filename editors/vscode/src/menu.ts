import * as vscode from "vscode";

interface Entry extends vscode.QuickPickItem {
  command: string;
}

/** What the item in the status bar opens. */
export async function showMenu(): Promise<void> {
  const chosen = await vscode.window.showQuickPick(entries(), { title: "Warmline" });
  if (chosen) await vscode.commands.executeCommand(chosen.command);
}

function entries(): Entry[] {
  const configuration = vscode.workspace.getConfiguration("warmline");
  const language = vscode.window.activeTextEditor?.document.languageId;
  const isOn = configuration.get<boolean>("enable", true);
  const list: Entry[] = [
    { label: isOn ? "$(circle-slash) Turn off" : "$(check) Turn on", command: "warmline.toggle" },
  ];
  if (language) {
    const isOff = configuration.get<Record<string, boolean>>("languages", {})[language] === false;
    list.push({
      label: `${isOff ? "$(check) Turn on" : "$(circle-slash) Turn off"} for ${language}`,
      command: "warmline.toggleLanguage",
    });
  }
  const isManual = configuration.get<string>("mode") === "onRequest";
  return [
    ...list,
    {
      label: isManual ? "$(zap) Complete while I type" : "$(zap) Complete only when I ask",
      command: "warmline.toggleMode",
    },
    { label: "$(chip) Choose a model", command: "warmline.chooseModel" },
    { label: "$(bell-slash) Snooze for five minutes", command: "warmline.snooze" },
    { label: "$(debug-restart) Restart the engine", command: "warmline.restart" },
    {
      label: "$(package) Make the extension's environment anew",
      command: "warmline.makeEnvironment",
    },
    { label: "$(references) Show what the model sees", command: "warmline.showContext" },
    { label: "$(graph) Show statistics", command: "warmline.statistics" },
    { label: "$(output) Show the log", command: "warmline.showLog" },
    { label: "$(copy) Copy debug information", command: "warmline.copyDebugInformation" },
  ];
}
