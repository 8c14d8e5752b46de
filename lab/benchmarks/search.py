"""What searching for the likeliest line gains and costs beside the greedy one: `make bench NAME=search`.

At random places of the evaluation's packages, which no shipped model was trained on: whole lines, and the rest of
lines from a random character on. The same session answers both ways, by turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import edits
from warmline_engine.decoding.answers.search import N_SEARCHED
from warmline_engine.session import loaded_model
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.query import CompletionQuery
from warmline_engine.session.session import Session
from warmline_lab.data.releases import FOLDER, PINS, pairs, read_pins
from warmline_lab.tables.confidence_intervals import mcnemar

BEFORE, BEHIND = 3000, 1500  # characters around a place


@dataclass
class Tally:
    """Of one kind of place; `better` and `worse` are places where one way alone is exact."""

    n_places: int = 0
    exact_greedy: int = 0
    exact_searched: int = 0
    better: int = 0
    worse: int = 0
    greedy_ms: list[float] = field(default_factory=list[float])
    searched_ms: list[float] = field(default_factory=list[float])

    def as_json(self) -> dict[str, float]:
        numbers = asdict(self)
        for name in ("greedy_ms", "searched_ms"):
            numbers[name] = statistics.median(numbers[name])
        return numbers | {"p": mcnemar(self.better, self.worse)}


def places(text: str, rng: np.random.Generator) -> dict[str, tuple[int, int]]:
    """By kind the span that is to be completed; none where the draw is no line of code."""
    at = int(rng.integers(len(text) // 4, len(text) - 200))
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", start)
    line = text[start:end]
    if len(line.strip()) < 6 or line.strip().startswith("#"):
        return {}
    first = start + len(line) - len(line.lstrip())
    return {"line": (first, end), "rest of a line": (int(rng.integers(first + 1, end)), end)}


def judge(model: LoadedModel, text: str, span: tuple[int, int], tally: Tally, turn: int) -> None:
    start, end = span
    low = text.rfind("\n", 0, max(0, start - BEFORE)) + 1
    high = text.find("\n", min(len(text) - 1, end + BEHIND))
    behind = text[end : high if high >= 0 else len(text)]
    session = Session(model, text[low:start] + behind, start - low, 8192)
    right: dict[int, bool] = {}
    for n_searched in (0, N_SEARCHED) if turn % 2 else (N_SEARCHED, 0):
        ask = CompletionQuery(
            start - low, "", 48, False, 1, None, lambda: False, n_searched=n_searched
        )
        begin = time.perf_counter()
        answer = session.complete(ask)
        elapsed = (time.perf_counter() - begin) * 1000 - answer.first_token_ms
        (tally.searched_ms if n_searched else tally.greedy_ms).append(elapsed)
        right[n_searched] = answer.items[0].text.rstrip() == text[start:end].rstrip()
    session.release()
    tally.n_places += 1
    tally.exact_greedy += right[0]
    tally.exact_searched += right[N_SEARCHED]
    tally.better += right[N_SEARCHED] and not right[0]
    tally.worse += right[0] and not right[N_SEARCHED]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="small")
    parser.add_argument("--places", type=int, default=1000, help="of both kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=FOLDER, help="what make eval fetched")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model = loaded_model.load(options.model, "cpu", "float32", 4096)
    files = [p for p in pairs(read_pins(PINS), options.data) if 2000 < len(p.new) < 60_000]
    rng, n_done = np.random.default_rng(options.seed), 0
    tallies = {"line": Tally(), "rest of a line": Tally()}
    while n_done < options.places:
        text = files[int(rng.integers(len(files)))].new
        for kind, span in places(text, rng).items():
            judge(model, text, span, tallies[kind], n_done)
            n_done += 1
        print(f"\r{n_done}/{options.places}", end="", flush=True)
    print()
    found = {"machine": edits.machine(), "commit": edits.commit(), "n_searched": N_SEARCHED}
    found |= {kind: tally.as_json() for kind, tally in tallies.items()}
    print(json.dumps(found, indent=1))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
