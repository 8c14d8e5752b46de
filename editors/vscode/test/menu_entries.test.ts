import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { menuEntries, type MenuState } from "../src/menu_entries";

const STATE: MenuState = {
  isOn: true,
  isManual: false,
  isSnoozed: false,
  language: "python",
  isLanguageOff: false,
  isRemote: false,
};

function labels(state: Partial<MenuState>): string[] {
  return menuEntries({ ...STATE, ...state }).map(({ label }) =>
    label.replace(/^\$\([\w-]+\) /, ""),
  );
}

test("each toggle offers the other state", () => {
  const on = labels({});
  for (const label of ["Turn off", "Turn off for python", "Complete only when I ask"]) {
    assert.ok(on.includes(label), label);
  }
  const off = labels({ isOn: false, isLanguageOff: true, isManual: true, isSnoozed: true });
  for (const label of ["Turn on", "Turn on for python", "Complete while I type", "End snooze"])
    assert.ok(off.includes(label), label);
});

test("entries that do not apply are left out", () => {
  const token = "Set the token of the remote engine";
  assert.ok(!labels({}).includes(token));
  assert.ok(labels({ isRemote: true }).includes(token));
  assert.ok(!labels({ language: undefined }).some((label) => /^Turn .* for/.test(label)));
  assert.ok(labels({}).includes("Open the walkthrough"));
});

test("each entry runs a command of the extension", () => {
  const read = JSON.parse(readFileSync("package.json", "utf8")) as {
    contributes: { commands: { command: string }[] };
  };
  const known = read.contributes.commands.map(({ command }) => command);
  for (const { command } of menuEntries({ ...STATE, isRemote: true })) {
    assert.ok(known.includes(command), command);
  }
});
