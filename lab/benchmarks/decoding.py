"""Ways to decode with two models, at lines taken out of held-out packages whose other files are bound.

`python -m benchmarks.decoding --base FOLDER --small small` completes each line in every way, one after the other on
warm caches, and writes decoding.json, decoding.md and decoding.svg. Milliseconds are of whole completions, catch-up
included; they compare within one run.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from warmline_engine.decoding.contrast import RULES as CONTRASTS
from warmline_engine.decoding.contrast import ContrastRule
from warmline_engine.decoding.speculative.drafts import NOTHING_DRAFTED
from warmline_engine.decoding.speculative.model_drafts import DraftModelStats
from warmline_engine.decoding.two_models.switching import Switching, SwitchRule
from warmline_engine.session import completion
from warmline_engine.session.loaded_model import load
from warmline_engine.session.model_pair import PairedSession, paired
from warmline_engine.session.query import Answer, CompletionQuery
from warmline_engine.session.session import CompanionSession, Session
from warmline_lab.data.releases import FOLDER, PINS, pairs, read_pins
from warmline_lab.evaluation import plan
from warmline_lab.metrics.measures import edit_similarity, is_exact
from warmline_lab.retrieval.workspace import WorkspaceTask
from warmline_lab.tables import pictures

RULES = [
    SwitchRule(entropy_threshold, window, min_run)
    for window, min_run in ((1, 1), (5, 10))
    for entropy_threshold in (0.5, 1.0, 2.0, 3.0)
]
SHARES = (0.25, 0.5)


@dataclass(frozen=True)
class Completed:
    """One completion."""

    exact: bool
    similarity: int
    n_tokens: int
    n_by_base: int
    ms: float


@dataclass(frozen=True)
class Row:
    """Means of one way over all places; exact and by_base in percent, the latter of the tokens."""

    way: str
    exact: float
    similarity: float
    by_base: float
    tokens: float
    ms: float
    same_text: float  # as the base model alone, percent


class Tossed(Switching):
    """Switches at random: what the rule must beat at an equal share of tokens."""

    share = 0.5
    rng = np.random.default_rng(0)

    def logits(self, tokens: Sequence[int]) -> Tensor:
        self.is_base = bool(self.rng.random() < self.share)
        self.n_by_base += self.is_base
        return self._sources[self.is_base].logits(tokens)


@contextmanager
def replaced(name: str, value: object) -> Iterator[None]:
    """Something that a completion uses, another one for a while."""
    before = getattr(completion, name)
    setattr(completion, name, value)
    try:
        yield
    finally:
        setattr(completion, name, before)


def ways_of(
    session: PairedSession, draft_stats: DraftModelStats
) -> dict[str, Callable[[CompletionQuery], Answer]]:
    """Each way by its name."""
    small, base = session.small, session.base

    def undrafted(ask: CompletionQuery) -> Answer:
        with replaced("PromptLookup", lambda *_: lambda taken: NOTHING_DRAFTED):
            return base.complete(ask)

    def tossed(share: float, ask: CompletionQuery) -> Answer:
        Tossed.share = share
        with replaced("Switching", Tossed):
            return small.complete(
                ask, companion=CompanionSession(base, draft_stats, SwitchRule(0.0))
            )

    def switched(rule: SwitchRule, ask: CompletionQuery) -> Answer:
        return small.complete(ask, companion=CompanionSession(base, draft_stats, rule))

    def against(speaker: Session, rule: ContrastRule, ask: CompletionQuery) -> Answer:
        return speaker.complete(replace(ask, contrast=rule))

    found: dict[str, Callable[[CompletionQuery], Answer]] = {
        "base alone, no drafts": undrafted,
        "base alone": base.complete,
        "base, small drafts too": lambda ask: base.complete(
            ask, companion=CompanionSession(small, draft_stats)
        ),
        "small alone": small.complete,
    }
    for rule in RULES:
        name = f"entropy over {rule.window} above {rule.entropy_threshold:g} bits, dwell {rule.min_run}"
        found[name] = partial(switched, rule)
    for share in SHARES:
        found[f"at random, {share:.0%}"] = partial(tossed, share)
    for who, speaker in (("small", small), ("base", base)):
        for rule in CONTRASTS.values():
            found[f"{who}, contrast by {rule.form}"] = partial(against, speaker, rule)
    return found


def measure(options: argparse.Namespace) -> tuple[list[Row], int]:
    """The rows and how many places they are of."""
    torch.set_num_threads(options.threads)
    base, small = (load(name, "cpu", "auto", 2048) for name in (options.base, options.small))
    pair = paired(base, small)
    tasks = plan.workspace_tasks(pairs(read_pins(PINS), FOLDER), options.limit, options.seed)
    done: dict[str, list[Completed]] = {}
    texts: dict[str, list[str]] = {}
    begin = time.monotonic()
    for task in tasks:
        assert isinstance(task, WorkspaceTask)
        session = PairedSession(pair, task.text, task.cursor, 4096, binds=True)
        session.bind([text for _, text in task.pieces])
        while session.encode_some(512):
            pass
        ask = CompletionQuery(task.cursor, "", 48, False, 1, None, lambda: False)
        for name, way in ways_of(session, pair.draft_stats).items():
            started = time.perf_counter()
            answer = way(ask)
            elapsed = (time.perf_counter() - started) * 1000
            text, truth = answer.items[0].text.split("\n")[0], task.truth
            found = Completed(
                is_exact(text, truth), edit_similarity(text, truth), answer.n_generated,
                min(answer.n_by_base, answer.n_generated), elapsed,
            )  # fmt: skip
            done.setdefault(name, []).append(found)
            texts.setdefault(name, []).append(text)
        session.release()
        if time.monotonic() - begin > 60 * options.minutes:
            break
    rows = [row_of(name, found, texts[name], texts["base alone"]) for name, found in done.items()]
    return rows, len(texts["base alone"])


def row_of(name: str, found: list[Completed], texts: list[str], of_base: list[str]) -> Row:
    n_tokens = sum(one.n_tokens for one in found)
    by_base = sum(one.n_by_base for one in found) / max(1, n_tokens)
    if name.startswith("base"):
        by_base = 1.0
    mean = {key: float(np.mean([getattr(one, key) for one in found]))
            for key in ("exact", "similarity", "ms", "n_tokens")}  # fmt: skip
    same = float(np.mean([a == b for a, b in zip(texts, of_base, strict=True)]))
    return Row(name, 100 * mean["exact"], mean["similarity"], 100 * by_base, mean["n_tokens"],
               mean["ms"], 100 * same)  # fmt: skip


def table(rows: list[Row], n_places: int, options: argparse.Namespace) -> str:
    lines = [
        f"# Decoding with {options.base} and {options.small}: {n_places} lines, other files bound",
        "",
        f"`python -m benchmarks.decoding --base {options.base} --small {options.small} --limit {options.limit}`, "
        f"{platform.processor() or platform.machine()}, {options.threads} thread(s), weights as they are served.",
        "",
        "| way | exact % | similarity | tokens by base % | ms | ms a token | as base alone % |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.way} | {r.exact:.1f} | {r.similarity:.1f} | {r.by_base:.0f} | {r.ms:.1f} | "
        f"{r.ms / max(1.0, r.tokens):.1f} | {r.same_text:.1f} |"
        for r in rows
    ]
    return "\n".join(lines) + "\n"


def picture(rows: list[Row]) -> str:
    """Similarity over milliseconds; those ways are filled that no faster one equals."""
    points = [
        pictures.Point(
            row.way,
            row.ms,
            row.similarity,
            row.similarity,
            row.similarity,
            not any(o.ms < row.ms and o.similarity >= row.similarity for o in rows),
        )
        for row in rows
    ]
    return pictures.plot(points, "milliseconds a completion, log scale", "edit similarity", ".1f")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="base")
    parser.add_argument("--small", default="small")
    parser.add_argument("--limit", type=int, default=300, help="places")
    parser.add_argument("--minutes", type=float, default=60.0, help="ends with the place at hand")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(".work/eval/decoding"))
    options = parser.parse_args()
    rows, n_places = measure(options)
    options.out.mkdir(parents=True, exist_ok=True)
    text = table(rows, n_places, options)
    (options.out / "decoding.md").write_text(text)
    (options.out / "decoding.svg").write_text(picture(rows))
    found = {"n_places": n_places, "rows": [asdict(row) for row in rows]}
    (options.out / "decoding.json").write_text(json.dumps(found, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
