import assert from "node:assert/strict";
import { test } from "node:test";
import type * as vscode from "vscode";
import { settings } from "../src/server_settings";

type Workspace = Parameters<typeof settings>[0];

const asked: unknown[] = [];
const uri = (text: string): vscode.Uri => ({ toString: () => text }) as unknown as vscode.Uri;
const documents = [{ uri: uri("file:///a.md"), languageId: "markdown" }];

/** A workspace with these values, which says what it was asked for. */
function workspace(values: object, excluded: object = {}): Workspace {
  const configuration = { get: () => values, inspect: () => excluded };
  return {
    textDocuments: documents as unknown as vscode.TextDocument[],
    getConfiguration: (_: unknown, scope: unknown) => {
      asked.push(scope);
      return configuration as unknown as vscode.WorkspaceConfiguration;
    },
  };
}

test("a document has the settings of its folder and its language", () => {
  const found = settings(workspace({ maxLines: 3 }), uri("file:///a.md"));
  assert.deepEqual(found, { maxLines: 3 });
  assert.deepEqual(asked.pop(), documents[0]);
});

test("where no language is known, the folder counts, and the window has neither", () => {
  const other = uri("file:///b.md");
  settings(workspace({}), other);
  assert.equal(asked.pop(), other);
  settings(workspace({}));
  assert.equal(asked.pop(), undefined);
});

test("the server is not told what only the extension uses", () => {
  const all = { command: "warmline", environment: {}, trace: {}, enable: true };
  assert.deepEqual(settings(workspace(all)), { enable: true });
});

test("a workspace adds to the excluded files, and takes none away", () => {
  const excluded = (levels: object): unknown =>
    settings(workspace({ excludedGlobs: ["in force"] }, levels))["excludedGlobs"];
  const defaultValue = [".env", "*.pem"];
  assert.deepEqual(excluded({ defaultValue }), defaultValue);
  assert.deepEqual(excluded({ defaultValue, workspaceValue: [] }), defaultValue);
  const levels = { defaultValue, workspaceValue: ["*.sql"], workspaceFolderValue: [".env", "a"] };
  assert.deepEqual(excluded(levels), [".env", "*.pem", "*.sql", "a"]);
  // the user's own list is in force as it is, unless it is none
  assert.deepEqual(excluded({ defaultValue, globalValue: [], workspaceValue: ["*.sql"] }), [
    "*.sql",
  ]);
  assert.deepEqual(excluded({ defaultValue, globalValue: "*.sql" }), defaultValue);
});
