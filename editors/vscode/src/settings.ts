import * as vscode from "vscode";
import { configTarget, entryConfigTarget, type ConfigTarget } from "./config_target";

const TARGETS: Record<ConfigTarget, vscode.ConfigurationTarget> = {
  folder: vscode.ConfigurationTarget.WorkspaceFolder,
  workspace: vscode.ConfigurationTarget.Workspace,
  user: vscode.ConfigurationTarget.Global,
};

/** The effective settings of the active editor. */
export function currentSettings(): vscode.WorkspaceConfiguration {
  return vscode.workspace.getConfiguration(
    "warmline",
    vscode.window.activeTextEditor?.document ?? null,
  );
}

/** Updates a setting at the level where it is set. */
export async function updateSetting(name: string, value: unknown): Promise<void> {
  const settings = currentSettings();
  await settings.update(name, value, TARGETS[configTarget(settings.inspect(name))]);
}

/** Updates one entry of a setting at the level where the entry is set. */
export async function updateEntry(name: string, entry: string, value: unknown): Promise<void> {
  const settings = currentSettings();
  const inspected = settings.inspect<Record<string, unknown>>(name);
  const target = entryConfigTarget(inspected, entry);
  const values = {
    folder: inspected?.workspaceFolderValue,
    workspace: inspected?.workspaceValue,
    user: inspected?.globalValue,
  };
  await settings.update(name, { ...values[target], [entry]: value }, TARGETS[target]);
}
