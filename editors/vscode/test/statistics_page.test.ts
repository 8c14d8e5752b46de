import assert from "node:assert/strict";
import { test } from "node:test";
import { statisticsPage, type Counts } from "../src/statistics_page";

const NONE: Counts = {
  requests: 0,
  engineRequests: 0,
  offered: 0,
  accepted: 0,
  partlyAccepted: 0,
  answeredFromOffer: 0,
  prefetched: 0,
  acceptedShare: null,
  completedShare: null,
  keptShare: null,
  p50Ms: null,
  p95Ms: null,
  languages: {},
};

test("the page has counts in words, shares in percent and times in milliseconds", () => {
  const page = statisticsPage({
    ...NONE,
    offered: 40,
    accepted: 10,
    acceptedShare: 0.25,
    keptShare: 0.875,
    p50Ms: 12.4,
    p95Ms: 80.6,
    languages: {
      rust: { answers: 2, p50Ms: 9, p95Ms: 20, p99Ms: 20 },
      python: { answers: 30, p50Ms: 12.4, p95Ms: 80.6, p99Ms: 99 },
    },
  });
  assert.match(page, /^- Offered: 40$/m);
  assert.match(page, /^- Acceptance rate: 25 %$/m);
  assert.match(page, /^- Share of accepted characters kept for 30 seconds: 88 %$/m);
  assert.match(page, /^- Share of new characters that came from completions: not yet known$/m);
  assert.match(page, /^Median: 12 ms\. 95th percentile: 81 ms\.$/m);
  assert.match(page, /^\| python \| 30 \| 12 ms \| 81 ms \| 99 ms \|$/m);
  assert.ok(page.indexOf("| python") < page.indexOf("| rust"), "the most used comes first");
  assert.doesNotMatch(page, /[a-z]Share|Ms|null/);
});

test("a server without answers has a page too", () => {
  const page = statisticsPage(NONE);
  assert.match(page, /No answers yet\./);
  assert.doesNotMatch(page, /null|NaN|\| Language/);
});
