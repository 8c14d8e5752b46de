import * as vscode from "vscode";

export const REPORT_SCHEME = "warmline";

/** Pages shown as read-only documents, which VS Code does not ask to save. */
export class Reports implements vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly registration = vscode.workspace.registerTextDocumentContentProvider(
    REPORT_SCHEME,
    {
      onDidChange: this.changed.event,
      provideTextDocumentContent: (uri) => this.texts.get(uri.path),
    },
  );

  /** Shows a text; its path becomes the tab's title, and a text with the same path is replaced. */
  async show(path: string, text: string, viewColumn: vscode.ViewColumn): Promise<void> {
    const uri = vscode.Uri.from({ scheme: REPORT_SCHEME, path: `/${path}` });
    this.texts.set(uri.path, text);
    this.changed.fire(uri);
    await vscode.window.showTextDocument(uri, { preview: true, viewColumn });
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }
}
