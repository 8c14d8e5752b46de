"""Finds how many lines of a completion are whole statements, judged by the text before them only."""

from __future__ import annotations

import re

from .tree import Budget, Syntax

_MAX_AROUND = 8_000  # characters parsed in front of a completion, for each of its lines
_MAX_SEARCHED = 24_000  # characters in which an inner function or class is looked for
_MAX_PARSES = 12  # of one completion
_MAX_STEPS = 1_500  # of parsing for all of these: code of _MAX_AROUND takes 70 each time
_HEADER = re.compile(r"^[ \t]+(?:async[ \t]+)?(?:def|class)\b", re.M)


def whole_lines(syntax: Syntax | None, before: str, lines: list[str]) -> int:
    """How many of the lines, appended to `before`, are whole statements; all of them if that is unknown.

    Generated text may stop in the middle of a statement: that part would be broken code.
    """
    enclosing = _enclosing(before) if syntax and syntax.is_indented else None
    if syntax is None or enclosing is None:
        return len(lines)
    budget = Budget(_MAX_STEPS)
    for n_lines in range(len(lines), max(0, len(lines) - _MAX_PARSES), -1):
        has_error = syntax.has_error(enclosing + "\n".join(lines[:n_lines]) + "\n", budget)
        if has_error is False:
            return n_lines
        if has_error is None or budget.is_spent:
            return len(lines)
    return len(lines)


def breaks(syntax: Syntax | None, before: str, completion: str) -> bool:
    """Whether code that ends with a completion has an error; False if that is unknown."""
    enclosing = _enclosing(before) if syntax and syntax.is_indented else None
    if syntax is None or enclosing is None:
        return False
    return bool(syntax.has_error(f"{enclosing}{completion}\n"))


def _enclosing(before: str) -> str | None:
    """The end of a text that parses without the text before it: the top-level definition at the cursor.

    In a very long definition, the innermost function or class that is open. None if neither is near.
    """
    near = before[-_MAX_AROUND:]
    start = _start_of_definition(near)
    if start > 0 or len(near) == len(before):
        return near[start:]
    near = before[-_MAX_SEARCHED:]
    headers = list(_HEADER.finditer(near, near.find("\n") + 1))
    # an indented header needs something to be indented under
    return "if x:\n" + near[headers[-1].start() :] if headers else None


def _start_of_definition(text: str) -> int:
    """The start of the last line in the first column: the text above it is complete."""
    line = text.rfind("\n") + 1
    while line > 0 and (text[line : line + 1] in ("", " ", "\t", "\n", "\r", ")", "]", "}", "#")):
        line = text.rfind("\n", 0, line - 1) + 1
    return line
