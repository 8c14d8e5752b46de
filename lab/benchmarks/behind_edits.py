"""How many tokens behind an edit to encode with it: `make bench NAME=behind_edits`.

Controlled edits of the evaluation. Nats are those of the whole true line, summed, more than a cold read's.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks import edits
from warmline_engine.session import loaded_model
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.window import Window
from warmline_lab.data.releases import FOLDER, PINS, pairs, read_pins
from warmline_lab.evaluation import plan
from warmline_lab.replay.controlled import Case
from warmline_lab.replay.controlled_run import TargetTask
from warmline_lab.replay.edits import inverse
from warmline_lab.replay.forks import forked
from warmline_lab.replay.scoring import opened_at, read_all, refresh_all, score

COUNTS = (0, 1, 2, 3, 4, 6, 8)
KINDS = (
    "rename",
    "relevant edition",
    "relevant insertion",
    "relevant deletion",
    "random edition",
)

Lost = dict[int, list[tuple[float, int]]]  # by count: nats, tokens encoded


def judge(model: LoadedModel, task: TargetTask, cases: list[Case], lost: dict[str, Lost]) -> None:
    text, cursor = task.target.text, task.target.cursor
    truth = model.tokenizer.encode(task.target.truth).ids
    cold = opened_at(model, text, cursor)
    nats = score(cold, truth).nats
    for case in cases:
        with forked(cold) as original:
            original.n_behind = 0
            for edit in inverse(case.before, list(case.edits)):
                original.edit(edit.start, edit.end, edit.text)
            refresh_all(original)
            for n_behind in COUNTS:
                with forked(original) as window:
                    window.n_behind = n_behind
                    n_encoded = edited(window, case)
                    lost[case.kind][n_behind].append((score(window, truth).nats - nats, n_encoded))
    cold.sequence.drop_cache()


def edited(window: Window, case: Case) -> int:
    """Edits a window; the tokens that were encoded."""
    before = window.sequence.n_encoded
    for edit in case.edits:
        window.edit(edit.start, edit.end, edit.text)
    read_all(window)
    return window.sequence.n_encoded - before


def tasks() -> Iterator[TargetTask]:
    for task in plan.targets(pairs(read_pins(PINS), FOLDER), seed=0):
        assert isinstance(task, TargetTask)
        yield task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=40, help="of each kind")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model = loaded_model.load("small", cache_mebibytes=1 << 13)
    lost: dict[str, Lost] = {kind: defaultdict(list) for kind in KINDS}
    for task in tasks():
        wanted = [kind for kind in KINDS if len(lost[kind][0]) < options.cases]
        if not wanted:
            break
        judge(model, task, [case for case in task.cases() if case.kind in wanted], lost)
    found = {kind: {n: _summary(pairs) for n, pairs in of.items()} for kind, of in lost.items()}
    print(f"{'':20}" + "".join(f"{n:>20}" for n in COUNTS))
    for kind, of in found.items():
        print(f"{kind:20}" + "".join(_cell(of[n]) for n in COUNTS))
    if options.out:
        report = {"machine": edits.machine(), "commit": edits.commit(), "lost": found}
        options.out.write_text(json.dumps(report, indent=1) + "\n")


def _cell(report: dict[str, float]) -> str:
    return f"{report['nats']:+.3f} ({report['tokens']:.0f} tokens)".rjust(20)


def _summary(found: list[tuple[float, int]]) -> dict[str, float]:
    nats = [pair[0] for pair in found]
    error = statistics.stdev(nats) / len(nats) ** 0.5
    tokens = statistics.mean(pair[1] for pair in found)
    return {"cases": len(found), "nats": statistics.mean(nats), "error": error, "tokens": tokens}


if __name__ == "__main__":
    main()
