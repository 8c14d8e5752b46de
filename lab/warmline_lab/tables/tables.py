"""The report: tables in Markdown, what they decide, and whether the engine's own checks hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from warmline_lab.replay.layouts import OTHER, served_layout
from warmline_lab.replay.records import Record

from .confidence_intervals import Interval, mcnemar, ratio_interval

# a refresh must give a cold read's expectations, and first-layer keys are exact but for rounding
TOLERANCES = {"float32": (1e-4, 1e-3), "bfloat16": (0.02, 0.2)}
GAP = 0.1  # nats a token that ignoring an edit must lose for repair to be judged on it
N_JUDGED = 200
SERVED = "PIE, as served"
GOAL_NATS, GOAL_EXACT, GOAL_CLOSED, GOAL_COST = 0.01, 0.5, 0.9, 0.05

Pairs = list[tuple[Record, Record]]


def paired(records: list[Record]) -> dict[tuple[str, str, str], Pairs]:
    """(method, cold read of the same layout) by suite, layout and method."""
    cold = {(r.key, r.layout): r for r in records if _is_reference(r)}
    found: dict[tuple[str, str, str], Pairs] = defaultdict(list)
    for record in records:
        reference = cold.get((record.key, record.layout))
        if reference is not None:
            found[record.suite, record.layout, record.method].append((record, reference))
    return found


def _is_reference(record: Record) -> bool:
    return record.method in ("cold read", "cold read, with snippets", "cold read, with finds")


def lost(pairs: Pairs) -> Interval:
    """Nats a token that a method loses against the cold read."""
    return ratio_interval(
        np.array([a.nats - b.nats for a, b in pairs]),
        np.array([a.n_truth for a, _ in pairs], np.float64),
        [a.group for a, _ in pairs],
    )


def faults(records: list[Record], dtype: str) -> list[str]:
    """What the engine's own promises say is wrong, in sentences; empty where all is well."""
    kl_bound, key_bound = TOLERANCES[dtype]
    refreshed = [r for r in records if r.method == "refreshed"]
    found: list[str] = []
    if not refreshed:
        return ["no request was refreshed: nothing was checked"]
    worst = max(refreshed, key=lambda r: r.kl)
    if kl_bound < worst.kl:
        found.append(
            f"FAULT: after a refresh the model should expect what a cold read expects; its divergence is "
            f"{worst.kl:.3g} nats at {worst.key} (bound {kl_bound}): a stale token was taken for fresh"
        )
    worst = max(refreshed, key=lambda r: r.key_error or 0.0)
    if key_bound < (worst.key_error or 0.0):
        found.append(
            f"FAULT: first-layer keys know token and place only; they are {worst.key_error:.3g} from a cold "
            f"read's at {worst.key} (bound {key_bound}): a wrong rotation"
        )
    return found


def report(records: list[Record], run: dict[str, Any]) -> str:
    """All tables."""
    groups, served = paired(records), served_layout(records)
    parts = [
        f"# Evaluation: {run['suite']}, model {run['model']}",
        f"Made by `{run['command']}` with weights {run['weights'][:16]}, seed {run['seed']}, {run['dtype']}. "
        "Loss is nats a token of the true line more than the cold read's; in brackets the 95 % interval, "
        "files drawn again. Exact is on the requests that were generated for, p is McNemar's.",
    ]
    if run["suite"] == "edits":
        verdict = faults(records, run["dtype"])
        parts.append("## Checks\n\n" + "\n".join(f"- {line}" for line in verdict or ["all hold"]))
    for suite in sorted({suite for suite, _, _ in groups}):
        parts.append(f"## {suite.capitalize()}\n\n" + _methods(groups, suite))
        by: list[tuple[str, Callable[[Record], str]]] = [("kind", lambda r: r.kind)]
        if suite in ("traces", "controlled"):
            by += [("place of the edit", lambda r: r.place or "none far")]
            by += [("tokens of context", lambda r: _bucket(r.n_context))]
        parts += [f"### By {title}\n\n" + _split(groups, suite, served, of) for title, of in by]
    if run["suite"] == "edits":
        parts.append("## What repair closes\n\n" + _closing(records))
        parts.append("## Goals\n\n" + _goals(records, groups))
    return "\n\n".join(parts) + "\n"


def _bucket(n_context: int) -> str:
    return next((f"up to {b}" for b in (1000, 2000, 4000) if n_context <= b), "over 4000")


