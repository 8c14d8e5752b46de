"""Edits of a text as the evaluation makes them: replaced characters, and how far from the cursor they are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Replacement:
    """The code points [start, end) become `text`."""

    start: int
    end: int
    text: str


def apply(text: str, edits: Iterable[Replacement]) -> str:
    """The text after edits, each counted in the text that the ones before it left."""
    for edit in edits:
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def inverse(text: str, edits: list[Replacement]) -> list[Replacement]:
    """Edits that take edits of a text back."""
    found: list[Replacement] = []
    for edit in edits:
        removed = text[edit.start : edit.end]
        found.append(Replacement(edit.start, edit.start + len(edit.text), removed))
        text = apply(text, [edit])
    return found[::-1]


def moved(offset: int, edits: Iterable[Replacement]) -> int:
    """Where an offset comes to stand; one within a replacement stands behind it."""
    for edit in edits:
        if edit.end <= offset:
            offset += len(edit.text) - (edit.end - edit.start)
        elif edit.start < offset:
            offset = edit.start + len(edit.text)
    return offset


def lines_of(text: str) -> list[str]:
    """Lines with their line breaks; the last one may lack it."""
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def line_number(text: str, offset: int) -> int:
    return text.count("\n", 0, offset)


@dataclass(frozen=True)
class Difference:
    """Whole lines of a text that are other in a later one, and how many lines from the cursor.

    They are [start, end) in the first text, and begin at `at` in the later one.
    """

    start: int
    end: int
    text: str
    at: int
    distance: int


def differences(before: str, after: str, cursor: int) -> list[Difference]:
    """What makes `after` of `before`, from the back, each with its distance from a cursor in `after`."""
    old, new = lines_of(before), lines_of(after)
    starts, places, here = _starts(old), _starts(new), line_number(after, cursor)
    found: list[Difference] = []
    for tag, i, j, k, m in blocks(old, new):
        if tag == "equal":
            continue
        last = max(k, m - 1)
        distance = 0 if k <= here <= last else min(abs(here - k), abs(here - last))
        put = "".join(new[k:m])
        found.append(Difference(starts[i], starts[j], put, places[k], distance))
    return found[::-1]


def _starts(lines: list[str]) -> list[int]:
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    return starts


def blocks(old: list[str], new: list[str]) -> list[tuple[str, int, int, int, int]]:
    """The opcodes between two lists of lines; what both begin and end with is not searched."""
    shorter, head, tail = min(len(old), len(new)), 0, 0
    while head < shorter and old[head] == new[head]:
        head += 1
    while tail < shorter - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle = difflib.SequenceMatcher(
        None, old[head : len(old) - tail], new[head : len(new) - tail], autojunk=False
    )
    found: list[tuple[str, int, int, int, int]] = [("equal", 0, head, 0, head)] if head else []
    found += [(t, i + head, j + head, k + head, m + head) for t, i, j, k, m in middle.get_opcodes()]
    if tail:
        found.append(("equal", len(old) - tail, len(old), len(new) - tail, len(new)))
    return found
