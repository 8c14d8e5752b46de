import * as vscode from "vscode";
import type { LanguageClientOptions, StaticFeature } from "vscode-languageclient/node";
import { settings } from "./server_settings";
import type { Snooze } from "./snooze";
import type { StatusItem } from "./status";

/** Which documents and settings the server gets, and when completions are requested. */
export function clientOptions(
  log: vscode.LogOutputChannel,
  status: StatusItem,
  snooze: Snooze,
): LanguageClientOptions {
  return {
    documentSelector: [{ scheme: "file" }, { scheme: "untitled" }],
    outputChannel: log,
    // evaluated at each start, also after a crash
    initializationOptions: () => settings(vscode.workspace),
    middleware: {
      // "ready" waits for the provider: VS Code does not repeat a request for a provider that registers late
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

/** Announces which Warmline notifications the client handles; the server sends no others. */
export const announcement: StaticFeature = {
  fillClientCapabilities: (capabilities) => {
    const existing = capabilities.experimental as Record<string, unknown> | undefined;
    capabilities.experimental = { ...existing, warmline: { status: true, better: true } };
  },
  initialize: () => undefined,
  getState: () => ({ kind: "static" }),
  clear: () => undefined,
};

function isCompletion(registration: { method: string }): boolean {
  return registration.method === "textDocument/inlineCompletion";
}