def _methods(groups: dict[tuple[str, str, str], Pairs], suite: str) -> str:
    rows = ["| layout | method | requests | nats | loss | KL | top-1 | exact | p | similarity | encoded | ms |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for (_, layout, method), pairs in sorted(groups.items()):
        if _ != suite:
            continue
        mine = [a for a, _ in pairs]
        level = sum(a.nats for a in mine) / sum(a.n_truth for a in mine)
        change = lost(pairs)
        interval = f"{change.mean:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"
        times = [a.ready_ms for a in mine if a.ready_ms >= 0]
        exact, p, similarity = _exactness(pairs)
        ms = f"{np.median(times):.1f}" if times else ""
        kl, top1 = np.mean([a.kl for a in mine]), np.mean([a.top1 for a in mine])
        encoded = np.mean([a.n_encoded for a in mine])
        rows.append(
            f"| {layout} | {method} | {len(mine)} | {level:.3f} | {interval} | {kl:.4f} | {top1:.1%} | "
            f"{exact} | {p} | {similarity} | {encoded:.0f} | {ms} |"
        )
    return "\n".join(rows)


def _exactness(pairs: Pairs) -> tuple[str, str, str]:
    judged = [(a, b) for a, b in pairs if a.exact is not None and b.exact is not None]
    if not judged:
        return "", "", ""
    gained = sum(bool(a.exact) and not b.exact for a, b in judged)
    missed = sum(bool(b.exact) and not a.exact for a, b in judged)
    share = np.mean([bool(a.exact) for a, _ in judged])
    similarity = np.mean([a.similarity or 0 for a, _ in judged])
    return f"{share:.1%}", f"{mcnemar(gained, missed):.2f}", f"{similarity:.1f}"


def _split(
    groups: dict[tuple[str, str, str], Pairs], suite: str, served: str, of: Callable[[Record], str]
) -> str:
    shown = ("PIE", "PIE, settled", "PIE, as served", "reuse", "conflict", "accepted, moved", "accepted, encoded again",
             "accepted, moved and repaired", "without the suffix", "cold read, in file", "late-bound",
             "cold read, alone", "bound", "bound, definitions alone", "bound, 64 before the cursor",
             "repair 64 behind edits", "repair 64 mentions")  # fmt: skip
    found: dict[str, dict[str, Pairs]] = defaultdict(lambda: defaultdict(list))
    names: list[str] = []
    for (its, layout, method), pairs in sorted(groups.items()):
        if its == suite and layout == served and method in shown:
            names.append(method)
            for pair in pairs:
                found[of(pair[0])][method].append(pair)
    rows = [f"| | requests | {' | '.join(names)} |", "|---|---" + "|---" * len(names) + "|"]
    for title, methods in sorted(found.items()):
        cells = []
        for name in names:
            change = lost(methods[name])
            cells.append(
                f"{change.mean:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"
                if methods[name]
                else ""
            )
        n_requests = max(len(pairs) for pairs in methods.values())
        rows.append(f"| {title} | {n_requests} | {' | '.join(cells)} |")
    return "\n".join(rows)


class Closing:
    """How much of what ignoring an edit loses the methods keep, where that is more than GAP nats a token."""

    def __init__(self, records: list[Record]) -> None:
        by_key: dict[str, dict[str, Record]] = defaultdict(dict)
        served = served_layout(records)
        for record in records:
            if record.layout == served and record.suite in ("traces", "controlled"):
                by_key[record.key][record.method] = record
        self.judged = [
            m
            for m in by_key.values()
            if {"reuse", "PIE", "cold read"} <= m.keys()
            and GAP * m["reuse"].n_truth < m["reuse"].nats - m["cold read"].nats
        ]

    def methods(self) -> list[str]:
        names = {
            n
            for m in self.judged
            for n in m
            if n in ("PIE", SERVED) or n.startswith(("repair", "layer"))
        }
        return sorted(names)

    def of(self, method: str) -> tuple[int, Interval, float]:
        """Requests, share closed, and tokens encoded beyond the edit's as a share of a cold read's."""
        has = [m for m in self.judged if method in m]
        closed = ratio_interval(
            np.array([m["reuse"].nats - m[method].nats for m in has]),
            np.array([m["reuse"].nats - m["cold read"].nats for m in has]),
            [m["PIE"].group for m in has],
        )
        more = sum(m[method].n_encoded - m["PIE"].n_encoded for m in has)
        return len(has), closed, more / max(1, sum(m["cold read"].n_encoded for m in has))


def _closing(records: list[Record]) -> str:
    closing = Closing(records)
    n = len(closing.judged)
    verdict = "" if n >= N_JUDGED else f" Under {N_JUDGED}: *not judged*."
    rows = [
        f"{n} requests lose more than {GAP} nats a token if far edits are ignored.{verdict} Choosing them by "
        "their loss makes every method look a little better than it is.",
        "",
        "| method | requests | share of the gap closed | encoded beyond the edit, of a cold read |",
        "|---|---|---|---|",
    ]
    for method in closing.methods():
        count, closed, cost = closing.of(method)
        rows.append(
            f"| {method} | {count} | {closed.mean:.1%} [{closed.low:.1%}, {closed.high:.1%}] | {cost:.1%} |"
        )
    return "\n".join(rows)


def _goals(records: list[Record], groups: dict[tuple[str, str, str], Pairs]) -> str:
    rows: list[str] = []
    served = served_layout(records)
    for method in ("PIE", "PIE, settled", "PIE, as served"):
        pairs = groups.get(("traces", served, method), [])
        if not pairs:
            continue
        change = lost(pairs)
        verdict = "met" if change.high <= GOAL_NATS else "not met"
        rows.append(
            f"- {method} on traces loses at most {GOAL_NATS} nats a token: {verdict} (upper bound {change.high:+.4f})"
        )
        judged = [(a, b) for a, b in pairs if a.exact is not None and b.exact is not None]
        if judged:
            points = 100 * np.mean([bool(b.exact) - bool(a.exact) for a, b in judged])
            verdict = "met" if points <= GOAL_EXACT else "not met"
            rows.append(
                f"- {method} on traces loses at most {GOAL_EXACT} points of exact match: {verdict} ({points:.2f})"
            )
    choice = decide(records)["repair"]
    verdict = "nothing tried does it"
    if choice is not None:
        is_served = choice["method"] == "PIE"
        verdict = "already as served, without any" if is_served else f"{choice['method']} does it"
    n = len(Closing(records).judged)
    note = "" if n >= N_JUDGED else f" (not judged: {n} requests)"
    rows.append(
        f"- repair closes {GOAL_CLOSED:.0%} of the gap under {GOAL_COST:.0%} of a cold read: {verdict}{note}"
    )
    return "\n".join(rows)


def _more(
    groups: dict[tuple[str, str, str], Pairs], one: tuple[str, str], other: tuple[str, str]
) -> tuple[Interval, int]:
    """Nats a token that traces cost more in another (layout, method), and on how many requests that was measured."""
    mine, theirs = ({r.key: r for r, _ in groups.get(("traces", *its), [])} for its in (one, other))
    shared = sorted(mine.keys() & theirs.keys())
    change = ratio_interval(
        np.array([theirs[k].nats - mine[k].nats for k in shared]),
        np.array([mine[k].n_truth for k in shared], np.float64),
        [mine[k].group for k in shared],
    )
    return change, len(shared)


def decide(records: list[Record]) -> dict[str, Any]:
    """The defaults that the measurements pick: the layout, and the repair that is worth its cost.

    The layout served, unless the other one has the lower loss on settled traces; the cheapest repair that
    reaches the goal, which may be none at all (`PIE`) or what the engine does anyway (`PIE, as served`), and null where
    nothing tried does; and whether encoding again with an answer what tells of text that is gone is worth it.
    """
    groups, layout = paired(records), served_layout(records)
    change, n_both = _more(groups, (layout, "PIE, settled"), (OTHER[layout], "PIE, settled"))
    gain, n_served = _more(groups, (layout, "PIE, as served"), (layout, "PIE, settled"))
    closing, best = Closing(records), None
    as_served = SERVED if SERVED in closing.methods() else "PIE"
    for method in closing.methods():
        if "oracle" in method:
            continue
        count, closed, cost = closing.of(method)
        if (
            closed.mean >= GOAL_CLOSED
            and cost <= GOAL_COST
            and (best is None or cost < best["cost"])
        ):
            best = {"method": method, "requests": count, "closed": closed.mean, "cost": cost}
    return {
        "layout": OTHER[layout] if n_both and change.high < 0 else layout,
        "other_layout_loses": [change.low, change.mean, change.high] if n_both else None,
        "requests_in_both_layouts": n_both,
        "repairs_with_an_answer": bool(n_served) and gain.low > 0,
        "repairs_gain": [gain.low, gain.mean, gain.high] if n_served else None,
        "repair": best,
        "closed_as_served": closing.of(as_served)[1].mean if closing.judged else None,
        "requests_with_a_gap": len(closing.judged),
    }
