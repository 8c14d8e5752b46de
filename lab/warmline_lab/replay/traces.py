"""How a person would get from one release of a file to the next: jumps, typing, pastes, renames, accepts.

Doing all actions of a script in order turns the old text into the new one.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .edits import Replacement, apply, blocks, lines_of

PASTED_SHARE = 0.15  # of new blocks of at least PASTED_LINES lines
PASTED_LINES = 6
ACCEPTED_SHARE = 0.3  # of the lines a completion is asked for
TYPO_SHARE = 0.04  # of bursts of typing
LONGEST_BURST = 8  # characters typed between two reads of the engine
ASKED_A_HUNK = 10  # what is new beyond is pasted
SIMILAR = 0.5

_WORD = re.compile(r"\w+|\W")


@dataclass(frozen=True)
class Jump:
    """The cursor goes to an offset."""

    offset: int


@dataclass(frozen=True)
class Change:
    """Replacements that come together. `how` is type, erase, paste, rename or accept."""

    edits: tuple[Replacement, ...]
    how: str


@dataclass(frozen=True)
class CompletionPoint:
    """A completion is asked for at the cursor, where the new release has `truth`."""

    offset: int
    truth: str
    kind: str


Action = Jump | Change | CompletionPoint


def script(old: str, new: str, rng: np.random.Generator) -> list[Action]:
    """What a person does, hunk by hunk from the top."""
    typist = _Typist(old, rng)
    typist.rename(renames(old, new))
    typist.go_through(new)
    assert typist.text == new, "the script does not lead to the new text"
    return typist.actions


def stretches(old: str, new: str, n_characters: int) -> list[tuple[str, str]]:
    """Pairs of pieces of both texts that belong together and change, each about so long at most."""
    before, after = lines_of(old), lines_of(new)
    cuts = [(0, 0)]
    size = 0
    for tag, i, j, k, m in blocks(before, after):
        if tag != "equal":
            size += max(sum(map(len, before[i:j])), sum(map(len, after[k:m])))
            continue
        for step in range(j - i):
            # a cut where a definition begins, if the piece is long enough
            line = before[i + step]
            if n_characters < size and line[:1] not in (" ", "\t", "\n", ")", "]", "}", "#"):
                cuts.append((i + step, k + step))
                size = 0
            size += len(line)
    cuts.append((len(before), len(after)))
    pieces = [("".join(before[i:j]), "".join(after[k:m])) for (i, k), (j, m) in pairwise(cuts)]
    return [(a, b) for a, b in pieces if a != b and max(len(a), len(b)) < 2 * n_characters]


def renames(old: str, new: str) -> list[tuple[str, str]]:
    """Names that lines of the new text have in the place of others, two lines at least."""
    before, after = lines_of(old), lines_of(new)
    counts: Counter[tuple[str, str]] = Counter()
    for tag, i, j, k, m in blocks(before, after):
        if tag == "replace":
            for a, b in zip(before[i:j], after[k:m], strict=False):
                found = _renamed(a, b)
                if found is not None:
                    counts[found] += 1
    return sorted(pair for pair, n in counts.items() if n >= 2)


def _renamed(a: str, b: str) -> tuple[str, str] | None:
    """The one name that differs between two lines, None where more does."""
    one, two = _WORD.findall(a), _WORD.findall(b)
    if len(one) != len(two):
        return None
    different = {(x, y) for x, y in zip(one, two, strict=True) if x != y}
    if len(different) != 1:
        return None
    (pair,) = different
    return pair if all(name.isidentifier() and len(name) > 2 for name in pair) else None


class _Typist:
    """Writes actions down while it does them."""

    def __init__(self, text: str, rng: np.random.Generator) -> None:
        self.text = text
        self.actions: list[Action] = []
        self._rng = rng
        self._old = text
        self._n_asked = 0

    def _do(self, how: str, *edits: Replacement) -> None:
        self.text = apply(self.text, edits)
        self.actions.append(Change(edits, how))

    def rename(self, names: list[tuple[str, str]]) -> None:
        """Each name in all places at once, from the back, as an editor does."""
        for a, b in names:
            places = [match.start() for match in re.finditer(rf"\b{re.escape(a)}\b", self.text)]
            if len(places) < 2 or re.search(rf"\b{re.escape(b)}\b", self.text):
                continue
            self.actions.append(Jump(places[0]))
            self._do("rename", *(Replacement(p, p + len(a), b) for p in reversed(places)))

    def go_through(self, new: str) -> None:
        before, after = lines_of(self.text), lines_of(new)
        at = 0
        for tag, i, j, k, m in blocks(before, after):
            if tag == "equal":
                at += sum(map(len, before[i:j]))
                continue
            self._n_asked = 0
            self._jump(at)
            at = self._change_block(at, before[i:j], after[k:m])

    def _jump(self, at: int) -> None:
        self.actions.append(Jump(max(0, at - 1)))

    def _change_block(self, at: int, old: list[str], new: list[str]) -> int:
        n_alike = 0
        for a, b in zip(old, new, strict=False):
            if not _alike(a, b):
                break
            self._modify(at, a, b)
            at += len(b)
            n_alike += 1
        old, new = old[n_alike:], new[n_alike:]
        if old:
            n_characters = sum(map(len, old))
            self._do("erase", Replacement(at, at + n_characters, ""))
        return self._insert(at, new)

    def _modify(self, at: int, a: str, b: str) -> None:
        """A line is changed in its middle."""
        shorter, head, tail = min(len(a), len(b)), 0, 0
        while head < shorter and a[head] == b[head]:
            head += 1
        while tail < shorter - head and a[-1 - tail] == b[-1 - tail]:
            tail += 1
        start, end, put = at + head, at + len(a) - tail, b[head : len(b) - tail]
        if start < end:
            self._do("erase", Replacement(start, end, ""))
        if len(put.strip()) >= 4 and "\n" not in put:
            self._ask(start, put, "changed line")
        self._type(start, put)

    def _insert(self, at: int, lines: list[str]) -> int:
        block = "".join(lines)
        is_natural = at > 0 and self.text[at - 1] == "\n" and block.endswith("\n")
        is_moved = len(lines) >= 3 and block in self._old
        is_pasted = len(lines) >= PASTED_LINES and self._rng.random() < PASTED_SHARE
        if not block:
            return at
        if not is_natural or is_moved or is_pasted:
            self._do("paste", Replacement(at, at, block))
            return at + len(block)
        for k, line in enumerate(lines):
            if self._n_asked >= ASKED_A_HUNK:
                rest = "".join(lines[k:])
                self._do("paste", Replacement(at, at, rest))
                return at + len(rest)
            self._new_line(at, line)
            at += len(line)
        return at

    def _new_line(self, at: int, line: str) -> None:
        """Enter at the end of the line before, the indentation by the editor, then what is on the line."""
        content = line[:-1].lstrip(" \t")
        indent = line[: len(line) - 1 - len(content)]
        end = at - 1  # in front of the line break that the line before ends with
        self._do("type", Replacement(end, end, "\n" + indent))
        cursor = end + 1 + len(indent)
        if is_code(content):
            self._ask(cursor, content, "new line")
            self._n_asked += 1
            if self._rng.random() < ACCEPTED_SHARE:
                self._do("accept", Replacement(cursor, cursor, content))
                return
        self._type(cursor, content)

    def _ask(self, offset: int, truth: str, kind: str) -> None:
        self.actions.append(CompletionPoint(offset, truth, kind))

    def _type(self, at: int, text: str) -> None:
        """In bursts, with a slip of the finger now and then."""
        k = 0
        while k < len(text):
            n = int(self._rng.integers(1, LONGEST_BURST + 1))
            if self._rng.random() < TYPO_SHARE:
                self._do("type", Replacement(at + k, at + k, "qx"))
                self._do("erase", Replacement(at + k, at + k + 2, ""))
            self._do("type", Replacement(at + k, at + k, text[k : k + n]))
            k += n


def is_code(content: str) -> bool:
    """Whether a line says enough to be asked for: no comment, no text, six characters at least."""
    return len(content) >= 6 and content[0] not in "#\"'" and any(map(str.isalpha, content))


def _alike(a: str, b: str) -> bool:
    from warmline_lab.metrics.measures import longest_common_subsequence

    if not a.strip() or not b.strip() or a[-1:] != b[-1:]:
        return False
    common = longest_common_subsequence(a.strip(), b.strip())
    return SIMILAR * max(len(a.strip()), len(b.strip())) < common
