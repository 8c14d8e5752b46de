import * as vscode from "vscode";
import type { LanguageClientOptions } from "vscode-languageclient/node";
import type { Snooze } from "./snooze";
import type { StatusItem } from "./status";

/** How the client talks to the server: which documents, which settings, when it is asked. */
export function clientOptions(
  log: vscode.LogOutputChannel,
  status: StatusItem,
  snooze: Snooze,
): LanguageClientOptions {
  return {
    documentSelector: [{ scheme: "file" }, { scheme: "untitled" }],
    outputChannel: log,
    initializationOptions: settings(),
    middleware: {
      // ready is said once VS Code asks us: it does not ask again when a provider comes late
      handleRegisterCapability: async (params, next) => {
        await next(params, new vscode.CancellationTokenSource().token);
        if (params.registrations.some(isCompletion)) status.registered(true);
      },
      handleUnregisterCapability: async (params, next) => {
        if (params.unregisterations.some(isCompletion)) status.registered(false);
        await next(params, new vscode.CancellationTokenSource().token);
      },
      provideInlineCompletionItems: (document, position, context, token, next) => {
        const isAutomatic = context.triggerKind === vscode.InlineCompletionTriggerKind.Automatic;
        return snooze.isOn && isAutomatic ? [] : next(document, position, context, token);
      },
      workspace: {
        configuration: (params) => params.items.map((item) => settings(item.scopeUri)),
      },
    },
  };
}

function isCompletion(registration: { method: string }): boolean {
  return registration.method === "textDocument/inlineCompletion";
}

/** What only the extension uses; the server is not told of it. */
const OURS = new Set(["command", "environment", "trace"]);

/** The server's settings in force for a document or the window. */
function settings(document?: string): Record<string, unknown> {
  const scope = document === undefined ? undefined : vscode.Uri.parse(document);
  const all =
    vscode.workspace.getConfiguration(undefined, scope).get<Record<string, unknown>>("warmline") ??
    {};
  return Object.fromEntries(Object.entries(all).filter(([name]) => !OURS.has(name)));
}
