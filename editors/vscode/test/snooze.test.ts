import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Snooze } from "../src/snooze";

const MINUTE_MS = 60_000;

test("a snooze ends by itself or by hand, and tells both", () => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 0 });
  try {
    const told: (number | undefined)[] = [];
    const snooze = new Snooze((until) => told.push(until?.getTime()));
    snooze.start();
    mock.timers.tick(4 * MINUTE_MS);
    assert.ok(snooze.isOn);
    snooze.start();
    mock.timers.tick(4 * MINUTE_MS);
    assert.ok(snooze.isOn, "it began anew");
    mock.timers.tick(MINUTE_MS);
    assert.ok(!snooze.isOn);
    snooze.start();
    snooze.end();
    assert.ok(!snooze.isOn);
    mock.timers.tick(10 * MINUTE_MS);
    const ends = [5, 9, undefined, 14, undefined];
    assert.deepEqual(
      told,
      ends.map((end) => end && end * MINUTE_MS),
    );
  } finally {
    mock.timers.reset();
  }
});
