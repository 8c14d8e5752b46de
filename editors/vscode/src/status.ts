import * as vscode from "vscode";
import { wordOnOthers } from "./others";

/** What the server says in `warmline/status`. */
export interface Status {
  state: string;
  message?: string;
  model?: string;
  percent?: number | null;
  nTokens?: number | null;
  nFresh?: number | null;
  p50Ms?: number | null;
  p95Ms?: number | null;
  working?: boolean;
  acceptedShare?: number | null;
}

const ICONS: Record<string, string> = {
  starting: "$(loading~spin)",
  loading: "$(loading~spin)",
  "not installed": "$(warning)",
  installing: "$(loading~spin)",
  ready: "$(sparkle)",
  error: "$(warning)",
};

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
  private otherNames: readonly string[] = [];

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
  others(names: readonly string[]): void {
    this.otherNames = names;
    this.show(this.last);
  }

  show(sent: Status): void {
    this.last = sent;
    const isEarly = sent.state === "ready" && !this.isRegistered;
    const status = isEarly ? { ...sent, state: "starting" } : sent;
    const percent = status.percent == null ? "" : ` ${status.percent} %`;
    const quiet = status.state === "ready" ? "" : ` ${status.state}`;
    this.item.text = `${icon(status)} Warmline${quiet}${percent}`;
    this.item.tooltip = tooltip(status, this.otherNames);
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

function icon(status: Status): string {
  if (status.state === "ready" && status.working) return "$(loading~spin)";
  return ICONS[status.state] ?? "$(circle-slash)";
}

function tooltip(status: Status, others: readonly string[]): string {
  const lines: string[] = [];
  lines.push(
    status.message === "" || status.message == null
      ? `Warmline is ${status.state}`
      : status.message,
  );
  if (status.model) lines.push(`Model: ${status.model}`);
  if (status.nTokens != null) {
    lines.push(`In context: ${status.nTokens} tokens, ${status.nFresh ?? 0} of them fresh`);
  }
  if (status.p50Ms != null) {
    lines.push(
      `Latency: half under ${Math.round(status.p50Ms)} ms, 95 % under ${Math.round(status.p95Ms ?? 0)} ms`,
    );
  }
  if (status.acceptedShare != null) {
    lines.push(`Accepted: ${Math.round(100 * status.acceptedShare)} %`);
  }
  if (others.length > 0) lines.push(wordOnOthers(others));
  return lines.join("\n");
}
