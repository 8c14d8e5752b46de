import assert from "node:assert/strict";
import { test } from "node:test";
import { othersAmong, wordOnOthers } from "../src/others";

test("other providers are those that run, by whatever case their id has", () => {
  const extensions = [
    { id: "TabNine.tabnine-vscode", isActive: true },
    { id: "GitHub.copilot", isActive: true },
    { id: "GitHub.copilot-chat", isActive: true },
    { id: "Continue.continue", isActive: false },
    { id: "warmline.warmline", isActive: true },
    { id: "constructor", isActive: true },
  ];
  assert.deepEqual(othersAmong(extensions), ["GitHub Copilot", "Tabnine"]);
  assert.deepEqual(othersAmong([]), []);
});

test("the word on them is a sentence", () => {
  assert.match(wordOnOthers(["Tabby"]), /^Tabby offers inline completions too\./);
  assert.match(wordOnOthers(["Cody", "Tabby"]), /^Cody and Tabby offer /);
  assert.match(wordOnOthers(["Cody", "Tabby", "twinny"]), /^Cody, Tabby and twinny offer /);
});
