import * as vscode from "vscode";

const SNOOZE_MS = 5 * 60_000;

/** No completions for a while, in this window; no setting is changed. */
export class Snooze implements vscode.Disposable {
  private timer: NodeJS.Timeout | undefined;

  get isOn(): boolean {
    return this.timer !== undefined;
  }

  start(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.timer = undefined), SNOOZE_MS);
    void vscode.window.setStatusBarMessage("Warmline snoozes for five minutes", 4000);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}
