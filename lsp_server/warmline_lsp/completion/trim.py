"""Makes a completion fit its surroundings: what is there already is not offered again."""

from __future__ import annotations

import re

from warmline_lsp.documents.line_ends import fitted, with_newlines

from . import syntax

_CLOSES = {"(": ")", "[": "]", "{": "}"}
_QUOTES = "\"'"
# a comment behind code; possessive, and from the first space on, so that no space is read twice
_COMMENT = re.compile(r"(?<!\s)\s++(?:#|//|--)")
_OPENS = re.compile(r"(?:[:{(\[=\\]|[=-]>|\b(?:do|then|else|begin))$")
_NOT_BLANK = re.compile(r"\S")
_MAX_LOOKED_BACK = 4_000  # characters, for the line above
_MAX_OVERLAP = 1_000  # characters of a completion that the line may have already
MIN_REPEAT = 3  # characters of a following line that count as the same line


def trim(language: str, text: str, offset: int, completion: str, max_lines: int) -> str:
    """The part of a completion worth offering at an offset, empty where there is none."""
    before, after = with_newlines(text[:offset]), with_newlines(text[offset:])
    line = before[before.rfind("\n") + 1 :]
    rest, _, below = after.partition("\n")
    completion = with_newlines(completion)
    if not line.strip():
        completion = _without_own_indent(language, before, line, completion)
    completion = _fitting_rest(completion, line, rest)
    completion = _without_following_lines(completion, below)
    completion = "\n".join(completion.split("\n")[:max_lines])
    # last, so that what is offered is what was parsed
    completion = _whole_statements(language, before, completion, after)
    if not rest.strip():
        completion = completion.rstrip()
    return fitted(completion, text, offset) if completion.strip() else ""


def _without_own_indent(language: str, before: str, indent: str, completion: str) -> str:
    """At a line's start the model may repeat the indentation that stands there, or rightly add to it."""
    stripped = completion.lstrip(" \t")
    added = completion[: len(completion) - len(stripped)]
    if not indent or not added or completion.startswith("\n"):
        return completion
    if _is_rightly_deeper(before, indent, added, stripped):
        return completion
    is_worse = syntax.breaks(language, before, stripped)
    is_worse = is_worse and not syntax.breaks(language, before, completion)
    return completion if is_worse else stripped


def _is_rightly_deeper(before: str, indent: str, added: str, stripped: str) -> bool:
    """Whether a line at `indent` belongs as deep as `added` puts it, by the lines around it."""
    own, deep = _width(indent), _width(indent + added)
    first, _, more = stripped.partition("\n")
    following = next((line for line in more.split("\n") if line.strip()), None)
    if following is not None and not _opens(first) and _width(following) == deep:
        return True
    above = before[-_MAX_LOOKED_BACK:].rstrip().rpartition("\n")[2]
    if not above:
        return False
    if _opens(above):
        return own <= _width(above) < deep
    return own < _width(above) and deep <= _width(above)


def _width(line: str) -> int:
    """How far a line is indented."""
    line = line.expandtabs(4)
    return len(line) - len(line.lstrip(" "))


def _opens(line: str) -> bool:
    """Whether a deeper block follows a line."""
    line = line[-_MAX_LOOKED_BACK:]
    comment = _COMMENT.search(line)
    code = line[: comment.start()] if comment else line
    return _OPENS.search(code.rstrip()) is not None


def _fitting_rest(completion: str, line: str, rest: str) -> str:
    """Cuts what the rest of the line says already, and closing brackets it already has."""
    if not rest.strip():
        return completion
    first, newline, more = completion.partition("\n")
    if newline and more.strip():
        # a block in the middle of a line would push the rest of the line away
        more = ""
    for n in range(min(len(first), len(rest), _MAX_OVERLAP), 0, -1):
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
    if line.count(opening) - line.count(closing) > rest.count(closing):
        return first
    depth = 0
    for k, character in enumerate(first):
        depth += (character == opening) - (character == closing)
        if depth < 0:
            return first[:k]
    return first


def _without_following_lines(completion: str, below: str) -> str:
    """Ends before the first line that equals the next line of the text."""
    begin = _NOT_BLANK.search(below)
    if begin is None:
        return completion
    start, end = below.rfind("\n", 0, begin.start()) + 1, below.find("\n", begin.start())
    following = below[start : end if end >= 0 else len(below)].rstrip()
    is_closers = not following.strip(" \t)]},;:")  # a bracket closed twice is broken, however short
    if len(following.strip()) < MIN_REPEAT and not is_closers:
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
