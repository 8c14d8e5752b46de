"""Makes a completion fit its place: nothing is suggested that the document already has.

This is the last step of a completion. Decoding has checked the syntax of the generated text; if that was whole, the
fitted text is whole too, or empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from warmline_engine.syntax import statements
from warmline_engine.syntax.syntax_context import SyntaxContext
from warmline_engine.syntax.tree import Syntax
from warmline_protocol.text.line_ends import with_breaks_of, with_newlines
from warmline_protocol.text.rest_of_line import CLOSERS, without_rest

# a comment behind code; possessive, and from the first space on, so that no space is read twice
_COMMENT = re.compile(r"(?<!\s)\s++(?:#|//|--)")
_OPENS = re.compile(r"(?:[:{(\[=\\]|[=-]>|\b(?:do|then|else|begin))$")
_NOT_BLANK = re.compile(r"\S")
_MAX_LOOKED_BACK = 4_000  # characters, for the line above
MIN_REPEAT = 3  # characters of a following line that count as the same line


@dataclass(frozen=True)
class Target:
    """The place of a completion: behind `virtual_text`, which is assumed at an offset of a document."""

    text: str
    offset: int
    virtual_text: str = ""
    syntax: Syntax | None = None  # of `text`; None for a language without grammar

    @cached_property
    def before(self) -> str:
        return with_newlines(self.text[: self.offset] + self.virtual_text)

    @cached_property
    def after(self) -> str:
        return with_newlines(self.text[self.offset :])

    @cached_property
    def line(self) -> str:
        """The part of the line before the cursor."""
        return self.before[self.before.rfind("\n") + 1 :]

    @cached_property
    def rest(self) -> str:
        """The part of the line behind the cursor."""
        return self.after.partition("\n")[0]

    @cached_property
    def following_line(self) -> str | None:
        """The first line below that is not blank."""
        below = self.after[len(self.rest) + 1 :]
        begin = _NOT_BLANK.search(below)
        if begin is None:
            return None
        start, end = below.rfind("\n", 0, begin.start()) + 1, below.find("\n", begin.start())
        return below[start : end if end >= 0 else len(below)].rstrip()


def fit(target: Target, completion: str, max_lines: int) -> str:
    """The part of a completion worth suggesting, with the line breaks of the document; empty where there is none."""
    generated = completion = with_newlines(completion)
    if not target.line.strip():
        completion = _without_own_indent(target, completion)
    completion = without_rest(completion, target.line, target.rest)
    completion = _without_following_lines(target.following_line, completion)
    completion = "\n".join(completion.split("\n")[:max_lines])
    completion = _whole_statements(target, completion)
    if not target.rest.strip():
        completion = completion.rstrip()
    completion = _still_whole(target, generated, completion)
    if not completion.strip():
        return ""
    return with_breaks_of(target.text, target.offset, completion)


def _without_own_indent(target: Target, completion: str) -> str:
    """At a line's start the model may repeat the indentation that is there, or rightly add to it."""
    indent = target.line
    stripped = completion.lstrip(" \t")
    added = completion[: len(completion) - len(stripped)]
    if not indent or not added or completion.startswith("\n"):
        return completion
    if _is_rightly_deeper(target.before, indent, added, stripped):
        return completion
    is_worse = statements.breaks(target.syntax, target.before, stripped)
    is_worse = is_worse and not statements.breaks(target.syntax, target.before, completion)
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


def _without_following_lines(following: str | None, completion: str) -> str:
    """Ends before the first line that equals the next line of the document."""
    if following is None:
        return completion
    is_closers = not following.strip(" \t)]},;:")  # a bracket closed twice is broken, however short
    if len(following.strip()) < MIN_REPEAT and not is_closers:
        return completion
    lines = completion.split("\n")
    for number, line in enumerate(lines):
        same = line.rstrip() == following or (number == 0 and line.strip() == following.strip())
        if same:
            return "\n".join(lines[:number])
    return completion


def _whole_statements(target: Target, completion: str) -> str:
    """Ends several lines with the last whole statement, or with one that the text below continues."""
    if "\n" not in completion.strip("\n") or target.rest.strip():
        return completion
    completion = completion.rstrip()
    lines = completion.split("\n")
    n_whole = statements.whole_lines(target.syntax, target.before, lines)
    if lines[-1].endswith(tuple(CLOSERS)) and n_whole < len(lines) and target.syntax is not None:
        added = target.virtual_text + completion
        n_whole = (
            len(lines) if target.syntax.parses(target.offset, target.offset, added) else n_whole
        )
    return "\n".join(lines[:n_whole])


def _still_whole(target: Target, generated: str, completion: str) -> str:
    """As much of a fitted completion as leaves the document whole, if the generated text did.

    A text that was broken before is left alone: the request accepts broken ones.
    """
    if target.syntax is None or not completion.strip() or completion == generated:
        return completion
    context = SyntaxContext(target.syntax, target.offset, target.virtual_text)
    if context.fits(completion) or not context.fits(generated):
        return completion
    part = context.fitting(completion)
    return part if context.fits(part) else ""
