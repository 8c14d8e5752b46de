"""Fill-in-the-middle without edits: a line, several lines, the body of a block."""

from __future__ import annotations

import ast
import time
import warnings
from dataclasses import dataclass, replace

import numpy as np

from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.stretch import choose_stretch
from warmline_engine.session.window import Window
from warmline_lab.replay.edits import lines_of
from warmline_lab.replay.layouts import in_other_layout
from warmline_lab.replay.records import MethodJudge, Record, Request
from warmline_lab.replay.scoring import read_all, score
from warmline_lab.replay.traces import is_code

KINDS = ("line", "multi-line", "block")
N_CONTEXT = 1500  # tokens


@dataclass(frozen=True)
class HoleTask:
    key: str
    package: str
    kind: str
    text: str  # around the hole
    cursor: int
    truth: str

    def n_requests(self) -> int:
        return 1


def choose_hole(text: str, kind: str, rng: np.random.Generator) -> tuple[int, int] | None:
    """A span of a file that begins with a line's first character; None where the draw finds none."""
    lines = lines_of(text)
    starts = np.cumsum([0, *map(len, lines)])
    if kind == "block":
        bodies = _bodies(text)
        if not bodies:
            return None
        first, last = bodies[int(rng.integers(len(bodies)))]
    else:
        first = int(rng.integers(len(lines)))
        last = first if kind == "line" else first + int(rng.integers(1, 5))
    if len(lines) <= last or not all(is_code(line.strip()) for line in lines[first : last + 1]):
        return None
    indent = len(lines[first]) - len(lines[first].lstrip())
    return int(starts[first]) + indent, int(starts[last]) + len(lines[last].rstrip("\n"))


def _bodies(text: str) -> list[tuple[int, int]]:
    """First and last line, from 0, of the bodies of compound statements that have 2 to 10 lines."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: list[tuple[int, int]] = []
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and isinstance(node, ast.stmt) and body:
            first, last = body[0].lineno - 1, (body[-1].end_lineno or 0) - 1
            if 2 <= last - first + 1 <= 10:
                found.append((first, last))
    return sorted(found)


def task_of(
    key: str, package: str, text: str, kind: str, rng: np.random.Generator
) -> HoleTask | None:
    """A task on a file; None where the draw finds no hole."""
    span = choose_hole(text, kind, rng)
    if span is None:
        return None
    start, end = span
    begin, stop = choose_stretch(text, start, N_CONTEXT)
    stop = max(stop, end)
    around = text[begin:start] + text[end:stop]
    return HoleTask(key, package, kind, around, start - begin, text[start:end])


def run(model: LoadedModel, task: HoleTask) -> list[Record]:
    """Each layout that the model knows, and the prefix alone."""
    ways = [("cold read", task.text, model)]
    if (other := in_other_layout(model)) is not None:
        first = "suffix" if other.layout.is_suffix_first else "prefix"
        ways.append((f"cold read, {first} first", task.text, other))
    without = task.text[: task.cursor]
    records: list[Record] = []
    truth = model.tokenizer.encode(task.truth).ids
    judge: MethodJudge | None = None
    for name, text, served in [*ways, ("without the suffix", without, model)]:
        begin = time.perf_counter()
        window = Window(served, text, 0, len(text), task.cursor)
        read_all(window)
        scored = score(window, truth)
        elapsed = (time.perf_counter() - begin) * 1000
        n_context = window.n_own_tokens
        if judge is None:
            request = Request(task.key, "fim", task.kind, task.package, task.truth)
            judge = MethodJudge(served, replace(request, n_context=n_context), scored)
        offered = judge.offered(window, scored, task.kind != "line")
        records.append(judge.record(name, scored, n_context, elapsed, offered))
        window.sequence.drop_cache()
    return records
