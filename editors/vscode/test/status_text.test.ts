import assert from "node:assert/strict";
import { test } from "node:test";
import { itemText, tooltip, type LocalState, type Status } from "../src/status_text";

const NOTHING_LOCAL: LocalState = { competitors: [], snoozedUntil: undefined };

function item(expected: string, status: Status, local = NOTHING_LOCAL): void {
  test(`the item shows: ${expected}`, () => {
    assert.equal(itemText(status, local), expected);
  });
}

item("$(sparkle) Warmline", { state: "ready", working: false });
item("$(loading~spin) Warmline", { state: "ready", working: true });
item("$(loading~spin) Warmline loading 40 %", { state: "loading", percent: 40 });
item("$(loading~spin) Warmline loading", { state: "loading", percent: null });
item("$(loading~spin) Warmline reading settings", { state: "settings" });
item("$(circle-slash) Warmline file too large", { state: "too large" });
item("$(circle-slash) Warmline file excluded", { state: "excluded" });
item("$(circle-slash) Warmline not text", { state: "binary" });
item("$(circle-slash) Warmline language not supported", { state: "language" });
item("$(circle-slash) Warmline off", { state: "off" });
item("$(warning) Warmline error", { state: "error" });
item("$(circle-slash) Warmline new state", { state: "new state" });
const snoozed = { ...NOTHING_LOCAL, snoozedUntil: "12:05" };
item("$(bell-slash) Warmline snoozed", { state: "ready", working: true }, snoozed);
item("$(warning) Warmline error", { state: "error" }, snoozed);

test("the tooltip shows the server's message, else a sentence for the state", () => {
  const off = { state: "off", message: "Completions are off for this language" };
  assert.equal(tooltip(off, NOTHING_LOCAL), "Completions are off for this language");
  assert.equal(tooltip({ state: "ready", message: "" }, NOTHING_LOCAL), "Warmline is ready");
  assert.equal(tooltip({ state: "new state" }, NOTHING_LOCAL), "Warmline: new state");
});

test("loading is shown with its percentage", () => {
  const loading = { state: "loading", percent: 40 };
  assert.equal(tooltip(loading, NOTHING_LOCAL), "Loading the model (40 %)");
  const fetching = { ...loading, message: "fetching" };
  assert.equal(tooltip(fetching, NOTHING_LOCAL), "Downloading the model (40 %)");
});

test("numbers, a snooze and other extensions each have a line", () => {
  const status = {
    state: "ready",
    model: "small",
    nTokens: 120,
    nFresh: 7,
    p50Ms: 12.4,
    p95Ms: 80.6,
    acceptedShare: 0.256,
  };
  assert.deepEqual(tooltip(status, { competitors: ["Tabby"], snoozedUntil: "12:05" }).split("\n"), [
    "Warmline is ready",
    "Snoozed until 12:05; end it from the menu",
    "Model: small",
    "Context: 120 tokens, 7 of them fresh",
    "Latency: median 12 ms, 95th percentile 81 ms",
    "Accepted: 26 %",
    "Tabby offers inline completions too. The editor shows only one at a time, so they can hide each other.",
  ]);
});
