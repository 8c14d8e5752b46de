"""Content changes of a `didChange` notification, applied to a list of lines.

Ranges are read as in Microsoft's vscode-languageserver-textdocument: ends in the wrong order are swapped, a character
past the end of its line is the line's end, and a line past the last one is the text's end.
"""

from __future__ import annotations

from collections.abc import Sequence

from lsprotocol import types

from .text_units import Encoding, cut_line, pair_surrogates, split_lines


def is_whole(change: types.TextDocumentContentChangeEvent) -> bool:
    """Whether a change replaces the whole text."""
    return isinstance(change, types.TextDocumentContentChangeWholeDocument)


def ordered(span: types.Range) -> tuple[types.Position, types.Position]:
    """The two ends of a range, the first one first."""
    start, end = span.start, span.end
    is_reversed = (end.line, end.character) < (start.line, start.character)
    return (end, start) if is_reversed else (start, end)


def apply_changes(
    text: str, changes: Sequence[types.TextDocumentContentChangeEvent], encoding: Encoding
) -> str:
    """The client's text after changes, in their order. It may contain halves of surrogate pairs.

    Raises: DocumentSyncError if a position lies inside a UTF-8 character.
    Cost: one pass over the text, and for each change a shift of the list of lines.
    """
    lines = split_lines(text)
    for change in changes:
        if isinstance(change, types.TextDocumentContentChangeWholeDocument):
            lines = split_lines(change.text)
        else:
            _apply(lines, change, encoding)
    return "".join(lines)


def _apply(
    lines: list[str], change: types.TextDocumentContentChangePartial, encoding: Encoding
) -> None:
    start, end = ordered(change.range)
    first, head, _ = _cut(lines, start, encoding)
    last, _, tail = _cut(lines, end, encoding)
    text, stop = head + change.text + tail, last + 1
    # the change may create or break a \r\n together with a neighbouring line
    if first > 0 and text.startswith("\n") and lines[first - 1].endswith("\r"):
        first -= 1
        text = lines[first] + text
    if stop < len(lines) and text.endswith("\r") and lines[stop].startswith("\n"):
        text += lines[stop]
        stop += 1
    pieces = split_lines(pair_surrogates(text))
    if stop < len(lines):
        pieces.pop()  # the text ends with a break, and the lines below follow
    lines[first:stop] = pieces


def _cut(
    lines: Sequence[str], position: types.Position, encoding: Encoding
) -> tuple[int, str, str]:
    """The line of a position, and its parts before and after the position."""
    if len(lines) <= position.line:
        return len(lines) - 1, lines[-1], ""
    return position.line, *cut_line(lines[position.line], position.character, encoding)
