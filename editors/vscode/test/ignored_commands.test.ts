import assert from "node:assert/strict";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { isIgnored, ignoreCommand } from "../src/ignored_commands";

test("a command is ignored until its file changes", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "warmline-ignored-"));
  try {
    const command = path.join(folder, "warmline");
    writeFileSync(command, "");
    const ignored = ignoreCommand({}, { command });
    assert.ok(isIgnored(ignored, command));
    assert.ok(!isIgnored(ignored, path.join(folder, "other")));
    utimesSync(command, 1, 1);
    assert.ok(!isIgnored(ignored, command));
    rmSync(command);
    assert.ok(!isIgnored(ignored, command));
    assert.equal(ignoreCommand(ignored, { command }), ignored);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
