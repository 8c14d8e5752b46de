import assert from "node:assert/strict";
import { test } from "node:test";
import { mismatch } from "../src/version";

test("a patch makes no difference, a minor or major version does", () => {
  assert.equal(mismatch("/w", "0.1.0", "0.1.0"), undefined);
  assert.equal(mismatch("/w", "0.1.7", "0.1.0"), undefined);
  for (const other of ["0.0.9", "0.10.0", "1.1.0", "0.2.0rc1"]) {
    const told = mismatch("/usr/bin/warmline", other, "0.1.3") ?? "";
    assert.ok(told.startsWith(`/usr/bin/warmline is Warmline ${other}, but `), told);
    assert.match(told, /needs 0\.1\. /);
  }
});

test("a server that names no version is let be", () => {
  assert.equal(mismatch("/w", undefined, "0.1.0"), undefined);
});
