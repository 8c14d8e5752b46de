"""The text of a document: characters, cursor, syntax tree and deleted text."""

from __future__ import annotations

from dataclasses import dataclass

from warmline_engine.decoding.ngram.suffix_match import BORDER
from warmline_engine.errors import OutOfSync
from warmline_engine.syntax.syntax_context import SyntaxContext
from warmline_engine.syntax.tree import Syntax
from warmline_engine.text.tokenizer import Tokenizer

from .deleted_text import DeletedText


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The text around a completion. `syntax` is None for a language without grammar.

    `deleted_ids` are the tokens of deleted text, with a BORDER before each piece.
    """

    before: str
    after: str
    syntax: SyntaxContext | None
    deleted_ids: list[int]


class DocumentText:
    """A document's text at its latest version."""

    def __init__(self, tokenizer: Tokenizer, text: str, cursor: int, language: str) -> None:
        self.text = _without_surrogates(text)
        self.cursor = min(cursor, len(self.text))
        self.syntax = Syntax.of(language, self.text)
        self._tokenizer = tokenizer
        self.deleted = DeletedText()
        # the pieces of deleted text that were tokenized last, and their tokens
        self._tokenized: tuple[list[str], list[int]] = [], []

    def checked(self, edits: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
        """Edits that fit one after the other, without unpaired surrogates.

        Raises: OutOfSync, when one lies outside the text that the edits before it leave.
        """
        n_characters = len(self.text)
        for start, end, replacement in edits:
            if not 0 <= start <= end <= n_characters:
                raise OutOfSync(
                    f"an edit of [{start}, {end}) in a text of {n_characters} characters"
                )
            n_characters += len(replacement) - (end - start)
        return [(start, end, _without_surrogates(text)) for start, end, text in edits]

    def edit(self, start: int, end: int, replacement: str) -> None:
        """Applies a checked edit and puts the cursor behind it."""
        self.deleted.note(self.text, start, end)
        self.text = self.text[:start] + replacement + self.text[end:]
        if self.syntax:
            self.syntax.edit(start, end, replacement, self.text)
        self.cursor = start + len(replacement)

    def move_cursor(self, offset: int) -> None:
        """Puts the cursor at an offset.

        Raises: OutOfSync, when it lies outside the text.
        """
        if not 0 <= offset <= len(self.text):
            raise OutOfSync(f"a cursor at {offset} in a text of {len(self.text)} characters")
        self.cursor = offset

    def surroundings(self, virtual_text: str) -> Surroundings:
        """The text around a completion that follows the assumed text at the cursor."""
        return Surroundings(
            self.text[: self.cursor] + virtual_text,
            self.text[self.cursor :],
            SyntaxContext(self.syntax, self.cursor, virtual_text) if self.syntax else None,
            self._deleted_ids(),
        )

    def _deleted_ids(self) -> list[int]:
        texts = self.deleted.texts()
        if texts != self._tokenized[0]:
            found = list[int]()
            for text in texts:
                found += [BORDER, *self._tokenizer.encode(text).ids]
            self._tokenized = texts, found
        return self._tokenized[1]


def _without_surrogates(text: str) -> str:
    """Unpaired surrogates become U+FFFD, one for one, because no tokenizer accepts them."""
    if text.isascii():
        return text
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
