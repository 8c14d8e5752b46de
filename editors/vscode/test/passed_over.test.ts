import assert from "node:assert/strict";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { isPassedOver, passOver } from "../src/passed_over";

test("a program is passed over until it is another one", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "warmline-passed-"));
  try {
    const command = path.join(folder, "warmline");
    writeFileSync(command, "");
    const passed = passOver({}, { command });
    assert.ok(isPassedOver(passed, command));
    assert.ok(!isPassedOver(passed, path.join(folder, "other")));
    utimesSync(command, 1, 1);
    assert.ok(!isPassedOver(passed, command));
    rmSync(command);
    assert.ok(!isPassedOver(passed, command));
    assert.equal(passOver(passed, { command }), passed);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
