"""Units of LSP's position encodings, line breaks and surrogates. No other module counts anything but code points."""

from __future__ import annotations

import re
from typing import Literal

from warmline_lsp.errors import DocumentSyncError

Encoding = Literal["utf-8", "utf-16", "utf-32"]

# the line breaks of LSP; str.splitlines knows more
_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def units(text: str, encoding: Encoding) -> int:
    """The length of a text in units of an encoding."""
    if text.isascii() or encoding == "utf-32":
        return len(text)
    if encoding == "utf-16":
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return len(text.encode("utf-8", "surrogatepass"))


def code_points(text: str, n_units: int, encoding: Encoding) -> int:
    """The number of whole characters in the first `n_units` units of a text."""
    if text.isascii() or encoding == "utf-32":
        return min(n_units, len(text))
    codec, width = ("utf-8", 1) if encoding == "utf-8" else ("utf-16-le", 2)
    # a character has at least one unit; half a character at the end is left out
    units_of_text = text[:n_units].encode(codec, "surrogatepass")[: n_units * width]
    return len(units_of_text.decode(codec, "ignore"))


def cut_line(line: str, character: int, encoding: Encoding) -> tuple[str, str]:
    """The parts of a line before and after a character, which is at most the line's length.

    A surrogate pair may be cut into its halves.
    Raises: DocumentSyncError if UTF-8 would be cut inside a character.
    """
    body = line.rstrip("\r\n")
    if body.isascii() or encoding == "utf-32":
        n = min(character, len(body))
        return line[:n], line[n:]
    codec, width = ("utf-8", 1) if encoding == "utf-8" else ("utf-16-le", 2)
    coded, n_bytes = body.encode(codec, "surrogatepass"), character * width
    try:
        head = coded[:n_bytes].decode(codec, "surrogatepass")
        tail = coded[n_bytes:].decode(codec, "surrogatepass")
    except UnicodeDecodeError:
        raise DocumentSyncError("a position inside a character") from None
    return head, tail + line[len(body) :]


def line_breaks(text: str, offset: int = 0) -> list[int]:
    """The end of each line break in a text that starts at `offset`."""
    return [offset + match.end() for match in _LINE_BREAK.finditer(text)]


def split_lines(text: str) -> list[str]:
    """The lines with their breaks. The last line has no break and may be empty."""
    starts = (0, *line_breaks(text))
    return [text[a:b] for a, b in zip(starts, (*starts[1:], len(text)), strict=True)]


def clean(text: str) -> str:
    """The text with each unpaired surrogate replaced by U+FFFD; its length stays the same."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def pair_surrogates(text: str) -> str:
    """The text with adjacent halves of a surrogate pair combined into one character."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
