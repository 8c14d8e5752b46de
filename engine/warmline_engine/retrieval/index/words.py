"""Splits text into the words for search: whole names, and the parts of camelCase and snake_case."""

from __future__ import annotations

import functools
import re
from itertools import chain

LONGEST = 64  # characters of a name; what is longer is data
_NAME = re.compile(r"[^\W\d]\w*+")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]++|[A-Z]++|\d++")  # of at most LONGEST


def words(text: str, with_parts: bool = True) -> list[str]:
    """The words of a text in order, in lower case; a compound name is followed by its parts."""
    # what is too long is left out here, too: the cache of `words_of` would keep it in memory
    names = [name for name in _NAME.findall(text) if len(name) <= LONGEST]
    if not with_parts:
        return [name.lower() for name in names]
    return list(chain.from_iterable(map(words_of, names)))


@functools.lru_cache(maxsize=1 << 15)
def words_of(name: str) -> tuple[str, ...]:
    """The words of one name; empty if it is too long to be a name."""
    if len(name) > LONGEST:
        return ()
    whole = name.lower()
    # what counts as a capital differs by script: beyond ASCII only underscores part words
    found = _PART.findall(name) if name.isascii() else name.split("_")
    parts = [part.lower() for part in found if part]
    if len(parts) < 2:
        return (whole, *(part for part in parts if part != whole))
    return (whole, *(part for part in parts if len(part) > 1))
