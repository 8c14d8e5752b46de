"""The frames that the language server sends to the engine. Offsets count code points."""

from __future__ import annotations

import attrs

from .limits import MAX_LINES


@attrs.frozen
class Hello:
    """The first frame of a connection; anything else before it closes the connection."""

    version: int
    token: str = ""  # empty on a Unix socket
    client: str = ""  # its name, for the log


@attrs.frozen
class Open:
    """A document's whole text; replaces what the engine knew of it."""

    document: str
    language: str
    version: int
    text: str
    cursor: int | None = None  # offset; None: unknown
    root: str = ""  # of the workspace whose other files may be shown to the model; empty: none may
    path: str = ""  # below the root
    excluded: tuple[str, ...] = ()  # globs of files whose text must not appear in its completions


@attrs.frozen
class TextEdit:
    """Replaces the code points [start, end) by `text`."""

    start: int
    end: int
    text: str


@attrs.frozen
class Edit:
    """Edits, applied one after the other, each to the text that the one before left."""

    document: str
    version: int
    edits: tuple[TextEdit, ...]


@attrs.frozen
class Close:
    document: str


@attrs.frozen
class MoveCursor:
    document: str
    version: int
    offset: int


@attrs.frozen
class FilesChanged:
    """Files below a root that were changed, created or deleted on disk; no paths: any of them."""

    root: str
    paths: tuple[str, ...]


@attrs.frozen
class AskContext:
    """Answered by Context."""

    id: int
    document: str


@attrs.frozen
class Complete:
    """Requests completions at an offset of one version; answered once, by Completion or Failure."""

    id: int
    document: str
    version: int
    offset: int
    virtual_text: str = ""  # text assumed to be typed at the offset; items continue behind it
    n_replaced: int = 0  # characters behind the offset that `virtual_text` replaces
    max_tokens: int = 64
    multi_line: bool = True
    n_alternatives: int = 1
    deadline_ms: int | None = None  # after this time the answer holds what was generated so far
    shows_unsure: bool = True  # else completions that the model rates as unlikely are left out
    alternatives_by: str = "branching"  # or random: "sampling" or "mirostat"
    contrast: str = "off"  # against logits without other files: "difference" or "ratio"
    force_base: bool = False  # a pair of models answers with the base model, however long it takes
    max_lines: int = MAX_LINES
    # whether completions are wanted there; where they are not, the answer is empty
    inside_comments: bool = True
    inside_strings: bool = True


@attrs.frozen
class Cancel:
    """Gives up the request `id`; it is still answered, with stop `cancelled` and no items."""

    id: int


@attrs.frozen
class AskStatus:
    """Answered by Status."""

    id: int


@attrs.frozen
class Quit:
    """Ends the engine for all its clients. A client that still needs one starts another."""


ToEngine = (
    Hello | Open | Edit | Close | MoveCursor | FilesChanged | Complete | Cancel | AskContext
    | AskStatus | Quit
)  # fmt: skip
