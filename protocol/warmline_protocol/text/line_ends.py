"""The line break for a completion: that of its line, or else the most frequent one."""

from __future__ import annotations


def with_newlines(text: str) -> str:
    """The text with all its line breaks as `\\n`."""
    if "\r" not in text:
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n")


def break_at(text: str, offset: int) -> str:
    """The line break that ends the line of an offset; in a last line the text's usual one."""
    end = text.find("\n", offset)
    carriage = text.find("\r", offset, len(text) if end < 0 else end)
    if carriage >= 0:
        return "\r\n" if text.startswith("\n", carriage + 1) else "\r"
    return "\n" if end >= 0 else usual_break(text)


def usual_break(text: str) -> str:
    """The most frequent line break of a text; `\\n` if several are equally frequent."""
    n_crlf = text.count("\r\n")
    counts = {"\n": text.count("\n") - n_crlf, "\r\n": n_crlf, "\r": text.count("\r") - n_crlf}
    return max(counts, key=lambda end: counts[end])


def with_breaks_of(text: str, offset: int, completion: str) -> str:
    """A completion with the line breaks that belong at an offset of a text."""
    completion = with_newlines(completion)
    if "\n" not in completion or "\r" not in text:
        return completion
    return completion.replace("\n", break_at(text, offset))
