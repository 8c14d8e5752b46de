import * as vscode from "vscode";
import { placeOf, placeOfEntry, type Place } from "./where_set";

const TARGETS: Record<Place, vscode.ConfigurationTarget> = {
  folder: vscode.ConfigurationTarget.WorkspaceFolder,
  workspace: vscode.ConfigurationTarget.Workspace,
  user: vscode.ConfigurationTarget.Global,
};

/** The settings in force where the user is. */
export function settingsHere(): vscode.WorkspaceConfiguration {
  return vscode.workspace.getConfiguration(
    "warmline",
    vscode.window.activeTextEditor?.document ?? null,
  );
}

/** Sets a setting where it is set already. */
export async function change(name: string, value: unknown): Promise<void> {
  const settings = settingsHere();
  await settings.update(name, value, TARGETS[placeOf(settings.inspect(name))]);
}

/** Sets one entry of a setting where that entry is set already; the entries of other places stay there. */
export async function changeEntry(name: string, entry: string, value: unknown): Promise<void> {
  const settings = settingsHere();
  const inspected = settings.inspect<Record<string, unknown>>(name);
  const place = placeOfEntry(inspected, entry);
  const values = {
    folder: inspected?.workspaceFolderValue,
    workspace: inspected?.workspaceValue,
    user: inspected?.globalValue,
  };
  await settings.update(name, { ...values[place], [entry]: value }, TARGETS[place]);
}
