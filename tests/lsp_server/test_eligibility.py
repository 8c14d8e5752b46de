"""Why a document is not completed: one reason at a time, and which one comes first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from warmline_lsp.documents.documents import Document
from warmline_lsp.lsp.eligibility import Refusal, refusal
from warmline_lsp.settings.settings import Settings

URI, ROOT = "file:///project/a.py", "/project"


def document(text: str = "x = 1\n", language: str = "python") -> Document:
    return Document.open(URI, language, 1, text, "utf-16")


@pytest.mark.parametrize(
    ("settings", "language", "languages", "expected"),
    [
        ({}, "python", None, None),
        ({}, "python", ("python",), None),
        ({}, "python", (), None),
        ({}, "markdown", None, None),  # no model yet
        ({}, "markdown", ("python",), Refusal.UNKNOWN_LANGUAGE),
        ({}, "markdown", (), Refusal.UNKNOWN_LANGUAGE),
        ({"languages": {"markdown": True}}, "markdown", ("python",), None),
        ({"languages": {"python": False}}, "python", None, Refusal.OFF_FOR_LANGUAGE),
        ({"enable": False}, "python", None, Refusal.OFF),
        ({"disabled_globs": ("a.py",)}, "python", None, Refusal.OFF_FOR_FILE),
        ({"excluded_globs": ("a.py",)}, "python", None, Refusal.EXCLUDED),
        ({"excluded_globs": ("a.py",), "disabled_globs": ("a.py",)}, "python", None, Refusal.EXCLUDED),
        ({"excluded_globs": ("a.py",), "enable": False}, "python", None, Refusal.OFF),
    ],
)  # fmt: skip
def test_the_reason(
    settings: dict[str, Any],
    language: str,
    languages: tuple[str, ...] | None,
    expected: Refusal | None,
) -> None:
    made = replace(Settings(), **settings)
    assert refusal(document(language=language), made, ROOT, languages) is expected


def test_nothing_is_served_before_its_settings_are_known() -> None:
    assert refusal(document(), None, ROOT, None) is Refusal.NO_SETTINGS_YET


def test_texts_that_cannot_be_served() -> None:
    lost = document().out_of_sync(2)
    assert refusal(lost, Settings(), ROOT, None) is Refusal.OUT_OF_SYNC
    assert refusal(document("\0" * 30 + "a" * 100), Settings(), ROOT, None) is Refusal.BINARY
    assert refusal(document("\0" + "a" * 30), Settings(), ROOT, None) is None


def test_each_reason_has_a_state_and_words_of_its_own() -> None:
    assert len({(each.state, each.message) for each in Refusal}) == len(Refusal)
    assert len({each.message for each in Refusal}) == len(Refusal.__members__) == 10
    assert all(each.state and each.message for each in Refusal)
