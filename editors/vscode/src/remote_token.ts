import * as vscode from "vscode";

const KEY = "warmline.remoteToken";
const MIN_LENGTH = 16;

/** The token of the remote engine. VS Code's secret storage keeps it; settings never contain it. */
export class RemoteToken {
  constructor(private readonly secrets: vscode.SecretStorage) {}

  /** The token as an environment variable: messages to the server may be logged. */
  async environment(): Promise<Record<string, string>> {
    const token = await this.secrets.get(KEY);
    return token === undefined ? {} : { WARMLINE_TOKEN: token };
  }

  /** Asks for a token; an empty one deletes the saved token. */
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

  /** Calls a listener when the token changes in this or another window. */
  onChange(listener: () => void): vscode.Disposable {
    return this.secrets.onDidChange((event) => {
      if (event.key === KEY) listener();
    });
  }
}

function problemOf(input: string): string | undefined {
  const token = input.trim();
  if (token === "" || (token.length >= MIN_LENGTH && /^[\x20-\x7e]+$/.test(token)))
    return undefined;
  return `Enter at least ${String(MIN_LENGTH)} printable ASCII characters`;
}
