"""Makes a completion fit its surroundings: what is there already is not offered again."""

from __future__ import annotations

from . import syntax

_CLOSES = {"(": ")", "[": "]", "{": "}"}
_QUOTES = "\"'"
LEAST_REPEAT = 3  # characters of a following line that count as the same line


def trim(language: str, text: str, offset: int, completion: str, max_lines: int) -> str:
    """The part of a completion worth offering at an offset, empty where there is none."""
    before, after = text[:offset], text[offset:]
    line = before[_line_start(before) :]
    rest, _, below = after.partition("\n")
    completion = completion.replace("\r\n", "\n").replace("\r", "\n")
    if not line.strip():
        completion = _without_own_indent(completion, line)
    completion = _fitting_rest(completion, line, rest.rstrip("\r"))
    completion = _without_following_lines(completion, below)
    completion = _whole_statements(language, before, completion, after)
    lines = completion.split("\n")
    completion = "\n".join(lines[:max_lines])
    if not rest.strip():
        completion = completion.rstrip()
    if not completion.strip():
        return ""
    return completion.replace("\n", "\r\n") if "\r\n" in text else completion


def _line_start(text: str) -> int:
    return text.rfind("\n") + 1


def _without_own_indent(completion: str, indent: str) -> str:
    """At a line's start the model may repeat the indentation that stands there."""
    stripped = completion.lstrip(" \t")
    if indent and completion != stripped and not completion.startswith("\n"):
        return stripped
    return completion


def _fitting_rest(completion: str, line: str, rest: str) -> str:
    """Cuts what the rest of the line says already, and closing brackets it already has."""
    if not rest.strip():
        return completion
    first, newline, more = completion.partition("\n")
    if newline and more.strip():
        # a block in the middle of a line would push the rest of the line away
        more = ""
    for n in range(min(len(first), len(rest)), 0, -1):
        if first.endswith(rest[:n]) and (n == len(rest) or not _is_word(rest[n - 1]) or n > 2):
            first = first[: len(first) - n]
            break
    return _without_extra_closers(first, line, rest)


def _without_extra_closers(first: str, line: str, rest: str) -> str:
    closing = rest.strip()[:1]
    if closing not in (*_CLOSES.values(), *_QUOTES):
        return first
    if closing in _QUOTES:
        return first[:-1] if first.endswith(closing) and first.count(closing) % 2 else first
    opening = next(o for o, c in _CLOSES.items() if c == closing)
    depth = 0
    for k, character in enumerate(first):
        depth += (character == opening) - (character == closing)
        if depth < 0 and line.count(opening) - line.count(closing) <= rest.count(closing):
            return first[:k]
    return first


def _without_following_lines(completion: str, below: str) -> str:
    """Ends before the first line that equals the next line of the text."""
    following = next((line.rstrip() for line in below.split("\n") if line.strip()), None)
    if following is None:
        return completion
    is_closers = not following.strip(" \t)]},;:")  # a bracket closed twice is broken, however short
    if len(following.strip()) < LEAST_REPEAT and not is_closers:
        return completion
    lines = completion.split("\n")
    for number, line in enumerate(lines):
        same = line.rstrip() == following or (number == 0 and line.strip() == following.strip())
        if same:
            return "\n".join(lines[:number])
    return completion


def _whole_statements(language: str, before: str, completion: str, after: str) -> str:
    """Ends a block of several lines with its last whole statement, or one that the text below goes on with."""
    if "\n" not in completion.strip("\n") or after.partition("\n")[0].strip():
        return completion
    lines = completion.rstrip().split("\n")
    n_whole = syntax.whole_lines(language, before, lines)
    if lines[-1].endswith(tuple(_CLOSES)) and n_whole < len(lines):
        text = before + completion.rstrip() + after
        n_whole = len(lines) if syntax.is_whole(language, text) else n_whole
    return "\n".join(lines[:n_whole])


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
