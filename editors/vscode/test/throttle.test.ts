import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Throttle } from "../src/throttle";

test("the latest value is passed on once per interval", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const passed: number[] = [];
    const throttle = new Throttle<number>(60, (value) => passed.push(value));
    throttle.push(1);
    mock.timers.tick(30);
    throttle.push(2);
    mock.timers.tick(29);
    assert.deepEqual(passed, []);
    mock.timers.tick(1);
    assert.deepEqual(passed, [2]);
    mock.timers.tick(600);
    assert.deepEqual(passed, [2]);
    throttle.push(3);
    throttle.push(4);
    mock.timers.tick(60);
    assert.deepEqual(passed, [2, 4]);
    throttle.push(5);
    throttle.dispose();
    mock.timers.tick(600);
    assert.deepEqual(passed, [2, 4]);
  } finally {
    mock.timers.reset();
  }
});
