"""Whether a completion would break the syntax of its document, and as much of it as would not.

Only a text tells that is whole without the line at the cursor, or with another one there, as where a block below lacks
the line that opens it: elsewhere nobody knows what the completion broke.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from .tree import Budget, Syntax

BLOCK_OPENERS = ("if x:", "def x():", "try:")
# lines that a text may lack: one that opens what is closed or indented below, or any at all. None that closes, since
# what is open above may be meant to go on
LINES = ("x", *BLOCK_OPENERS, "x(", "x[", "x([", "def x(", "{")
# where what stands below is indented deeper: what stands in a block that is opened
SECOND_LINES = ("if x:", "x(", "x([")
# steps of parsing, as `Budget` counts them: some 30 to 50 take a millisecond
LINES_STEPS = 2_500  # for trying them all
FITTING_STEPS = 12_000  # for finding how many lines of a completion leave its text whole
CLOSERS = {"(": ")", "[": "]", "{": "}"}
OPENERS = (":", *CLOSERS)
BRACKETS = re.compile("[" + re.escape("".join(CLOSERS)) + "]")


@dataclass(frozen=True, eq=False)
class SyntaxContext:
    """A place in a document where something may be put, behind what is assumed to stand there."""

    _syntax: Syntax
    _cursor: int
    _virtual_text: str = ""

    @property
    def tells(self) -> bool:
        """Whether an error can be the fault of what is put here."""
        return self._missing_opener is not None

    def fits(self, offered: str) -> bool:
        """Whether the text is whole with it.

        What the rest of the line says already is not put there twice; a bracket that ends a line may be closed below.
        """
        if self._is_whole(offered):
            return True
        if offered.rstrip().endswith(tuple(CLOSERS)):
            return self._is_whole(_closed(offered))
        n_again = _overlap(offered, self._syntax.rest_of_line(self._cursor))
        return n_again > 0 and self._is_whole(offered[:-n_again])

    def fitting(self, offered: str) -> str:
        """All of it, also where nothing can be told, or as many lines as leave the text whole; empty for none.

        Of several lines the last does not open what nobody has written. Where a bracket is closed below that nothing
        opens, it ends behind one that does.
        Cost: a parse in part where it fits, as most do: half a millisecond in 100,000 characters.
        """
        while "\n" in offered.rstrip() and self._opens_nothing(offered):
            offered = offered.rstrip().rpartition("\n")[0]
        if self.fits(offered) or not self.tells:
            return offered
        lines, budget = offered.split("\n"), Budget(FITTING_STEPS)
        for n_lines in range(len(lines) - 1, 0, -1):
            beginning = "\n".join(lines[:n_lines]).rstrip()
            if not beginning or budget.is_spent:
                break
            if self._is_whole(beginning, budget) and not (
                n_lines > 1 and self._opens_nothing(beginning)
            ):
                return beginning
        return self._up_to_bracket(offered)

    def before_opener(self, offered: str) -> str | None:
        """As many lines as leave the text whole once a line that opens a block follows, up to where that one begins.

        None where no such line helps, or a language opens blocks in another way.
        """
        lacking = self._missing_opener or ""
        if ":" not in lacking or not self._syntax.is_indented or self._line.strip():
            return None
        lines, budget = offered.split("\n"), Budget(LINES_STEPS)
        for n_lines in range(len(lines), -1, -1):
            if budget.is_spent:
                break
            beginning = "\n".join(lines[:n_lines]).rstrip()
            for column in self._columns(beginning):
                begun = f"{beginning}\n{column}" if beginning else ""
                tried = [lacking] if column == self._line else self._block_openers(column)
                if any(self._is_whole(begun + opener, budget) for opener in tried):
                    return begun
        return None

    # ---- what is lacking

    @cached_property
    def _missing_opener(self) -> str | None:
        """What the line at the cursor could say for the text to have no error, nothing at all included.

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
        """Two lines that begin at an indentation, the second in what the first opens; none where nothing is so deep."""
        deeper = self._inside(indent)
        if not deeper:
            return []
        return [f"{first}\n{deeper}{other}" for first in BLOCK_OPENERS for other in SECOND_LINES]

    def _block_openers(self, indent: str) -> list[str]:
        """What may open what is below at an indentation."""
        return [*BLOCK_OPENERS, *self._nested(indent)] if self._inside(indent) else []

    def _inside(self, indent: str) -> str:
        """An indentation half as deep in this one as what is below; empty where that is not in it, or says nothing."""
        below = self._syntax.line_below(self._cursor)
        inside = (_indent_of(below) - len(indent)) // 2
        return below[: len(indent) + inside] if self._syntax.is_indented and inside > 0 else ""

    @property
    def _line(self) -> str:
        """What stands on the cursor's line before it."""
        text = self._syntax.text[: self._cursor] + self._virtual_text
        return text[text.rfind("\n") + 1 :]

    def _columns(self, beginning: str) -> list[str]:
        """Where a line behind these may begin: as the cursor's does, or as the last of them, or in what that opens."""
        if not beginning:
            return [self._line]
        last = (self._line + beginning).rpartition("\n")[2]
        indent = last[: _indent_of(last)]
        if last.endswith(":"):
            return [inside] if (inside := self._inside(indent)) else []
        return [indent] if indent == self._line else [indent, self._line]

    # ---- what is offered

    def _is_whole(self, offered: str, budget: Budget | None = None) -> bool:
        return self._syntax.is_whole(self._cursor, self._cursor, self._virtual_text + offered, budget)

    def _up_to_bracket(self, offered: str) -> str:
        """As much as ends with the bracket that is lacking; empty where none is, or none does."""
        if not (self._missing_opener or "").endswith(tuple(CLOSERS)):
            return ""
        ends = [match.end() for match in BRACKETS.finditer(offered)]
        budget = Budget(LINES_STEPS)
        for end in reversed(ends):
            if budget.is_spent:
                break
            if self._is_whole(offered[:end], budget):
                return offered[:end]
        return ""

    def _opens_nothing(self, offered: str) -> bool:
        """Whether its last line opens a block and what stands below is not in it."""
        last = offered.rstrip().rpartition("\n")[2]
        if not last.endswith(OPENERS):
            return False
        following = self._syntax.line_below(self._cursor)
        return _indent_of(following) <= _indent_of(last)


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip())


def _closed(text: str) -> str:
    """With the brackets closed that it opens, wherever they stand."""
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
