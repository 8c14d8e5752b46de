"""The patterns of a .gitignore file, matched as git matches them: an entry by itself, folder by folder.

pathspec, the usual library, lets a pattern for a folder decide about everything below it, which differs from git
where a later pattern names a folder inside; and it matches by regular expressions, which take exponential time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from warmline_protocol.globs import MAX_GLOB, Glob, GlobError

MAX_PATTERNS = 2_000  # of one file
# git's default on these systems
IGNORES_CASE = sys.platform in ("win32", "darwin")


class TooManyPatterns(Exception):
    """An ignore file has too many rules to be applied in bounded time."""


@dataclass(frozen=True)
class Pattern:
    """One line. With `by_name` it matches the entry's name, otherwise its path from the file's folder."""

    glob: Glob
    negated: bool
    only_folders: bool
    by_name: bool


def patterns(lines: Iterable[str]) -> list[Pattern]:
    """The patterns of lines, without comments, empty lines and patterns that can match nothing.

    Raises: TooManyPatterns, also for a pattern that is too long.
    """
    found: list[Pattern] = []
    for line in lines:
        if pattern := _pattern(line):
            found.append(pattern)
        if len(found) > MAX_PATTERNS:
            raise TooManyPatterns
    return found


def is_ignored(found: list[Pattern], path: str, is_folder: bool) -> bool | None:
    """Whether the last matching pattern ignores the entry; None if none matches."""
    name = path.rsplit("/", 1)[-1]
    for pattern in reversed(found):
        if pattern.only_folders and not is_folder:
            continue
        if pattern.glob.matches(name if pattern.by_name else path):
            return not pattern.negated
    return None


def _pattern(line: str) -> Pattern | None:
    line = without_trailing_spaces(line.removesuffix("\n").removesuffix("\r"))
    if not line or line.startswith("#"):
        return None
    negated = line.startswith("!")
    line = line[negated:]
    only_folders = line.endswith("/")
    line = line.removesuffix("/")
    by_name = "/" not in line
    text = line.removeprefix("/")
    if len(text) > MAX_GLOB:
        raise TooManyPatterns
    try:
        return Pattern(Glob(text, IGNORES_CASE), negated, only_folders, by_name)
    except GlobError:
        return None


def without_trailing_spaces(line: str) -> str:
    """Removes trailing spaces as git does: an escaped space stays."""
    stripped = line.rstrip(" ")
    n_backslashes = len(stripped) - len(stripped.rstrip("\\"))
    if n_backslashes % 2 and len(stripped) < len(line):
        return stripped + " "
    return stripped
