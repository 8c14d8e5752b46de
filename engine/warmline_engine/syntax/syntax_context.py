"""Whether a completion would break the syntax of its document, and the part of it that would not.

An error can be attributed to the completion only if the document is whole with the line at the cursor removed or
replaced, for example where a block below lacks the line that opens it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from .tree import Budget, Syntax

BLOCK_OPENERS = ("if x:", "def x():", "try:")
# lines that a text may lack: any line at all, or one that opens a bracket or block below. None of them closes a
# bracket, since one that is open above may be meant to continue
LINES = ("x", *BLOCK_OPENERS, "x(", "x[", "x([", "def x(", "{")
# the second of two missing lines, inside the block that the first one opens, if the text below is indented deeper
SECOND_LINES = ("if x:", "x(", "x([")
# steps of parsing, as `Budget` counts them: 30 to 50 take a millisecond
LINES_STEPS = 2_500  # for trying all lacking lines
FITTING_STEPS = 12_000  # for finding how many lines of a completion leave the document whole
CLOSERS = {"(": ")", "[": "]", "{": "}"}
OPENERS = (":", *CLOSERS)
BRACKETS = re.compile("[" + re.escape("".join(CLOSERS)) + "]")


@dataclass(frozen=True, eq=False)
class SyntaxContext:
    """A place in a document where a completion goes, behind virtual text."""

    _syntax: Syntax
    _cursor: int
    _virtual_text: str = ""

    @property
    def is_decidable(self) -> bool:
        """Whether an error can be attributed to a completion here."""
        return self._missing_opener is not None

    def fits(self, completion: str) -> bool:
        """Whether the document is whole with a completion.

        Text that the rest of the line repeats counts once. A bracket at the end may be closed by text still to come.
        """
        if self._is_whole(completion):
            return True
        if completion.rstrip().endswith(tuple(CLOSERS)):
            return self._is_whole(_closed(completion))
        n_again = _overlap(completion, self._syntax.rest_of_line(self._cursor))
        return n_again > 0 and self._is_whole(completion[:-n_again])

    def fitting(self, completion: str) -> str:
        """The most lines of a completion that leave the document whole; empty if none do.

        All of it where errors cannot be attributed. Of several lines the last one opens no block without a body. Where
        the text below closes a bracket that nothing opens, the completion ends behind one that opens it.
        Cost: one incremental parse if it fits, as most do: half a millisecond in 100,000 characters.
        """
        while "\n" in completion.rstrip() and self._opens_nothing(completion):
            completion = completion.rstrip().rpartition("\n")[0]
        if self.fits(completion) or not self.is_decidable:
            return completion
        lines, budget = completion.split("\n"), Budget(FITTING_STEPS)
        for n_lines in range(len(lines) - 1, 0, -1):
            beginning = "\n".join(lines[:n_lines]).rstrip()
            if not beginning or budget.is_spent:
                break
            if self._is_whole(beginning, budget) and not (
                n_lines > 1 and self._opens_nothing(beginning)
            ):
                return beginning
        return self._up_to_bracket(completion)

    def before_opener(self, completion: str) -> str | None:
        """The most lines of a completion behind which a line that opens a block makes the document whole.

        They end where that line begins. None if no such line helps or the language does not indent blocks.
        """
        lacking = self._missing_opener or ""
        if ":" not in lacking or not self._syntax.is_indented or self._line.strip():
            return None
        lines, budget = completion.split("\n"), Budget(LINES_STEPS)
        for n_lines in range(len(lines), -1, -1):
            if budget.is_spent:
                break
            beginning = "\n".join(lines[:n_lines]).rstrip()
            for column in self._columns(beginning):
                prefix = f"{beginning}\n{column}" if beginning else ""
                tried = [lacking] if column == self._line else self._block_openers(column)
                if any(self._is_whole(prefix + opener, budget) for opener in tried):
                    return prefix
        return None

    # ---- lacking lines

    @cached_property
    def _missing_opener(self) -> str | None:
        """A line, maybe empty, that makes the document whole in place of the line at the cursor.

        None where no such line is known, or finding one takes too many steps.
        """
        text, rest = self._syntax.text, self._syntax.rest_of_line(self._cursor)
        start, end = text.rfind("\n", 0, self._cursor) + 1, self._cursor + len(rest)
        if self._syntax.is_whole(start, end, ""):
            return ""
        line = text[start:end]
        start, budget = start + _indent_of(line), Budget(LINES_STEPS)
        tried = [*LINES, *self._nested(line[: _indent_of(line)])]
        for other in tried:
            if budget.is_spent:
                break
            if self._syntax.is_whole(start, end, other, budget):
                return other
        return None

    def _nested(self, indent: str) -> list[str]:
        """Pairs of a line at an indentation and one in the block that it opens; none if the text below is less deep."""
        deeper = self._inside(indent)
        if not deeper:
            return []
        return [f"{first}\n{deeper}{other}" for first in BLOCK_OPENERS for other in SECOND_LINES]

    def _block_openers(self, indent: str) -> list[str]:
        """Lines at an indentation that may open the block below."""
        return [*BLOCK_OPENERS, *self._nested(indent)] if self._inside(indent) else []

    def _inside(self, indent: str) -> str:
        """An indentation halfway between this one and that of the text below; empty if that is not deeper."""
        below = self._syntax.line_below(self._cursor)
        inside = (_indent_of(below) - len(indent)) // 2
        return below[: len(indent) + inside] if self._syntax.is_indented and inside > 0 else ""

    @property
    def _line(self) -> str:
        """The part of the cursor's line before it."""
        text = self._syntax.text[: self._cursor] + self._virtual_text
        return text[text.rfind("\n") + 1 :]

    def _columns(self, beginning: str) -> list[str]:
        """Indentations of a next line: the cursor's, that of the last line, or inside the block which that opens."""
        if not beginning:
            return [self._line]
        last = (self._line + beginning).rpartition("\n")[2]
        indent = last[: _indent_of(last)]
        if last.endswith(":"):
            return [inside] if (inside := self._inside(indent)) else []
        return [indent] if indent == self._line else [indent, self._line]

    # ---- completions

    def _is_whole(self, completion: str, budget: Budget | None = None) -> bool:
        return self._syntax.is_whole(
            self._cursor, self._cursor, self._virtual_text + completion, budget
        )

    def _up_to_bracket(self, completion: str) -> str:
        """The longest part that ends with the bracket that the text below lacks; empty if there is none."""
        if not (self._missing_opener or "").endswith(tuple(CLOSERS)):
            return ""
        ends = [match.end() for match in BRACKETS.finditer(completion)]
        budget = Budget(LINES_STEPS)
        for end in reversed(ends):
            if budget.is_spent:
                break
            if self._is_whole(completion[:end], budget):
                return completion[:end]
        return ""

    def _opens_nothing(self, completion: str) -> bool:
        """Whether the last line opens a block or a bracket and the text below is not inside."""
        last = completion.rstrip().rpartition("\n")[2]
        if not last.endswith(OPENERS):
            return False
        following = self._syntax.line_below(self._cursor)
        return _indent_of(following) <= _indent_of(last)


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip())


def _closed(text: str) -> str:
    """The text with all the brackets closed that it opens."""
    open_ones: list[str] = []
    for character in text:
        if character in CLOSERS:
            open_ones.append(CLOSERS[character])
        elif open_ones and character == open_ones[-1]:
            open_ones.pop()
    return text.rstrip() + "".join(reversed(open_ones))


def _overlap(text: str, rest: str) -> int:
    """How many characters a text ends with that the rest begins with."""
    longest = min(len(text), len(rest))
    return next((n for n in range(longest, 0, -1) if text.endswith(rest[:n])), 0)
