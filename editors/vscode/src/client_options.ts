import * as vscode from "vscode";
import type { LanguageClientOptions, StaticFeature } from "vscode-languageclient/node";
import { settings } from "./server_settings";
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
    // asked at each start, also at one that follows a crash
    initializationOptions: () => settings(vscode.workspace),
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
        const hasSeveralCursors = (vscode.window.activeTextEditor?.selections.length ?? 1) > 1;
        if (isAutomatic && (snooze.isOn || hasSeveralCursors)) return [];
        return next(document, position, context, token);
      },
      workspace: {
        configuration: (params) =>
          params.items.map(({ scopeUri }) =>
            settings(
              vscode.workspace,
              scopeUri === undefined ? undefined : vscode.Uri.parse(scopeUri),
            ),
          ),
      },
    },
  };
}

/** Names the server's own notifications that are shown; it sends no others. */
export const announcement: StaticFeature = {
  fillClientCapabilities: (capabilities) => {
    const known = capabilities.experimental as Record<string, unknown> | undefined;
    capabilities.experimental = { ...known, warmline: { status: true, better: true } };
  },
  initialize: () => undefined,
  getState: () => ({ kind: "static" }),
  clear: () => undefined,
};

function isCompletion(registration: { method: string }): boolean {
  return registration.method === "textDocument/inlineCompletion";
}
