"""Offers through edits and notices, and what is counted of them. Times are told, not waited for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmline_lsp.completion.suggestions import Suggestion
from warmline_lsp.completion.typing_cadence import TypingCadence
from warmline_lsp.completion.usage_statistics import KEPT_AFTER_S, RetainedText, UsageStatistics
from warmline_lsp.documents.difference import Edit

TEXT = "return name\n    pass"


class Typist:
    """Edits at the cursor of one offer at offset 10, and the counts."""

    def __init__(self, text: str = TEXT) -> None:
        self.counts = UsageStatistics()
        self.offer: Suggestion | None = Suggestion("w1", 10, text)
        self.counts.offered("w1", text, 0)
        self.counts.answered("python", 20.0)
        self.cursor, self.now = 10, 0.0

    def edit(self, start: int, end: int, text: str) -> None:
        edit, before = Edit(start, end, text), self.offer
        self.offer = before.follow(edit) if before else None
        self.counts.edited("u", before, self.offer, edit, self.now)
        self.cursor = start + len(text)

    def type(self, *texts: str) -> None:
        for text in texts:
            self.edit(self.cursor, self.cursor, text)

    def found(self) -> tuple[int, int, int, int]:
        c = self.counts
        return (c.n_accepted, c.n_partly_accepted, c.n_characters_accepted, c.n_characters_typed)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([TEXT], (1, 0, 20, 0)),
        (["r", "e", "turn name\n    pass"], (1, 0, 18, 2)),
        (["return"], (0, 1, 6, 0)),
        (["return", " name", "\n    pass"], (1, 1, 20, 0)),
        (["return name"], (0, 1, 11, 0)),
        (list(TEXT), (0, 0, 0, 20)),
        (["ret"], (0, 0, 0, 3)),  # several keys as one edit end in no word
        (["x", "return"], (0, 0, 0, 7)),
        (["y" * 500], (0, 0, 0, 0)),  # a paste
    ],
)
def test_acceptance_is_seen_from_the_edits(
    texts: list[str], expected: tuple[int, int, int, int]
) -> None:
    typist = Typist()
    typist.type(*texts)
    assert typist.found() == expected


@pytest.mark.parametrize("notice_first", [True, False])
def test_a_notice_and_its_edit_count_once(notice_first: bool) -> None:
    typist = Typist()
    for text, n_so_far in (("return", 6), (" name", 11)):
        if notice_first:
            typist.counts.partly_accepted("w1", n_so_far)
        typist.type(text)
        typist.counts.partly_accepted("w1", n_so_far)
    assert typist.found() == (0, 1, 11, 0)
    typist.type("\n    pass")
    typist.counts.accepted("w1")
    typist.counts.accepted("w1")
    assert typist.found() == (1, 1, 20, 0)


def test_notices_tell_what_edits_cannot() -> None:
    one = Typist(")")
    one.type(")")
    assert one.found() == (0, 0, 0, 1)
    one.counts.accepted("w1")
    assert one.found() == (1, 0, 1, 0)
    changed = Typist()
    changed.type("return  name")  # formatted by the client on the way
    changed.counts.accepted("w1")
    assert changed.counts.n_accepted == 1


def test_parts_are_counted_from_what_was_given_last() -> None:
    typist = Typist()
    typist.type("r", "e")
    typist.counts.offered("w1", TEXT, 2)
    assert typist.counts.given("w1") == TEXT[2:]
    typist.type("turn")
    typist.counts.partly_accepted("w1", 4)
    assert typist.found() == (0, 1, 4, 2)


def test_notices_of_what_was_never_offered_are_ignored() -> None:
    counts = UsageStatistics()
    counts.shown("")
    counts.accepted("w9")
    counts.partly_accepted("w9", 3)
    assert counts.given("w9") == ""
    assert counts.n_accepted == counts.n_shown == counts.n_characters_accepted == 0


def test_the_share_accepted_is_of_those_shown_where_that_is_told() -> None:
    typist = Typist()
    typist.counts.answered("python", 30.0)
    typist.type(TEXT)
    assert typist.counts.accepted_share == 0.5
    typist.counts.shown("w1")
    typist.counts.shown("w1")
    assert typist.counts.accepted_share == 1.0


def test_what_is_kept_is_judged_after_thirty_seconds() -> None:
    typist = Typist()
    typist.type(TEXT)
    assert typist.counts.summary(KEPT_AFTER_S - 1)["keptShare"] is None
    typist.edit(10, 15, "")
    typist.edit(0, 0, "above\n")
    assert typist.counts.summary(KEPT_AFTER_S)["keptShare"] == 15 / 20
    typist.now = 2 * KEPT_AFTER_S
    typist.edit(0, 30, "")
    assert typist.counts.summary(3 * KEPT_AFTER_S)["keptShare"] == 15 / 20


places = st.integers(0, 30)


@given(st.lists(st.tuples(places, places, st.text("ab", max_size=4)), max_size=8))
def test_kept_characters_are_those_a_marked_text_keeps(
    edits: list[tuple[int, int, str]],
) -> None:
    kept = RetainedText("u", 8, 12, 0.0)
    marks = [False] * 8 + [True] * 12 + [False] * 10
    for a, b, text in edits:
        start, end = sorted((min(a, len(marks)), min(b, len(marks))))
        kept.follow(Edit(start, end, text))
        marks[start:end] = [False] * len(text)
    assert kept.n_kept == sum(marks)


def test_latencies_are_told_by_language() -> None:
    counts = UsageStatistics()
    for k in range(100):
        counts.answered("python", float(k))
    counts.answered("rust", 7.0)
    found = counts.summary(0.0)["languages"]
    assert found["python"] == {"answers": 100, "p50Ms": 50.0, "p95Ms": 95.0, "p99Ms": 99.0}
    assert found["rust"]["p50Ms"] == 7.0


def test_the_wait_follows_the_typing() -> None:
    fast, slow = TypingCadence(), TypingCadence()
    for k in range(40):
        fast.note(0.08 * k)
        slow.note(1.2 * k)
    last_fast, last_slow = 0.08 * 39, 1.2 * 39
    assert fast.wait_s(0.04, False, last_fast) == pytest.approx(0.04)
    assert slow.wait_s(0.04, False, last_slow) == pytest.approx(0.008)
    assert fast.wait_s(0.04, True, last_fast) == 0.0
    # who asks later has waited already
    assert fast.wait_s(0.04, False, last_fast + 0.03) == pytest.approx(0.01)
    assert fast.wait_s(0.04, False, last_fast + 0.05) == 0.0
    assert TypingCadence().wait_s(0.04, False, 0.0) < 0.04
