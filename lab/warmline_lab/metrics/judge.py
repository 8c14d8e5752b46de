"""Measures a model on held-out files: losses, and holes filled as the product fills them.

What is measured is fixed by seeds: the same windows and holes for every model and for the baseline.
"""

from __future__ import annotations

import ast
import json
import math
import warnings
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from warmline_engine.model.cold_read import ColdRead
from warmline_engine.session.loaded_model import LoadedModel, load
from warmline_engine.session.query import CHUNK, CompletionQuery
from warmline_engine.session.session import Session
from warmline_lab.data.samples import cut_middle, is_for_fitting
from warmline_lab.metrics.measures import edit_similarity, is_exact
from warmline_lab.metrics.ngram import ORDER, NGram

LAYOUTS = ("left-to-right", "psm", "spm")
KINDS = ("rest", "line", "block")
CONTEXT_TOKENS = 8192  # around a hole, at most: as much as the engine keeps by default
BUCKETS = (0, 512, 1024, 2048, 4096, 6144, 8192)
NEAR = 2048  # tokens before a bucket that its tokens are read with a second time


@dataclass(frozen=True)
class Heldout:
    """A file that was kept out of training."""

    name: str
    text: str


@dataclass(frozen=True)
class HeldOutWindow:
    """A piece of a held-out file with a middle to fill in."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Hole:
    """What was taken out of a held-out file."""

    which: int
    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Filled:
    """A hole, and what the model put there."""

    name: str
    before: str
    truth: str
    offered: str
    parses: bool
    logprob: float = 0.0

    @property
    def is_exact(self) -> bool:
        return is_exact(self.offered, self.truth)

    @property
    def similarity(self) -> int:
        return edit_similarity(self.offered, self.truth)


def read_lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_heldout(path: Path, for_fitting: bool = False) -> list[Heldout]:
    """The held-out files that nothing was fitted on, neither weights nor recall; or those that are fitted on."""
    return [
        Heldout(f"{record['origin']}: {record['path']}", record["text"])
        for record in read_lines(path)
        if is_for_fitting(record["path"]) is for_fitting
    ]


def choose_windows(
    files: list[Heldout], n_windows: int, n_characters: int = 1500
) -> list[HeldOutWindow]:
    """Pieces of files, drawn evenly over files."""
    rng = np.random.default_rng(11)
    found: list[HeldOutWindow] = []
    for _ in range(n_windows):
        text = files[int(rng.integers(len(files)))].text
        start = int(rng.integers(max(1, len(text) - n_characters)))
        window = text[start : start + n_characters]
        found.append(HeldOutWindow(window, *cut_middle(window, rng)))
    return found


def choose_holes(files: list[Heldout], kind: str, n_holes: int) -> list[Hole]:
    """Holes of a kind: the rest of a line, a whole line, a block of two to five lines."""
    rng = np.random.default_rng({"rest": 21, "line": 22, "block": 23}[kind])
    parsing = cache(lambda which: parses(files[which].text))
    found: list[Hole] = []
    while len(found) < n_holes:
        which = int(rng.integers(len(files)))
        span = _choose_span(files[which].text, kind, rng)
        if span is not None and parsing(which):
            found.append(Hole(which, kind, *span))
    return found


def _choose_span(text: str, kind: str, rng: np.random.Generator) -> tuple[int, int] | None:
    """A span that begins at a line of code; None where the draw finds none."""
    lines = text.split("\n")
    number = int(rng.integers(len(lines)))
    line = lines[number]
    code = line.strip()
    if len(code) < 6 or code.startswith(("#", '"', "'", "import", "from")):
        return None
    indent = len(line) - len(line.lstrip())
    begin = sum(len(before) + 1 for before in lines[:number]) + indent
    end = begin + len(code)
    if kind == "rest":
        return begin + int(rng.integers(1, len(code) - 1)), end
    if kind == "block":
        n_more = int(rng.integers(1, 5))
        following = lines[number + 1 : number + 1 + n_more]
        if len(following) < n_more or any(
            len(f) - len(f.lstrip()) < indent or not f.strip() for f in following
        ):
            return None
        end = sum(len(before) + 1 for before in lines[: number + 1 + n_more]) - 1
    return begin, end


def parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


class ModelJudge:
    """A model, measured."""

    def __init__(self, model: LoadedModel, files: list[Heldout]) -> None:
        self.model, self._files = model, files
        control = model.tokenizer.control_id
        names = ("fim_prefix", "fim_suffix", "fim_middle", "endoftext")
        self._prefix, self._suffix, self._middle, self._end = (
            token for name in names if (token := control(f"<|{name}|>")) is not None
        )

    def bits_per_byte(self, layout: str, windows: list[HeldOutWindow]) -> float:
        """Over whole windows left to right, or over middles, their end included, in the layout psm or spm."""
        nats, n_bytes = 0.0, 0
        for window in windows:
            head, scored, size = self._laid_out(layout, window)
            nats += float(self._losses([*head, *scored])[len(head) - 1 :].sum())
            n_bytes += len(size.encode())
        return nats / math.log(2) / n_bytes

    def _laid_out(self, layout: str, window: HeldOutWindow) -> tuple[list[int], list[int], str]:
        before, middle, behind = self._parts(window)
        size = window.text[window.start : window.end]
        if layout == "psm":
            head = [self._prefix, *before, self._suffix, *behind, self._middle]
        elif layout == "spm":
            head = [self._prefix, self._suffix, *behind, self._middle, *before]
        else:
            return [self._end], self.model.tokenizer.encode(window.text).ids, window.text
        return head, [*middle, self._end], size

    def _parts(self, window: HeldOutWindow) -> list[list[int]]:
        text, a, b = window.text, window.start, window.end
        return [self.model.tokenizer.encode(p).ids for p in (text[:a], text[a:b], text[b:])]

    def baseline_bits_per_byte(
        self, model: NGram, windows: list[HeldOutWindow]
    ) -> tuple[float, float]:
        """The n-gram model's over the same windows, and over their middles behind what is before them."""
        whole, whole_bytes, middles, middle_bytes = 0.0, 0, 0.0, 0
        for window in windows:
            pad = [self._end] * (ORDER - 1)
            ids = [*pad, *self.model.tokenizer.encode(window.text).ids]
            whole += _nats(model, ids)
            whole_bytes += len(window.text.encode())
            before, middle, _ = self._parts(window)
            if middle:
                middles += _nats(model, [*[*pad, *before][1 - ORDER :], *middle])
                middle_bytes += len(window.text[window.start : window.end].encode())
        bits = math.log(2)
        return whole / bits / whole_bytes, middles / bits / middle_bytes

    def _losses(self, tokens: list[int]) -> torch.Tensor:
        logits = ColdRead(self.model.transformer, tokens, slice(0, -1)).logits
        return torch.nn.functional.cross_entropy(logits, torch.tensor(tokens[1:]), reduction="none")

    def loss_by_position(self, which: int) -> NDArray[np.float64]:
        """Summed nats in each bucket of position, over the first tokens of a long held-out file.

        Twice: with all tokens before, and with at most NEAR before the bucket. Shape: [2, buckets].
        """
        tokens = self.model.tokenizer.encode(self._files[which].text[:80_000]).ids
        tokens = [self._end, *tokens[: BUCKETS[-1]]]
        losses = self._losses(tokens)
        whole = [float(losses[a:b].sum()) for a, b in pairwise(BUCKETS)]
        near = [
            float(self._losses(tokens[a - NEAR : b + 1])[NEAR:].sum()) if a > NEAR else read_whole
            for (a, b), read_whole in zip(pairwise(BUCKETS), whole, strict=True)
        ]
        return np.array([whole, near])

    def fill(self, hole: Hole) -> Filled:
        """Fills a hole as the product would whose cache has the file, greedily."""
        file = self._files[hole.which]
        text, start, end = file.text, hole.start, hole.end
        truth = text[start:end]
        session = Session(
            self.model, text[:start] + text[end:], start, CONTEXT_TOKENS, language="python"
        )
        # else a small window around the cursor would answer, as it does while a file is read for the first time
        while session.encode_some(CHUNK):
            pass
        limit = 24 + 2 * len(self.model.tokenizer.encode(truth).ids)
        ask = CompletionQuery(start, "", limit, hole.kind == "block", 1, None, lambda: False)
        item = session.complete(ask).items[0]
        offered = item.text
        session.drop_cache()
        if hole.kind != "block":
            offered = offered.split("\n")[0]
        is_whole = parses(text[:start] + offered + text[end:])
        return Filled(file.name, text[:start], truth, offered, is_whole, item.logprob)


@cache
def judge_of(folder: Path, heldout: Path, for_fitting: bool = False) -> ModelJudge:
    """The judge of a model, as the engine serves it, on a half of the held-out files; one for each process."""
    return ModelJudge(load(str(folder), "cpu"), read_heldout(heldout, for_fitting))


def fill_one(folder: Path, heldout: Path, for_fitting: bool, hole: Hole) -> Filled:
    """Fills a hole, in whatever process."""
    return judge_of(folder, heldout, for_fitting).fill(hole)


def long_files(files: list[Heldout], model: LoadedModel, n_files: int) -> list[int]:
    """The first files that fill every bucket of position."""
    found: list[int] = []
    for which, file in enumerate(files):
        if len(found) == n_files:
            break
        if BUCKETS[-1] * 2 < len(file.text):
            n_tokens = len(model.tokenizer.encode(file.text[:80_000]).ids)
            found += [which] if BUCKETS[-1] <= n_tokens else []
    return found


def _nats(model: NGram, ids: list[int]) -> float:
    return -float(np.log(model.probabilities(np.array(ids, np.int64))).sum())
