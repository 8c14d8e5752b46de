"""The rules that end a completion, by its text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

OPENERS = (":", "(", "[", "{")
N_REPEATS = 3  # of one line
MAX_REPEATED = 4  # successive lines that are repeated together
UNIT_CHARACTERS = range(2, 25)  # of what is repeated on one line
N_STUTTERS = 4  # repeats that end a completion


@dataclass(frozen=True)
class Stop:
    """The reason why a completion is over, and how much of its text stays."""

    reason: str
    n_characters: int


@dataclass(frozen=True)
class Stopping:
    """The rules at a cursor between `prefix` and `suffix`: to the end of the line, or of a block where one begins.

    A block begins at the start of a line, and behind a line that opens one. It ends with the line before
    the first that is indented less.
    """

    prefix: str
    suffix: str
    multi_line: bool

    @cached_property
    def is_block(self) -> bool:
        is_line_end = not self.suffix.partition("\n")[0].strip()
        return self.multi_line and is_line_end and (self._is_at_line_start or self._opens_block)

    def find(self, text: str) -> Stop | None:
        """The end of the text generated so far; None while it continues."""
        stutter = _stutter(text)
        if stutter and stutter[1].strip(" -=#*_."):
            return Stop("repeat", stutter[0])
        if not self.is_block:
            return self._find_line_end(text)
        return self._find_in_block(text)

    @cached_property
    def _before(self) -> str:
        """The text of the cursor's line before the cursor."""
        return self.prefix[self.prefix.rfind("\n") + 1 :]

    @cached_property
    def _is_at_line_start(self) -> bool:
        return not self._before.strip()

    @cached_property
    def _opens_block(self) -> bool:
        return self._before.rstrip().endswith(OPENERS)

    @cached_property
    def _min_indent(self) -> int:
        """Characters of indentation that a line of the block has at least."""
        return len(self._before) - len(self._before.lstrip()) + self._opens_block

    @cached_property
    def _next_line(self) -> str | None:
        below = self.suffix.partition("\n")[2]
        return next((line for line in below.split("\n") if line.strip()), None)

    def _find_line_end(self, text: str) -> Stop | None:
        # at a line's start a line break first is only a blank line; behind something it ends the line
        begin = len(text) - len(text.lstrip("\n")) if self._is_at_line_start else 0
        end = text.find("\n", begin)
        return None if end < 0 else Stop("line", end)

    def _find_in_block(self, text: str) -> Stop | None:
        lines = text.split("\n")
        start = len(lines[0])
        for number, line in enumerate(lines[1:], 1):
            is_whole = number < len(lines) - 1
            content = line.strip()
            if content:
                indent = len(line) - len(line.lstrip())
                if indent < self._min_indent:
                    return Stop("block", _without_blank_end(text[:start]))
                if is_whole and line == self._next_line and len(content) > 2:
                    return Stop("suffix", _without_blank_end(text[:start]))
                if is_whole and (n_again := _n_repeated(lines[: number + 1])):
                    kept = "\n".join(lines[: number + 1 - n_again])
                    return Stop("repeat", _without_blank_end(kept))
            elif is_whole and number + 1 < len(lines) - 1 and not lines[number + 1].strip():
                return Stop("block", _without_blank_end(text[:start]))
            start += 1 + len(line)
        first = self._before + lines[0] if self._is_at_line_start else lines[0]
        if len(lines) > 1 and first == self._next_line and lines[0].strip():
            return Stop("suffix", 0)
        return None


def _stutter(text: str) -> tuple[int, str] | None:
    """The offset at which the end of the last line starts to repeat a few characters, and these; None if it does not.

    Cost: linear in the last line, for each length of what is repeated.
    """
    line = text.removesuffix("\n").rpartition("\n")[2]
    end, found = len(text) - text.endswith("\n"), (0, 0)
    for n in UNIT_CHARACTERS:
        n_same = 0
        while n_same + n < len(line) and line[-1 - n_same] == line[-1 - n_same - n]:
            n_same += 1
        n_repeats = 1 + n_same // n
        # the longest stretch, and of equal ones the shortest unit
        if n_repeats >= N_STUTTERS and found[0] < n_repeats * n:
            found = n_repeats * n, n
    n_characters, n = found
    start = end - n_characters
    return (start, text[start : start + n]) if n else None


def _without_blank_end(text: str) -> int:
    return len(text.rstrip())


def _n_repeated(lines: list[str]) -> int:
    """How many lines at the end repeat the lines before them: one line for the third time, or several; 0 for none."""
    stripped = [line.strip() for line in lines[-2 * MAX_REPEATED :]]
    if stripped[-N_REPEATS:] == [stripped[-1]] * N_REPEATS:
        return 1
    for n in range(2, min(MAX_REPEATED, len(stripped) // 2) + 1):
        if stripped[-n:] == stripped[-2 * n : -n]:
            return n
    return 0
