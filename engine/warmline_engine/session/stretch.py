"""Chooses the stretch of a document that a window holds."""

from __future__ import annotations

CHARACTERS_PER_TOKEN = 3.2  # of code, for a first estimate
SHARE_BEFORE = 0.75  # of a stretch, before the cursor
MAX_SKIPPED = 2000  # characters that are skipped to begin with a definition


def choose_stretch(text: str, cursor: int, n_tokens: int) -> tuple[int, int]:
    """The code points around a cursor that have about n_tokens: whole lines, from a definition on if possible."""
    room = int(n_tokens * CHARACTERS_PER_TOKEN)
    if len(text) <= room:
        return 0, len(text)
    start = max(0, cursor - int(room * SHARE_BEFORE))
    end = min(len(text), start + room)
    start = max(0, end - room)
    if start > 0:
        start = _line_start(text, start, cursor)
    if end < len(text):
        found = text.rfind("\n", cursor, end)
        end = found + 1 if found >= 0 else end
    return start, end


def _line_start(text: str, start: int, cursor: int) -> int:
    """The next line that begins a definition, or else the next line."""
    first = text.find("\n", start, cursor) + 1
    if first == 0:
        return start
    line = first
    while line and line < cursor and line - first < MAX_SKIPPED:
        if not text[line].isspace() and text[line] not in ")]}#":
            return line
        line = text.find("\n", line, cursor) + 1
    return first
