"""How large frames and their fields may be."""

from __future__ import annotations

MAX_FRAME_BYTES = 16 * 1024 * 1024
MAX_VALUES = 100_000  # in one frame, keys included: an Edit of 14,000 edits
MAX_HELLO_BYTES = 4096  # of a peer that has not shown its token yet
MAX_HELLO_VALUES = 16
MAX_MESSAGE = 2000  # characters of a Failure
MAX_TEXT = 4_000_000  # code points of a document
MAX_NAME = 32_768  # code points of a document's name or a path
MAX_VIRTUAL_TEXT = 65_536
MAX_TOKENS = 4096  # of one completion, as requested; the engine generates fewer
MAX_ALTERNATIVES = 64
MAX_LINES = 10_000
MAX_DEADLINE_MS = 86_400_000
ALTERNATIVES_BY = ("branching", "sampling", "mirostat")
CONTRASTS = ("off", "difference", "ratio")

INT64 = (-(2**63), 2**63 - 1)

# The limits of frames to the engine, by field: whole numbers between two bounds, text of at most so many code points,
# or one of several words. For a list they apply to each entry.
RANGES: dict[str, tuple[int, int]] = {
    "id": INT64,
    "version": INT64,
    "cursor": (0, 2**53),
    "offset": (0, 2**53),
    "start": (0, 2**53),
    "end": (0, 2**53),
    "n_replaced": (0, 2**53),
    "max_tokens": (1, MAX_TOKENS),
    "n_alternatives": (1, MAX_ALTERNATIVES),
    "deadline_ms": (0, MAX_DEADLINE_MS),
    "max_lines": (1, MAX_LINES),
}
LENGTHS: dict[str, int] = {
    "token": 1024,
    "client": 1024,
    "document": MAX_NAME,
    "root": MAX_NAME,
    "path": MAX_NAME,
    "paths": MAX_NAME,
    "excluded": MAX_NAME,
    "language": 256,
    "text": MAX_TEXT,
    "virtual_text": MAX_VIRTUAL_TEXT,
}
WORDS: dict[str, tuple[str, ...]] = {
    "alternatives_by": ALTERNATIVES_BY,
    "contrast": CONTRASTS,
}
