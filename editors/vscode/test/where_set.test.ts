import assert from "node:assert/strict";
import { test } from "node:test";
import { placeOf, placeOfEntry } from "../src/where_set";

test("a setting is changed where it decides", () => {
  assert.equal(placeOf(undefined), "user");
  assert.equal(placeOf({}), "user");
  assert.equal(placeOf({ workspaceValue: false }), "workspace");
  assert.equal(placeOf({ workspaceValue: true, workspaceFolderValue: false }), "folder");
});

test("an entry is changed where that entry is, others stay with the workspace", () => {
  const workspaceValue = { python: false };
  assert.equal(placeOfEntry({ workspaceValue }, "python"), "workspace");
  assert.equal(placeOfEntry({ workspaceValue }, "rust"), "user");
  assert.equal(placeOfEntry({ workspaceValue }, "toString"), "user");
  const both = { workspaceValue, workspaceFolderValue: { python: true } };
  assert.equal(placeOfEntry(both, "python"), "folder");
  assert.equal(placeOfEntry({ workspaceValue: null }, "python"), "user");
  assert.equal(placeOfEntry(undefined, "python"), "user");
});
