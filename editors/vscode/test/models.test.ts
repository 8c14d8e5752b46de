import assert from "node:assert/strict";
import { test } from "node:test";
import { detail, parseModels, percentOf, type Model } from "../src/models";

const SMALL: Model = {
  model: "small",
  licence: "MIT",
  restriction: "",
  n_bytes: 2_964_912,
  memory_bytes: 40_000_000,
  folder: "/models/small",
};

test("models are read from what the command prints, warnings above it or not", () => {
  assert.deepEqual(parseModels(`${JSON.stringify([SMALL])}\n`), [SMALL]);
  assert.deepEqual(parseModels(`a warning\n${JSON.stringify([SMALL])}`), [SMALL]);
});

test("what is no list of models is none", () => {
  for (const output of ["", "usage: warmline", "{}", "[1]", '[{"model": 1}]']) {
    assert.equal(parseModels(output), undefined, output);
  }
});

test("a model is told of with size, memory, licence and what it forbids", () => {
  assert.equal(detail(SMALL), "3.0 MB, about 40.0 MB of memory, MIT");
  const large = { ...SMALL, n_bytes: 6.17e9, memory_bytes: null, restriction: "not for sale" };
  assert.equal(detail(large), "6.2 GB, MIT (not for sale)");
});

test("a progress bar tells how much is here", () => {
  assert.equal(percentOf("model.safetensors:  42%|####      | 415M/988M [00:10<00:14]"), 42);
  assert.equal(percentOf("42% of people"), undefined);
});
