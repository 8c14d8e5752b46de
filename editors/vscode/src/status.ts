import * as vscode from "vscode";
import { itemText, tooltip, type LocalState, type Status } from "./status_text";
import { setReady } from "./walkthrough";

/** The status bar item. */
export class StatusItem implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(
    "warmline",
    vscode.StatusBarAlignment.Right,
    90,
  );

  private last: Status = { state: "starting" };
  private isRegistered = false;
  private hasBeenReady = false;
  private local: LocalState = { competitors: [], snoozedUntil: undefined };

  constructor() {
    this.item.name = "Warmline";
    this.item.command = "warmline.menu";
    this.show(this.last);
    this.item.show();
  }

  /** Whether completions have been available in this window. */
  get wasReady(): boolean {
    return this.hasBeenReady;
  }

  /** Sets whether the completion provider is registered with VS Code. */
  registered(isRegistered: boolean): void {
    this.isRegistered = isRegistered;
    this.show(this.last);
  }

  /** Sets the names of other active extensions with completions. */
  competitors(competitors: readonly string[]): void {
    this.local = { ...this.local, competitors };
    this.show(this.last);
  }

  /** Sets the end of the snooze, as a time of day. */
  snoozed(snoozedUntil: string | undefined): void {
    this.local = { ...this.local, snoozedUntil };
    this.show(this.last);
  }

  show(latest: Status): void {
    this.last = latest;
    const isEarly = latest.state === "ready" && !this.isRegistered;
    const status = isEarly ? { ...latest, state: "starting" } : latest;
    this.item.text = itemText(status, this.local);
    this.item.tooltip = tooltip(status, this.local);
    if (status.state === "ready" && !this.hasBeenReady) {
      this.hasBeenReady = true;
      void setReady(true);
    }
  }

  dispose(): void {
    this.item.dispose();
  }
}
