"""The patterns of a .gitignore file, matched as git matches them: an entry by itself, folder by folder.

pathspec, the usual library, lets a pattern for a folder decide about all that is below it, which differs from git
where a later pattern speaks of a folder inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """One line. `by_name` matches the entry's name, otherwise its path from the file's folder."""

    matches: re.Pattern[str]
    negated: bool
    only_folders: bool
    by_name: bool


def patterns(lines: Iterable[str]) -> list[Pattern]:
    """The patterns of lines; comments, empty lines and what cannot be a pattern are left out."""
    return [found for line in lines if (found := _pattern(line))]


def is_ignored(found: list[Pattern], path: str, is_folder: bool) -> bool | None:
    """What the last pattern that matches says, None where none does."""
    name = path.rsplit("/", 1)[-1]
    for pattern in reversed(found):
        if pattern.only_folders and not is_folder:
            continue
        if pattern.matches.fullmatch(name if pattern.by_name else path):
            return not pattern.negated
    return None


def _pattern(line: str) -> Pattern | None:
    line = re.sub(r"(?<!\\) +$", "", line.rstrip("\r\n"))
    if not line or line.startswith("#"):
        return None
    negated = line.startswith("!")
    line = line[negated:]
    only_folders = line.endswith("/")
    line = line.removesuffix("/")
    by_name = "/" not in line
    try:
        matches = re.compile(_expression(line.removeprefix("/")), re.DOTALL)
    except (re.error, _NoPattern):
        return None
    return Pattern(matches, negated, only_folders, by_name)


class _NoPattern(Exception):
    pass


def _expression(glob: str) -> str:
    """A glob as a regular expression."""
    if not glob:
        raise _NoPattern
    out: list[str] = []
    k = 0
    while k < len(glob):
        rest = glob[k:]
        at_border = k == 0 or glob[k - 1] == "/"
        if at_border and rest.startswith("**/"):
            out.append("(?:.*/)?")
            k += 3
        elif at_border and rest == "**":
            out.append(".+")
            k += 2
        elif glob[k] == "*":
            out.append("[^/]*")
            k += 1
        elif glob[k] == "?":
            out.append("[^/]")
            k += 1
        elif glob[k] == "[":
            one, k = _one_of(glob, k)
            out.append(one)
        elif glob[k] == "\\":
            if k + 1 == len(glob):
                raise _NoPattern
            out.append(re.escape(glob[k + 1]))
            k += 2
        else:
            out.append(re.escape(glob[k]))
            k += 1
    return "".join(out)


def _one_of(glob: str, k: int) -> tuple[str, int]:
    """The set of characters that begins at k, and where it ends."""
    start = k + 1
    negated = glob[start : start + 1] in ("!", "^")
    start += negated
    # a bracket that comes first is one of the set
    end = glob.find("]", start + 1)
    if end < 0:
        raise _NoPattern
    inside = glob[start:end].replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    inside = inside.replace("^", "\\^").replace("&", "\\&").replace("~", "\\~").replace("|", "\\|")
    return f"(?!/)[{'^' if negated else ''}{inside}]", end + 1
