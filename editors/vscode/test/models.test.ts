import assert from "node:assert/strict";
import { test } from "node:test";
import { availability, detail, parseModels, percentOf, type Model } from "../src/models";

const SMALL: Model = {
  model: "small",
  licence: "MIT",
  restriction: "",
  n_bytes: 2_964_912,
  memory_bytes: 40_000_000,
  folder: "/models/small",
};

test("models are parsed from the command's output, with or without warnings before them", () => {
  assert.deepEqual(parseModels(`${JSON.stringify([SMALL])}\n`), [SMALL]);
  assert.deepEqual(parseModels(`a warning\n${JSON.stringify([SMALL])}`), [SMALL]);
});

test("output that is not a list of models is undefined", () => {
  for (const output of ["", "usage: warmline", "{}", "[1]", '[{"model": 1}]']) {
    assert.equal(parseModels(output), undefined, output);
  }
});

test("an included model needs no download", () => {
  assert.equal(availability(SMALL), "included");
  const large = { ...SMALL, model: "Qwen/Qwen2.5-Coder-0.5B" };
  assert.equal(availability(large), "downloaded");
  assert.equal(availability({ ...large, folder: null }), "not downloaded");
});

test("the detail has size, memory, licence and restriction", () => {
  assert.equal(detail(SMALL), "3.0 MB, about 40.0 MB of memory, MIT");
  assert.equal(detail({ ...SMALL, licence: "MIT; see card.md" }), detail(SMALL));
  const large = { ...SMALL, n_bytes: 6.17e9, memory_bytes: null, restriction: "not for sale" };
  assert.equal(detail(large), "6.2 GB, MIT (not for sale)");
});

test("the percentage is read from a progress bar", () => {
  assert.equal(percentOf("model.safetensors:  42%|####      | 415M/988M [00:10<00:14]"), 42);
  assert.equal(percentOf("42% of people"), undefined);
});
