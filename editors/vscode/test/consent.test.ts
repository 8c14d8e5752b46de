import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  CPU_INDEX,
  isServed,
  INSTALL,
  DONT_ASK,
  installQuestion,
  SMALLER_DOWNLOAD,
} from "../src/environment/consent";

test("the question names the size of the download", () => {
  const small = installQuestion({ size: "cpu", isMoreThanNeeded: false }, false);
  assert.match(small.text, /downloads about 0\.3 GB/);
  assert.doesNotMatch(small.text, /downloads about 3 GB/);
  assert.deepEqual(small.buttons, [INSTALL, DONT_ASK]);
  const large = installQuestion({ size: "cuda", isMoreThanNeeded: false }, false);
  assert.match(large.text, /downloads about 3 GB and needs 9 GB of disk space/);
  assert.ok(!large.buttons.includes(SMALLER_DOWNLOAD));
});

test("the question says how to get a smaller download", () => {
  const { text, buttons } = installQuestion({ size: "cuda", isMoreThanNeeded: true }, false);
  assert.ok(text.includes(CPU_INDEX));
  assert.match(text, /downloads about 3 GB.*downloads about 0\.3 GB/);
  assert.ok(buttons.includes(SMALLER_DOWNLOAD));
  assert.ok(readFileSync("package.json", "utf8").includes(`"${CPU_INDEX}": {`));
});

test("the question names an update", () => {
  const { text } = installQuestion({ size: "cpu", isMoreThanNeeded: false }, true);
  assert.match(text, /another version of torch/);
});

test("languages are served by the settings, else by the model", () => {
  assert.ok(isServed("python", {}, "small"));
  assert.ok(!isServed("rust", {}, "small"));
  assert.ok(!isServed("rust", {}, "base"));
  assert.ok(isServed("rust", {}, "/models/large"));
  assert.ok(!isServed("python", { python: false }, "/models/large"));
  assert.ok(isServed("rust", { rust: true }, "small"));
});
