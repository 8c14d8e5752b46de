import * as vscode from "vscode";

export const REPORT = "warmline";

/** Texts of ours, shown as documents that nobody edits and nobody is asked to save. */
export class Reports implements vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly registration = vscode.workspace.registerTextDocumentContentProvider(REPORT, {
    onDidChange: this.changed.event,
    provideTextDocumentContent: (uri) => this.texts.get(uri.path),
  });

  /** Shows a text under a path whose end says what it is; what stood there before gives way. */
  async show(path: string, text: string, viewColumn: vscode.ViewColumn): Promise<void> {
    const uri = vscode.Uri.from({ scheme: REPORT, path: `/${path}` });
    this.texts.set(uri.path, text);
    this.changed.fire(uri);
    await vscode.window.showTextDocument(uri, { preview: true, viewColumn });
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }
}
