import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Newest } from "../src/newest";

test("the newest is passed on, once in a while", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const passed: number[] = [];
    const newest = new Newest<number>(60, (value) => passed.push(value));
    newest.note(1);
    mock.timers.tick(30);
    newest.note(2);
    mock.timers.tick(29);
    assert.deepEqual(passed, []);
    mock.timers.tick(1);
    assert.deepEqual(passed, [2]);
    mock.timers.tick(600);
    assert.deepEqual(passed, [2]);
    newest.note(3);
    newest.note(4);
    mock.timers.tick(60);
    assert.deepEqual(passed, [2, 4]);
    newest.note(5);
    newest.dispose();
    mock.timers.tick(600);
    assert.deepEqual(passed, [2, 4]);
  } finally {
    mock.timers.reset();
  }
});
