import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Snooze } from "../src/snooze";

const MINUTE_MS = 60_000;

test("a snooze ends by itself or on request, and reports both", () => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 0 });
  try {
    const ends: (number | undefined)[] = [];
    const snooze = new Snooze((until) => ends.push(until?.getTime()));
    snooze.start();
    mock.timers.tick(4 * MINUTE_MS);
    assert.ok(snooze.isOn);
    snooze.start();
    mock.timers.tick(4 * MINUTE_MS);
    assert.ok(snooze.isOn, "it was restarted");
    mock.timers.tick(MINUTE_MS);
    assert.ok(!snooze.isOn);
    snooze.start();
    snooze.end();
    assert.ok(!snooze.isOn);
    mock.timers.tick(10 * MINUTE_MS);
    const expected = [5, 9, undefined, 14, undefined];
    assert.deepEqual(
      ends,
      expected.map((end) => end && end * MINUTE_MS),
    );
  } finally {
    mock.timers.reset();
  }
});
