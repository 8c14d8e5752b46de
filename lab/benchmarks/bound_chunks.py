"""Whether bound chunks are worth more work: `make bench NAME=bound_chunks`.

At lines of held-out packages the true line is scored with finds bound as they are; with keys of theirs divided by a
temperature, which is half of what APE does (Yang et al. 2025); and with the last tokens of the file encoded again so
that they see the chunks, from 16 to all of them (CacheBlend, Yao et al. 2024, encodes again those that differ most).
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks import edits
from warmline_engine.cache.chunk_cache import ChunkCache, ChunkRows
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.window import Window
from warmline_lab.data.releases import FOLDER, PINS, pairs, read_pins
from warmline_lab.replay.scoring import CHUNK, read_all, score
from warmline_lab.retrieval.workspace import served
from warmline_lab.tables.confidence_intervals import ratio_interval

from .gate import Task, tasks
from .workers import each

TEMPERATURES = (0.7, 0.8, 0.9, 1.1, 1.25)
AGAIN = (16, 64, 256, 1024, 1 << 20)  # tokens encoded again, the last ones of the file


@dataclass(frozen=True)
class HeldOutPlace:
    """Nats of the whole line by what was done; tokens of the file."""

    package: str
    n_tokens: int
    n_own: int
    nats: dict[str, float]


class Tempered(ChunkCache):
    """What others keep, its keys divided by a temperature."""

    def __init__(self, kept: ChunkCache, temperature: float) -> None:
        super().__init__(0)
        self._kept, self._temperature = kept, temperature

    def get(self, tokens: tuple[int, ...]) -> ChunkRows | None:
        rows = self._kept.get(tokens)
        return rows and (rows[0] / self._temperature, rows[1])

    def put(self, tokens: tuple[int, ...], rows: ChunkRows) -> None:
        raise AssertionError("all chunks are kept by now")


def judged(model: LoadedModel, task: Task) -> HeldOutPlace:
    truth = model.tokenizer.encode(task.truth).ids
    window = Window(model, task.text, 0, len(task.text), task.cursor)
    read_all(window)
    sequence, n_own = window.sequence, window.n_own_tokens
    chunks = [model.tokenizer.encode(text).ids for text in task.found]
    nats: dict[str, float] = {}

    def measure(name: str, kept: ChunkCache, prepare: Callable[[], object] = lambda: None) -> None:
        sequence.bind([])
        sequence.bind(chunks)
        sequence.bound_end = window.tokenized.prefix_span[0]
        while sequence.encode_bound(CHUNK, kept):
            pass
        prepare()
        nats[name] = served(model, window, score(window, truth)).nats

    nats["alone"] = served(model, window, score(window, truth)).nats
    measure("bound", model.kept)
    for temperature in TEMPERATURES:
        measure(f"temperature {temperature}", Tempered(model.kept, temperature))
    for n in AGAIN:  # each begins with what the one before has encoded, which is less
        again = np.arange(max(0, n_own - n), n_own)

        def encode(again: np.ndarray = again) -> None:
            for begin in range(0, len(again), CHUNK):
                some = again[begin : begin + CHUNK]
                sequence.encode(some, len(some))

        measure("all again" if n == AGAIN[-1] else f"{n} again", model.kept, encode)
    sequence.drop_cache()
    return HeldOutPlace(task.package, len(truth), n_own, nats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="small")
    parser.add_argument("--places", type=int, default=300)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    chosen = [task for task in tasks(pairs(read_pins(PINS), FOLDER), options.places) if task.found]
    places = list(each(judged, chosen, options.model, options.workers))
    sizes = np.array([float(place.n_tokens) for place in places])
    packages = [place.package for place in places]
    rows: dict[str, dict[str, object]] = {}
    for name in places[0].nats:
        more = np.array([place.nats[name] - place.nats["bound"] for place in places])
        found = ratio_interval(more, sizes, packages)
        rows[name] = asdict(found)
        print(f"{name:18} {found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]")
    if options.out:
        n_own = float(np.mean([place.n_own for place in places]))
        report = {"machine": edits.machine(), "commit": edits.commit(), "places": len(places),
                "tokens_of_a_file": n_own, "more_than_bound": rows}  # fmt: skip
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
