import assert from "node:assert/strict";
import { test } from "node:test";
import { activeCompetitors, competitorWarning } from "../src/competing_extensions";

test("competitors are active extensions with a known id, in any case", () => {
  const extensions = [
    { id: "TabNine.tabnine-vscode", isActive: true },
    { id: "GitHub.copilot", isActive: true },
    { id: "GitHub.copilot-chat", isActive: true },
    { id: "Continue.continue", isActive: false },
    { id: "warmline.warmline", isActive: true },
    { id: "constructor", isActive: true },
  ];
  assert.deepEqual(activeCompetitors(extensions), ["GitHub Copilot", "Tabnine"]);
  assert.deepEqual(activeCompetitors([]), []);
});

test("the warning is a sentence", () => {
  assert.match(competitorWarning(["Tabby"]), /^Tabby offers inline completions too\./);
  assert.match(competitorWarning(["Cody", "Tabby"]), /^Cody and Tabby offer /);
  assert.match(competitorWarning(["Cody", "Tabby", "twinny"]), /^Cody, Tabby and twinny offer /);
});
