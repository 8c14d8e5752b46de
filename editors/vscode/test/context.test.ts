import assert from "node:assert/strict";
import { test } from "node:test";
import { describe, type ContextItem } from "../src/context";

const contextItem: ContextItem = {
  path: "pkg/shapes.py",
  line: 2,
  name: "area",
  why: "imported",
  text: "def area(): ...\n",
  nTokens: 9,
};

test("the nearest item comes first, each with its place and reason", () => {
  const items = [{ ...contextItem, path: "far.py" }, contextItem];
  const page = describe("app.py", { state: "ready", nTokens: 20, nFresh: 19, items });
  assert.match(page, /^# What the model sees in app\.py\n/);
  assert.match(page, /20 tokens, 19 of them fresh/);
  assert.match(
    page,
    /## pkg\/shapes\.py:3 `area`\n\nimported, 9 tokens\n\n```\ndef area\(\): \.\.\.\n```/,
  );
  assert.ok(page.indexOf("shapes.py") < page.indexOf("far.py"));
});

test("a fence is longer than any in the text", () => {
  const items = [{ ...contextItem, text: "````\ncode\n````" }];
  const page = describe("app.py", { state: "ready", nTokens: 1, nFresh: 1, items });
  assert.match(page, /\n`````\n````\ncode\n````\n`````\n/);
});

test("an empty context is explained", () => {
  assert.match(describe("a.py", null), /does not complete this file/);
  const empty = { nTokens: 1, nFresh: 1, items: [] };
  assert.match(describe("a.py", { state: "off", ...empty }), /warmline\.retrieval/);
  assert.match(describe("a.py", { state: "looking", ...empty }), /still searching/);
  assert.match(describe("a.py", { state: "ready", ...empty }), /Nothing from other files/);
});
