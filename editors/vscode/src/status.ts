import * as vscode from "vscode";
import { itemText, tooltip, type Beside, type Status } from "./status_text";

/** The item in the status bar. */
export class StatusItem implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(
    "warmline",
    vscode.StatusBarAlignment.Right,
    90,
  );

  private last: Status = { state: "starting" };
  private isRegistered = false;
  private wasReady = false;
  private beside: Beside = { others: [], snoozedUntil: undefined };

  constructor() {
    this.item.name = "Warmline";
    this.item.command = "warmline.menu";
    this.show(this.last);
    this.item.show();
  }

  /** Notes whether VS Code knows of a provider of completions. */
  registered(isRegistered: boolean): void {
    this.isRegistered = isRegistered;
    this.show(this.last);
  }

  /** Notes which other extensions offer completions. */
  others(others: readonly string[]): void {
    this.beside = { ...this.beside, others };
    this.show(this.last);
  }

  /** Notes until when there are no completions unasked. */
  snoozed(snoozedUntil: string | undefined): void {
    this.beside = { ...this.beside, snoozedUntil };
    this.show(this.last);
  }

  show(sent: Status): void {
    this.last = sent;
    const isEarly = sent.state === "ready" && !this.isRegistered;
    const status = isEarly ? { ...sent, state: "starting" } : sent;
    this.item.text = itemText(status, this.beside);
    this.item.tooltip = tooltip(status, this.beside);
    if (status.state === "ready" && !this.wasReady) {
      this.wasReady = true;
      // the walkthrough's first step is done
      void vscode.commands.executeCommand("setContext", "warmline.ready", true);
    }
  }

  dispose(): void {
    this.item.dispose();
  }
}
