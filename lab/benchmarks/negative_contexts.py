"""Whether comments and docstrings can be hidden as contrast hides other files, by leaving their slots out.

Later tokens have seen them, so that it is not quite what the model makes of a text without them. At lines of held-out
packages the two are compared token by token along the true line, and whether contrast with them would make more of
its tokens the likeliest: `make bench NAME=negative_contexts`.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import tokenize
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import edits
from warmline_engine.decoding.contrast import RULES, contrasted, is_uncertain
from warmline_engine.session import loaded_model
from warmline_engine.session.loaded_model import LoadedModel
from warmline_lab.data.releases import FOLDER, PINS, pairs, read_pins
from warmline_lab.replay.forks import forked
from warmline_lab.replay.scoring import opened_at, read_all, refresh_all, score

from .search import BEFORE, BEHIND, places

MAX_DISAGREEMENT = 0.05  # of the likeliest tokens: above it, that kind is not hidden so


@dataclass
class Tally:
    """Tokens of true lines; `uncertain` are those where contrast would look."""

    n_places: int = 0
    n_tokens: int = 0
    n_uncertain: int = 0
    masked_differs: int = 0
    masked_differs_uncertain: int = 0
    full_differs: int = 0  # the text with them against the text without
    right: int = 0  # likeliest tokens that are the true ones
    right_by_difference: int = 0  # with contrast against the masked text where it is uncertain
    right_by_ratio: int = 0

    def add(self, truth: list[int], full: Tensor, masked: Tensor, without: Tensor) -> None:
        uncertain = np.array([is_uncertain(row, RULES["ratio"]) for row in full])
        differs = (masked.argmax(1) != without.argmax(1)).numpy()
        self.n_places += 1
        self.n_tokens += len(full)
        self.n_uncertain += int(uncertain.sum())
        self.masked_differs += int(differs.sum())
        self.masked_differs_uncertain += int((differs & uncertain).sum())
        self.full_differs += int((full.argmax(1) != without.argmax(1)).sum())
        self.right += int((full.argmax(1) == torch.tensor(truth)).sum())
        self.right_by_difference += self._n_right(truth, full, masked, "difference")
        self.right_by_ratio += self._n_right(truth, full, masked, "ratio")

    def _n_right(self, truth: list[int], full: Tensor, masked: Tensor, form: str) -> int:
        rule = RULES[form]
        chosen = [
            int(
                (
                    contrasted(row, negative_logits, rule) if is_uncertain(row, rule) else row
                ).argmax()
            )
            for row, negative_logits in zip(full, masked, strict=True)
        ]
        return sum(token == true for token, true in zip(chosen, truth, strict=True))

    def as_json(self) -> dict[str, float]:
        share = self.masked_differs / max(1, self.n_tokens)
        uncertain = self.masked_differs_uncertain / max(1, self.n_uncertain)
        return {
            **vars(self), "share": share, "share_uncertain": uncertain,
            "share_full": self.full_differs / max(1, self.n_tokens),
            "may_be_hidden": share <= MAX_DISAGREEMENT,
        }  # fmt: skip


def comments(text: str) -> list[tuple[int, int]]:
    """Characters of comments."""
    starts = _line_starts(text)
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [
        (starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1])
        for token in tokens
        if token.type == tokenize.COMMENT
    ]


def docstrings(text: str) -> list[tuple[int, int]]:
    """Characters of docstrings, where the text is ASCII: a syntax tree counts bytes."""
    starts, found = _line_starts(text), list[tuple[int, int]]()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0] if node.body else None
        value = first.value if isinstance(first, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            end = starts[(value.end_lineno or 1) - 1] + (value.end_col_offset or 0)
            found.append((starts[value.lineno - 1] + value.col_offset, end))
    return found


def _line_starts(text: str) -> list[int]:
    return np.cumsum([0, *(len(line) for line in text.splitlines(keepends=True))]).tolist()


KINDS: dict[str, Callable[[str], list[tuple[int, int]]]] = {
    "comments": comments,
    "docstrings": docstrings,
}


def judge(
    model: LoadedModel,
    text: str,
    line: tuple[int, int],
    hidden: list[tuple[int, int]],
    tally: Tally,
) -> None:
    start, end = line
    low = text.rfind("\n", 0, max(0, start - BEFORE)) + 1
    high = min(len(text), end + BEHIND)
    spans = [(a, b) for a, b in hidden if low <= a and b <= high and (b <= start or end <= a)]
    if not spans:
        return
    truth = model.tokenizer.encode(text[start:end]).ids
    window = opened_at(model, text[low:start] + text[end:high], start - low)
    full = score(window, truth).expectations
    with forked(window) as without:
        without.n_behind = 0
        for a, b in sorted(spans, reverse=True):
            shift = low + (end - start if end <= a else 0)
            without.edit(a - shift, b - shift, "")
        read_all(without)
        masked = score(without, truth).expectations
        refresh_all(without)
        tally.add(truth, full, masked, score(without, truth).expectations)
    window.sequence.drop_cache()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="small")
    parser.add_argument("--places", type=int, default=200, help="of each kind")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model = loaded_model.load(options.model, "cpu", "float32", 4096)
    rng, tallies = np.random.default_rng(0), {kind: Tally() for kind in KINDS}
    files = [p.new for p in pairs(read_pins(PINS), FOLDER) if 2000 < len(p.new) < 60_000]
    files = [text for text in files if text.isascii() and "\f" not in text and _parses(text)]
    while any(tally.n_places < options.places for tally in tallies.values()):
        text = files[int(rng.integers(len(files)))]
        line = places(text, rng).get("line")
        for kind, find in KINDS.items() if line else ():
            if line and tallies[kind].n_places < options.places:
                judge(model, text, line, find(text), tallies[kind])
    found = {kind: tally.as_json() for kind, tally in tallies.items()}
    print(json.dumps(found, indent=1))
    if options.out:
        report = {"machine": edits.machine(), "commit": edits.commit(), **found}
        options.out.write_text(json.dumps(report, indent=1) + "\n")


def _parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError:
        return False
    return True


if __name__ == "__main__":
    main()
