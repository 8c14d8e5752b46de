"""Scripts lead from one text to the other, and controlled edits to the true one."""

from __future__ import annotations

import inspect
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmline_lab.replay.controlled import Target, bound_cases, cases_of, choose_target
from warmline_lab.replay.edits import Replacement, apply, differences, inverse, lines_of, moved
from warmline_lab.replay.traces import (
    Action,
    Change,
    CompletionPoint,
    Jump,
    renames,
    script,
    stretches,
)

OLD = """import os

def load(path):
    with open(path) as file:
        return file.read()

def main():
    text = load("a")
    print(load("b"), text)
"""
NEW = """import os
import sys

def read_text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()

def main():
    text = read_text("a")
    print(read_text("b"), text)
    sys.exit(len(text))
"""

line = st.sampled_from(["a = 1\n", "b = load(a)\n", "    return b\n", "\n", "def f(x):\n", "# c\n"])
texts = st.lists(line, max_size=12).map("".join)


def played(text: str, actions: list[Action]) -> str:
    for action in actions:
        if isinstance(action, Change):
            text = apply(text, action.edits)
    return text


@settings(deadline=None)
@given(texts, texts, st.integers(0, 100))
def test_a_script_leads_to_the_new_text(old: str, new: str, seed: int) -> None:
    assert played(old, script(old, new, np.random.default_rng(seed))) == new


def test_a_script_asks_where_the_new_line_is_and_renames_in_all_places() -> None:
    actions = script(OLD, NEW, np.random.default_rng(1))
    assert renames(OLD, NEW) == [("load", "read_text")]
    renamed = [a for a in actions if isinstance(a, Change) and a.how == "rename"]
    assert [len(a.edits) for a in renamed] == [3]
    text, asked = OLD, list[str]()
    for action in actions:
        if isinstance(action, Change):
            text = apply(text, action.edits)
        elif isinstance(action, CompletionPoint):
            asked.append(action.truth)
            at = action.offset
            assert text[at : at + 1] in ("\n", ")"), "the text behind the cursor is not there yet"
    assert asked == ["import sys", ', encoding="utf-8"', "sys.exit(len(text))"]
    assert sum(isinstance(a, Jump) for a in actions) == 4


def test_the_same_seed_gives_the_same_script() -> None:
    first, second = (script(OLD, NEW, np.random.default_rng(5)) for _ in range(2))
    assert first == second
    assert first != script(OLD, NEW, np.random.default_rng(6))


def test_stretches_hold_what_changed() -> None:
    old = "".join(f"def f{k}():\n    return {k}\n\n" for k in range(200))
    new = old.replace("return 7\n", "return 70\n").replace("return 190\n", "return 1900\n")
    found = stretches(old, new, 500)
    assert len(found) == 2
    assert all(a in old and b in new and max(len(a), len(b)) < 1000 for a, b in found)


edit = st.tuples(st.integers(0, 30), st.integers(0, 5), st.text("xy\n", max_size=4))


@given(st.text("ab\n", max_size=30), st.lists(edit, max_size=4))
def test_an_inverse_takes_edits_back(text: str, raw: list[tuple[int, int, str]]) -> None:
    edits, now = list[Replacement](), text
    for start, length, put in raw:
        begin = min(start, len(now))
        edits.append(Replacement(begin, min(begin + length, len(now)), put))
        now = apply(now, [edits[-1]])
    assert apply(now, inverse(text, edits)) == text


@given(texts, texts)
def test_differences_make_the_later_text(before: str, after: str) -> None:
    found = differences(before, after, 0)
    assert apply(before, [Replacement(d.start, d.end, d.text) for d in found]) == after
    assert all(after[d.at : d.at + len(d.text)] == d.text for d in found)


def test_a_difference_knows_how_far_the_cursor_is() -> None:
    before = "a\nb\nc\nd\ne\n"
    (found,) = differences(before, before.replace("a", "A"), len("A\nb\nc\nd\n"))
    assert (found.at, found.distance) == (0, 4)


@pytest.mark.parametrize(
    ("offset", "edit", "expected"),
    [
        (5, Replacement(0, 2, "abc"), 6),
        (5, Replacement(6, 8, ""), 5),
        (5, Replacement(4, 9, "x"), 5),
    ],
)
def test_an_offset_moves(offset: int, edit: Replacement, expected: int) -> None:
    assert moved(offset, [edit]) == expected


def test_lines_keep_their_breaks() -> None:
    assert lines_of("a\n\nb") == ["a\n", "\n", "b"]
    assert lines_of("") == []


def test_controlled_edits_lead_to_the_true_text() -> None:
    text, donor = inspect.getsource(textwrap), inspect.getsource(inspect)
    kinds: set[str] = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        target = choose_target("t", "p", text, donor, 1000, rng)
        if target is None:
            continue
        whole = target.text[: target.cursor] + target.truth + target.text[target.cursor :]
        assert whole in text
        for case in cases_of(target, rng):
            kinds.add(case.kind)
            assert case.before != target.text
            assert apply(case.before, case.edits) == target.text
            if case.kind.startswith("random"):
                assert case.distance >= (4 if case.place == "near" else 30)
    wanted = {
        f"{a} {b}" for a in ("random", "relevant") for b in ("insertion", "deletion", "edition")
    }
    assert wanted <= kinds


def test_edits_of_what_the_truth_names() -> None:
    filler = "".join(f"    step_{k} = {k}\n" for k in range(6))
    head = f"from os import fspath\n\ndef opened(path, mode):\n{filler}\ndef main():\n{filler}"
    truth = "opened(fspath(p), mode)"
    text = f"{head}    \n"
    target = Target("t", "p", text, len(text) - 1, truth, "reading = 1\n")
    found = {case.kind: case.before for case in bound_cases(target, np.random.default_rng(0))}
    assert found == {
        "rename": text.replace("opened", "reading"),
        "signature": text.replace("path, mode", "path"),
        "import": text.replace("from os import fspath\n", ""),
    }
