import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CPU_INDEX, isServed, MAKE, NEVER, question, SMALLER } from "../src/environment/consent";

test("how much is fetched is said by what will be installed", () => {
  const small = question({ size: "cpu", isMoreThanNeeded: false }, false);
  assert.match(small.text, /downloads about 0\.3 GB/);
  assert.doesNotMatch(small.text, /downloads about 3 GB/);
  assert.deepEqual(small.buttons, [MAKE, NEVER]);
  const large = question({ size: "cuda", isMoreThanNeeded: false }, false);
  assert.match(large.text, /downloads about 3 GB and needs 9 GB of disk space/);
  assert.ok(!large.buttons.includes(SMALLER));
});

test("who needs less is told how to get it", () => {
  const { text, buttons } = question({ size: "cuda", isMoreThanNeeded: true }, false);
  assert.ok(text.includes(CPU_INDEX));
  assert.match(text, /downloads about 3 GB.*downloads about 0\.3 GB/);
  assert.ok(buttons.includes(SMALLER));
  assert.ok(readFileSync("package.json", "utf8").includes(`"${CPU_INDEX}": {`));
});

test("an update says that it is one", () => {
  const { text } = question({ size: "cpu", isMoreThanNeeded: false }, true);
  assert.match(text, /another version of torch/);
});

test("a file is served by the settings, else by what the model knows", () => {
  assert.ok(isServed("python", {}, "small"));
  assert.ok(!isServed("rust", {}, "small"));
  assert.ok(!isServed("rust", {}, "base"));
  assert.ok(isServed("rust", {}, "/models/large"));
  assert.ok(!isServed("python", { python: false }, "/models/large"));
  assert.ok(isServed("rust", { rust: true }, "small"));
});
