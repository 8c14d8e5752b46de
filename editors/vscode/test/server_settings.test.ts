import assert from "node:assert/strict";
import { test } from "node:test";
import type * as vscode from "vscode";
import { settings } from "../src/server_settings";

type Workspace = Parameters<typeof settings>[0];

const scopes: unknown[] = [];
const uri = (text: string): vscode.Uri => ({ toString: () => text }) as unknown as vscode.Uri;
const documents = [{ uri: uri("file:///a.md"), languageId: "markdown" }];

/** A workspace with these values, which records the requested scopes. */
function workspace(values: object, excluded: object = {}): Workspace {
  const configuration = { get: () => values, inspect: () => excluded };
  return {
    textDocuments: documents as unknown as vscode.TextDocument[],
    getConfiguration: (_: unknown, scope: unknown) => {
      scopes.push(scope);
      return configuration as unknown as vscode.WorkspaceConfiguration;
    },
  };
}

test("a document has the settings of its folder and its language", () => {
  const found = settings(workspace({ maxLines: 3 }), uri("file:///a.md"));
  assert.deepEqual(found, { maxLines: 3 });
  assert.deepEqual(scopes.pop(), documents[0]);
});

test("an unopened document has the settings of its folder, and the window has no scope", () => {
  const other = uri("file:///b.md");
  settings(workspace({}), other);
  assert.equal(scopes.pop(), other);
  settings(workspace({}));
  assert.equal(scopes.pop(), undefined);
});

test("the server does not get the extension's own settings", () => {
  const all = { command: "warmline", environment: {}, trace: {}, enable: true };
  assert.deepEqual(settings(workspace(all)), { enable: true });
});

test("a workspace adds to the excluded globs and removes none", () => {
  const excluded = (levels: object): unknown =>
    settings(workspace({ excludedGlobs: ["in force"] }, levels))["excludedGlobs"];
  const defaultValue = [".env", "*.pem"];
  assert.deepEqual(excluded({ defaultValue }), defaultValue);
  assert.deepEqual(excluded({ defaultValue, workspaceValue: [] }), defaultValue);
  const levels = { defaultValue, workspaceValue: ["*.sql"], workspaceFolderValue: [".env", "a"] };
  assert.deepEqual(excluded(levels), [".env", "*.pem", "*.sql", "a"]);
  // the user's list replaces the default, unless it is not a list
  assert.deepEqual(excluded({ defaultValue, globalValue: [], workspaceValue: ["*.sql"] }), [
    "*.sql",
  ]);
  assert.deepEqual(excluded({ defaultValue, globalValue: "*.sql" }), defaultValue);
});
