/** What `warmline/statistics` answers. */
export interface Counts {
  requests: number;
  engineRequests: number;
  offered: number;
  shown: number;
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

/** The counts as a page of Markdown. */
export function statisticsPage(counts: Counts): string {
  const languages = Object.entries(counts.languages).sort(([, a], [, b]) => b.answers - a.answers);
  return [
    "# Statistics of Warmline",
    "Since the server of this window started. They stay on this machine.",
    "## What became of completions",
    list([
      ["Shown", count(counts.shown)],
      ["Accepted whole", count(counts.accepted)],
      ["Accepted in part", count(counts.partlyAccepted)],
      ["Accepted, of those shown", share(counts.acceptedShare)],
      ["Accepted characters, of all that were written", share(counts.completedShare)],
      ["Still there after 30 seconds, of accepted characters", share(counts.keptShare)],
    ]),
    "## Where answers came from",
    list([
      ["Asked for by the editor", count(counts.requests)],
      ["Asked of the engine", count(counts.engineRequests)],
      ["Answered with a completion", count(counts.offered)],
      ["Answered from an earlier completion, without the engine", count(counts.answeredFromOffer)],
      ["Fetched ahead", count(counts.prefetched)],
    ]),
    "## How long an answer took",
    counts.p50Ms === null
      ? "There was no answer yet."
      : `Half took less than ${time(counts.p50Ms)}, 95 % less than ${time(counts.p95Ms)}.`,
    ...(languages.length > 0 ? [table(languages)] : []),
    "",
  ].join("\n\n");
}

function table(languages: [string, Latencies][]): string {
  return [
    "| Language | Answers | 50 % within | 95 % within | 99 % within |",
    "| --- | ---: | ---: | ---: | ---: |",
    ...languages.map(([name, { answers, p50Ms, p95Ms, p99Ms }]) => {
      const cells = [name, count(answers), time(p50Ms), time(p95Ms), time(p99Ms)];
      return `| ${cells.join(" | ")} |`;
    }),
  ].join("\n");
}

function list(lines: [string, string][]): string {
  return lines.map(([what, value]) => `- ${what}: ${value}`).join("\n");
}

function count(value: number): string {
  return String(value);
}

function share(value: number | null): string {
  return value === null ? "not known yet" : `${(100 * value).toFixed(0)} %`;
}

function time(ms: number | null): string {
  return ms === null ? "not known yet" : `${ms.toFixed(0)} ms`;
}
