import assert from "node:assert/strict";
import { test } from "node:test";
import { mismatch } from "../src/version";

test("a warning depends on the major and the minor version only", () => {
  assert.equal(mismatch("/w", "0.1.0", "0.1.0"), undefined);
  assert.equal(mismatch("/w", "0.1.7", "0.1.0"), undefined);
  for (const other of ["0.0.9", "0.10.0", "1.1.0", "0.2.0rc1"]) {
    const warning = mismatch("/usr/bin/warmline", other, "0.1.3") ?? "";
    assert.ok(warning.startsWith(`/usr/bin/warmline is Warmline ${other}, but `), warning);
    assert.match(warning, /needs 0\.1\. /);
  }
});

test("a server without a version gives no warning", () => {
  assert.equal(mismatch("/w", undefined, "0.1.0"), undefined);
});
