"""Which removed text is kept."""

from __future__ import annotations

from warmline_engine.session.deleted_text import MAX_CHARACTERS, MIN_CHARACTERS, N_KEPT, DeletedText


def test_what_is_deleted_is_kept_with_what_stood_before_it() -> None:
    removed = DeletedText()
    removed.note("total = first + second\n", 8, 22)
    assert removed.texts() == ["total = first + second"]


def test_backspaces_are_one_piece() -> None:
    removed, text = DeletedText(), "x = compute(1, 2)"
    for end in range(len(text), 4, -1):
        removed.note(text[:end], end - 1, end)
    assert removed.texts() == [text]


def test_little_and_much_are_not_kept_and_of_many_the_newest() -> None:
    removed = DeletedText()
    removed.note("abc", 0, MIN_CHARACTERS - 1)
    removed.note("y" * (MAX_CHARACTERS + 1), 0, MAX_CHARACTERS + 1)
    removed.note("insertion", 4, 4)
    assert removed.texts() == []
    for k in range(N_KEPT + 3):
        removed.note(f"line number {k:02}", 0, 14)
    assert [text[-2:] for text in removed.texts()] == [f"{k:02}" for k in range(3, N_KEPT + 3)]
