import * as vscode from "vscode";

const KEY = "warmline.remoteToken";
const LEAST = 16;

/** Token of the remote engine: in VS Code's secret storage, never in a setting. */
export class RemoteToken {
  constructor(private readonly secrets: vscode.SecretStorage) {}

  /** What the server is told by its environment; messages to it may be logged. */
  async environment(): Promise<Record<string, string>> {
    const token = await this.secrets.get(KEY);
    return token === undefined ? {} : { WARMLINE_TOKEN: token };
  }

  /** Asks for a token; an empty one is forgotten. */
  async ask(): Promise<void> {
    const token = await vscode.window.showInputBox({
      title: "Token of the remote engine",
      prompt:
        "The engine logs the path of its token file when it starts. Leave empty to delete the saved token.",
      password: true,
      ignoreFocusOut: true,
      validateInput: problemOf,
    });
    if (token === undefined) return;
    if (token.trim() === "") await this.secrets.delete(KEY);
    else await this.secrets.store(KEY, token.trim());
  }

  /** Tells of another token, given in this window or another. */
  onChange(tell: () => void): vscode.Disposable {
    return this.secrets.onDidChange((event) => {
      if (event.key === KEY) tell();
    });
  }
}

function problemOf(typed: string): string | undefined {
  const token = typed.trim();
  if (token === "" || (token.length >= LEAST && /^[\x20-\x7e]+$/.test(token))) return undefined;
  return `Enter at least ${String(LEAST)} printable ASCII characters`;
}
