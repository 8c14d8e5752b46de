/** Answer of `warmline/statistics`. */
export interface Counts {
  requests: number;
  engineRequests: number;
  offered: number;
  accepted: number;
  partlyAccepted: number;
  answeredFromOffer: number;
  prefetched: number;
  acceptedShare: number | null;
  completedShare: number | null;
  keptShare: number | null;
  p50Ms: number | null;
  p95Ms: number | null;
  languages: Record<string, Latencies>;
}

interface Latencies {
  answers: number;
  p50Ms: number | null;
  p95Ms: number | null;
  p99Ms: number | null;
}

/** The counts as a Markdown page. */
export function statisticsPage(counts: Counts): string {
  const languages = Object.entries(counts.languages).sort(([, a], [, b]) => b.answers - a.answers);
  return [
    "# Warmline statistics",
    "Since this window's server started. These numbers never leave this machine.",
    "## Completions",
    list([
      // not `shown`, which is 0: VS Code does not report what it shows
      ["Offered", count(counts.offered)],
      ["Accepted in full", count(counts.accepted)],
      ["Accepted in part", count(counts.partlyAccepted)],
      ["Acceptance rate", share(counts.acceptedShare)],
      ["Share of new characters that came from completions", share(counts.completedShare)],
      ["Share of accepted characters kept for 30 seconds", share(counts.keptShare)],
    ]),
    "## Requests",
    list([
      ["From the editor", count(counts.requests)],
      ["Sent to the engine", count(counts.engineRequests)],
      ["Answered from an earlier completion", count(counts.answeredFromOffer)],
      ["Prefetched", count(counts.prefetched)],
    ]),
    "## Response times",
    counts.p50Ms === null
      ? "No answers yet."
      : `Median: ${time(counts.p50Ms)}. 95th percentile: ${time(counts.p95Ms)}.`,
    ...(languages.length > 0 ? [table(languages)] : []),
    "",
  ].join("\n\n");
}

function table(languages: [string, Latencies][]): string {
  return [
    "| Language | Answers | Median | 95th percentile | 99th percentile |",
    "| --- | ---: | ---: | ---: | ---: |",
    ...languages.map(([name, { answers, p50Ms, p95Ms, p99Ms }]) => {
      const cells = [name, count(answers), time(p50Ms), time(p95Ms), time(p99Ms)];
      return `| ${cells.join(" | ")} |`;
    }),
  ].join("\n");
}

function list(lines: [string, string][]): string {
  return lines.map(([label, value]) => `- ${label}: ${value}`).join("\n");
}

function count(value: number): string {
  return String(value);
}

function share(value: number | null): string {
  return value === null ? "not yet known" : `${(100 * value).toFixed(0)} %`;
}

function time(ms: number | null): string {
  return ms === null ? "not yet known" : `${ms.toFixed(0)} ms`;
}
