"""When a completion is over, seen from its text."""

from __future__ import annotations

from dataclasses import dataclass

OPENERS = (":", "(", "[", "{")
N_REPEATS = 3  # of one line
MAX_REPEATED = 4  # lines that are said a second time, one after another
UNIT_CHARACTERS = range(2, 25)  # of what is repeated on one line
N_STUTTERS = 4  # repeats that end a completion


@dataclass(frozen=True)
class Stop:
    """Why it is over, and how much of the text stays."""

    reason: str
    n_characters: int


class Stopping:
    """The rules for one place: the rest of a line, or a block where a block begins.

    A block begins at the start of a line, and behind a line that opens one. It ends with the line before
    the first that is indented less.
    """

    def __init__(self, prefix: str, suffix: str, multi_line: bool) -> None:
        before = prefix[prefix.rfind("\n") + 1 :]
        rest, _, below = suffix.partition("\n")
        opens = before.rstrip().endswith(OPENERS)
        self.is_block = multi_line and not rest.strip() and (not before.strip() or opens)
        indent = len(before) - len(before.lstrip())
        self._least_indent = indent + 1 if opens and before.strip() else indent
        self._next_line = next((line for line in below.split("\n") if line.strip()), None)
        self._is_at_line_start = not before.strip()
        self._indent_text = before if self._is_at_line_start else ""
        # the lines above and below, where a whole line is asked for that should say something else
        self.adjacent_lines: set[str] = set()
        if self._is_at_line_start:
            above = prefix[: len(prefix) - len(before)].rstrip().rpartition("\n")[2]
            self.adjacent_lines = set(filter(_says, (above, (self._next_line or "").rstrip())))

    def find(self, text: str) -> Stop | None:
        """Where the text generated so far is over, None while it is not."""
        stutter = _stutter(text)
        if stutter and stutter[1].strip(" -=#*_."):
            return Stop("repeat", stutter[0])
        if not self.is_block:
            return self._find_line_end(text)
        return self._find_in_block(text)

    def repeats_adjacent_line(self, text: str) -> bool:
        """Whether it begins with the line above or below: of 300 held-out lines none does, of those offered ten."""
        line = text.lstrip("\n").partition("\n")[0].rstrip()
        whole = line if text.startswith("\n") else self._indent_text + line
        return whole in self.adjacent_lines

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
                if indent < self._least_indent:
                    return Stop("block", _without_blank_end(text[:start]))
                if is_whole and line == self._next_line and len(content) > 2:
                    return Stop("suffix", _without_blank_end(text[:start]))
                if is_whole and (n_again := _n_repeated(lines[: number + 1])):
                    kept = "\n".join(lines[: number + 1 - n_again])
                    return Stop("repeat", _without_blank_end(kept))
            elif is_whole and number + 1 < len(lines) - 1 and not lines[number + 1].strip():
                return Stop("block", _without_blank_end(text[:start]))
            start += 1 + len(line)
        first = self._indent_text + lines[0]
        if len(lines) > 1 and first == self._next_line and lines[0].strip():
            return Stop("suffix", 0)
        return None


def _stutter(text: str) -> tuple[int, str] | None:
    """Where the end of the last line starts to repeat the same few characters, and these; None where it does not.

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


def _says(line: str) -> bool:
    """True if the line has a letter; bracket-only lines may repeat."""
    return any(character.isalpha() for character in line)


def _without_blank_end(text: str) -> int:
    return len(text.rstrip())


def _n_repeated(lines: list[str]) -> int:
    """How many lines at the end say again what the lines before them do: one line that says it the third time, or more.

    0 for none.
    """
    stripped = [line.strip() for line in lines[-2 * MAX_REPEATED :]]
    if stripped[-N_REPEATS:] == [stripped[-1]] * N_REPEATS:
        return 1
    for n in range(2, min(MAX_REPEATED, len(stripped) // 2) + 1):
        if stripped[-n:] == stripped[-2 * n : -n]:
            return n
    return 0
