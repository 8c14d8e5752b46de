"""Removes from a completion what the line already has behind the cursor.

The engine applies this when it fits a completion. The server applies it again when the editor has added a closing
bracket since.
"""

from __future__ import annotations

CLOSERS = {"(": ")", "[": "]", "{": "}"}
_QUOTES = "\"'"
_MAX_OVERLAP = 1_000  # characters of a completion that the line may have already


def without_rest(completion: str, line: str, rest: str) -> str:
    """A completion that goes between the two parts of a line. Both and the completion have `\\n` as line breaks.

    What `rest` begins with and closing brackets that it has are removed. Before code only one line is left, since a
    block would push that code away.
    """
    if not rest.strip():
        return completion
    first = completion.partition("\n")[0]
    for n in range(min(len(first), len(rest), _MAX_OVERLAP), 0, -1):
        if first.endswith(rest[:n]) and (n == len(rest) or not _is_word(rest[n - 1]) or n > 2):
            first = first[: len(first) - n]
            break
    return _without_extra_closers(first, line, rest)


def _without_extra_closers(first: str, line: str, rest: str) -> str:
    closing = rest.strip()[:1]
    if closing not in (*CLOSERS.values(), *_QUOTES):
        return first
    if closing in _QUOTES:
        return first[:-1] if first.endswith(closing) and first.count(closing) % 2 else first
    opening = next(o for o, c in CLOSERS.items() if c == closing)
    if line.count(opening) - line.count(closing) > rest.count(closing):
        return first
    depth = 0
    for k, character in enumerate(first):
        depth += (character == opening) - (character == closing)
        if depth < 0:
            return first[:k]
    return first


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
