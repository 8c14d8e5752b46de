import assert from "node:assert/strict";
import { test } from "node:test";
import { configTarget, entryConfigTarget } from "../src/config_target";

test("the target is the most specific level that has the setting", () => {
  assert.equal(configTarget(undefined), "user");
  assert.equal(configTarget({}), "user");
  assert.equal(configTarget({ workspaceValue: false }), "workspace");
  assert.equal(configTarget({ workspaceValue: true, workspaceFolderValue: false }), "folder");
});

test("the target of an entry is the level that has the entry", () => {
  const workspaceValue = { python: false };
  assert.equal(entryConfigTarget({ workspaceValue }, "python"), "workspace");
  assert.equal(entryConfigTarget({ workspaceValue }, "rust"), "user");
  assert.equal(entryConfigTarget({ workspaceValue }, "toString"), "user");
  const both = { workspaceValue, workspaceFolderValue: { python: true } };
  assert.equal(entryConfigTarget(both, "python"), "folder");
  assert.equal(entryConfigTarget({ workspaceValue: null }, "python"), "user");
  assert.equal(entryConfigTarget(undefined, "python"), "user");
});
