"""The lines above and below the cursor, which a new line should not repeat."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class AdjacentLines:
    """The lines next to a cursor between `prefix` and `suffix`. There are none unless its line is empty before it."""

    prefix: str
    suffix: str

    def __bool__(self) -> bool:
        return bool(self._lines)

    def are_repeated_by(self, text: str) -> bool:
        """Whether a completion begins with the line above or below."""
        line = text.lstrip("\n").partition("\n")[0].rstrip()
        return (line if text.startswith("\n") else self._before + line) in self._lines

    @cached_property
    def _before(self) -> str:
        """The text of the cursor's line before the cursor."""
        return self.prefix[self.prefix.rfind("\n") + 1 :]

    @cached_property
    def _lines(self) -> frozenset[str]:
        if self._before.strip():
            return frozenset()
        above = self.prefix[: len(self.prefix) - len(self._before)].rstrip().rpartition("\n")[2]
        lines_below = self.suffix.partition("\n")[2].split("\n")
        below = next((line.rstrip() for line in lines_below if line.strip()), "")
        return frozenset(filter(_has_letter, (above, below)))


NO_LINES = AdjacentLines("", "")


def _has_letter(line: str) -> bool:
    """Lines of brackets only may repeat."""
    return any(character.isalpha() for character in line)
