"""A replay ends in the author's text whatever is suggested, and its counts add up."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo import replay
from demo.replay import Hunk, Suggestion
from demo.tally import Tally

SESSION = Path(__file__).resolve().parents[2] / "demo/session"

# few characters, so that texts are alike and pieces of one occur in the other
TEXTS = st.text(st.sampled_from("ab_ (\n\t.\u00e9\U0001f600"), max_size=30)
LINES = st.lists(
    st.sampled_from(["def f():", "    return a", "    x = f(a)", "", "\ta b", "a"]), max_size=8
)
FILES = st.builds("\n".join, LINES)
FILES = FILES | st.builds(lambda text: text + "\n", FILES) | TEXTS


class FakeEditor:
    """Holds a text. Suggests what `choose` makes of the text in front of the cursor."""

    def __init__(self, text: str, choose) -> None:
        self.text, self.cursor, self.changes = text, 0, list[Hunk]()
        self._choose = choose
        self.n_asked = 0

    def move(self, offset: int) -> None:
        assert 0 <= offset <= len(self.text)
        self.cursor = offset

    async def replace(self, start: int, end: int, text: str) -> None:
        assert 0 <= start <= end <= len(self.text)
        self.text = self.text[:start] + text + self.text[end:]
        self.cursor = start + len(text)
        self.changes.append(Hunk(start, end, text))

    async def suggestion(self) -> Suggestion | None:
        self.n_asked += 1
        text = self._choose(self)
        return Suggestion(f"s{self.n_asked}", text) if text else None


class Log:
    """A view that keeps what it is shown."""

    def __init__(self) -> None:
        self.accepted: list[tuple[str, str]] = []

    def begin(self, hunk: Hunk, number: int, n_hunks: int) -> None: ...

    def show(self, suggestion: Suggestion | None) -> None: ...

    def accept(self, how: str, text: str) -> None:
        self.accepted.append((how, text))


def run(editor: FakeEditor, edits: list[Hunk], is_over=lambda: False) -> tuple[Tally, Log, bool]:
    tally, log = Tally(), Log()
    is_whole = asyncio.run(replay.play(editor, edits, tally, log, is_over))
    return tally, log, is_whole


@given(FILES, FILES)
def test_hunks_make_the_new_text(old: str, new: str) -> None:
    edits = replay.hunks(old, new)
    assert replay.apply(old, edits) == new
    assert all(edit.text or edit.start < edit.end for edit in edits), "each does something"
    starts = [edit.start for edit in edits]
    assert starts == sorted(starts), "in text order"


@given(FILES, FILES, st.data())
def test_a_replay_ends_in_the_new_text_whatever_is_suggested(
    old: str, new: str, data: st.DataObject
) -> None:
    right = st.integers(0, len(new)).flatmap(
        lambda k: st.integers(k, len(new)).map(lambda n: new[k:n])
    )
    editor = FakeEditor(old, lambda _: data.draw(st.none() | TEXTS | right))
    edits = replay.hunks(old, new)
    tally, log, is_whole = run(editor, edits)
    assert is_whole
    assert editor.text == new
    # the counts, from the changes themselves
    typed = [change.text for change in editor.changes if change.text]
    assert tally.n_pressed + len(log.accepted) == len(typed) == tally.n_with
    assert tally.n_covered == sum(len(replay.keys(text)) for _, text in log.accepted)
    assert sum(map(len, typed)) == sum(len(edit.text) for edit in edits)
    assert 0 <= tally.saved_percent < 100
    assert tally.n_used <= tally.n_shown <= editor.n_asked


@given(FILES, FILES)
def test_the_best_suggestions_are_accepted_whole(old: str, new: str) -> None:
    edits = replay.hunks(old, new)

    def choose(editor: FakeEditor) -> str:
        # what is left of the present hunk, read off the new text
        return new[editor.cursor : len(new) - (len(editor.text) - editor.cursor)]

    if len(edits) == 1:
        editor = FakeEditor(old, choose)
        tally, log, _ = run(editor, edits)
        assert editor.text == new
        assert len(log.accepted) <= 1
        assert {how for how, _ in log.accepted} <= {"whole"}
        assert tally.n_with <= 2


@given(FILES, FILES)
def test_without_suggestions_every_key_is_pressed(old: str, new: str) -> None:
    edits = replay.hunks(old, new)
    tally, _, _ = run(FakeEditor(old, lambda _: None), edits)
    assert tally.n_with == tally.n_without == sum(len(replay.keys(edit.text)) for edit in edits)
    assert tally.saved_percent == 0
    assert tally.n_shown == 0


@given(TEXTS)
def test_keys_are_the_text(text: str) -> None:
    keys = replay.keys(text)
    assert "".join(keys) == text
    assert all(len(key) == 1 or re.fullmatch(r"\n[ \t]*", key) for key in keys)


@given(TEXTS, TEXTS)
def test_only_what_the_author_wrote_is_usable(suggestion: str, rest: str) -> None:
    found = replay.usable(suggestion, rest)
    if found:
        how, piece = found
        assert suggestion.startswith(piece)
        assert rest.startswith(piece)
        assert how != "whole" or piece == suggestion
        assert len(replay.keys(piece)) > 1, "else typing it is no longer"


@pytest.mark.parametrize(
    ("suggestion", "rest", "expected"),
    [
        ("items = a", "items = a\nb", ("whole", "items = a")),
        ("items = a\nc", "items = a\nb", ("line", "items = a")),
        ("items = c", "items = a\nb", ("word", "items")),
        (" items", " items = a", ("whole", " items")),
        ("\n    if x:\n        y", "\n    if x:\n        z", ("line", "\n    if x:")),
        ("\n    if a:", "\n    if b:", ("word", "\n    if")),
        ("(self, a)", "(self)", None),  # its first word is one key
        (").x", ").y", ("word", ").")),
        ("item", "items", None),  # not the author's word
        ("item + 1\nx", "items + 1", None),
        ("x", "x", None),
        ("", "x", None),
        ("xy", "", None),
    ],
)
def test_what_is_usable(suggestion: str, rest: str, expected: tuple[str, str] | None) -> None:
    assert replay.usable(suggestion, rest) == expected


def test_whole_lines_are_typed_from_the_end_of_the_line_above() -> None:
    assert replay.hunks("a\nb\n", "a\nx\nb\n") == [Hunk(1, 1, "\nx")]
    assert replay.hunks("b\n", "x\nb\n") == [Hunk(0, 0, "x\n")], "there is none above"


def test_only_what_differs_in_a_line_is_typed() -> None:
    assert replay.hunks("from a import b, d\n", "from a import b, c, d\n") == [Hunk(17, 17, "c, ")]


def test_a_suggestion_typed_along_is_counted_once() -> None:
    tally = Tally()
    for suggestion_id in ("a", "a", None, "b", "a"):
        tally.note_shown(suggestion_id)
    tally.accept("b", "word", 2)
    assert (tally.n_shown, tally.n_used, tally.n_with, tally.n_without) == (2, 1, 1, 2)
    assert tally.saved_percent == 50


def test_shares_of_answers() -> None:
    tally = Tally(answers=[(150.0, True), (151.0, True), (1.0, False), (2.0, False)])
    assert tally.within_percent == 75
    assert tally.within_percent_of_shown == 50
    assert Tally().within_percent == Tally().median_ms == Tally().saved_percent == 0


@given(FILES, FILES, st.integers(0, 20))
def test_it_stops_when_the_time_is_over(old: str, new: str, n_allowed: int) -> None:
    editor = FakeEditor(old, lambda _: None)
    n_asked = iter(range(1000))
    _, _, is_whole = run(editor, replay.hunks(old, new), lambda: next(n_asked) >= n_allowed)
    assert editor.text == new or not is_whole
    assert len(editor.changes) <= 2 * n_allowed


SOURCE = '''\
class A:
    def f(self):
        """Docstring."""
        a = 1

        return a

    @property
    async def g(self): return 1

    def h(
        self,
    ):
        def inner():
            return 2
        return inner  # a comment
'''


def test_function_bodies_are_typed_again_without_docstrings() -> None:
    edits = replay.retyped(SOURCE)
    assert [edit.text for edit in edits] == [
        "a = 1\n\n        return a",
        "def inner():\n            return 2\n        return inner  # a comment",
    ]


@given(n_functions=st.integers(1, 12), n_most=st.integers(1, 4))
def test_retyping_leaves_the_text_as_it_was(n_functions: int, n_most: int) -> None:
    source = "".join(f"def f{k}(é):\n    a = '😀'\n    return {k}\n\n" for k in range(n_functions))
    edits = replay.retyped(source, n_most)
    assert len(edits) == len(set(edits)) == min(n_most, n_functions)
    assert all(source[edit.start : edit.end] == edit.text for edit in edits)
    editor = FakeEditor(source, lambda _: None)
    run(editor, edits)
    assert editor.text == source


@pytest.mark.parametrize(
    "text", ["", "x = 1\n", "def f(): return 1\n", "def f():\n    '''Doc.'''\n"]
)
def test_a_file_without_function_bodies_has_nothing_to_type(text: str) -> None:
    assert replay.retyped(text) == []


@pytest.mark.parametrize("text", ["def f(:\n", "x = '\0'\n"])
def test_what_is_not_python_is_refused(text: str) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        replay.retyped(text)


def test_the_session_that_is_shipped() -> None:
    old, new = ((SESSION / f"sorteddict-{v}.py.txt").read_text("utf-8") for v in ("2.3.0", "2.4.0"))
    edits = replay.hunks(old, new)
    assert len(edits) > 3
    editor = FakeEditor(old, lambda _: None)
    tally, _, _ = run(editor, edits)
    assert editor.text == new
    assert tally.n_without < 600, "the demo types it in about a minute"
    notice = (SESSION / "NOTICE").read_text("utf-8")
    assert "2.3.0" in notice
    assert "2.4.0" in notice
    assert "Apache License, Version 2.0" in (SESSION / "LICENSE").read_text("utf-8")
