"""An editor's request for a completion at a place in one version of a document."""

from __future__ import annotations

from dataclasses import dataclass

from warmline_lsp.documents.difference import common_prefix
from warmline_lsp.documents.documents import Document
from warmline_lsp.settings.settings import Settings


@dataclass(frozen=True)
class Selected:
    """The selected entry of the editor's own list, which would replace [start, end)."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class SuggestionQuery:
    """A request for completions of one version of a document."""

    document: Document
    offset: int
    settings: Settings
    is_automatic: bool = True
    selected: Selected | None = None

    @property
    def line_before(self) -> str:
        """The part of the line before the cursor."""
        line = self.document.position_at(self.offset).line
        return self.document.text[self.document.line_starts[line] : self.offset]

    @property
    def entry_start(self) -> int:
        """The start of the text that the editor replaces."""
        return self.offset if self.selected is None else self.selected.start


@dataclass(frozen=True)
class Target:
    """The place of a completion: behind `virtual_text`, which replaces [offset, offset + n_replaced)."""

    offset: int
    virtual_text: str = ""
    n_replaced: int = 0


def target_of(query: SuggestionQuery) -> Target | None:
    """The target of a query; None if the selected entry contradicts the text typed so far."""
    entry, text = query.selected, query.document.text
    if entry is None:
        return Target(query.offset)
    if not entry.start <= query.offset <= entry.end:
        return None
    typed = text[entry.start : query.offset]
    if not entry.text.casefold().startswith(typed.casefold()):
        return None
    # text that stays the same is left out of the virtual text, since the engine has it cached
    n_same = common_prefix(typed, entry.text)
    behind = text[query.offset : entry.end]
    offset = entry.start + n_same
    if n_same == len(typed) and entry.text[n_same:] == behind:
        # only the cursor moves
        return Target(entry.end) if behind else Target(query.offset)
    return Target(offset, entry.text[n_same:], entry.end - offset)
