"""The frames that the engine sends to the language server."""

from __future__ import annotations

import attrs

STOP_REASONS = (
    "end",  # the model ended the middle
    "line",
    "block",
    "suffix",  # the text behind the cursor was reached
    "repeat",  # it repeats itself, or a line above or below
    "syntax",  # of an automatic request: everything that was tried breaks the syntax
    "unsure",  # of an automatic request: the rest is too unlikely to be shown
    "tokens",
    "deadline",
    "cancelled",
    "in_comment",  # the request wants no completion there
    "in_string",
)


@attrs.frozen
class Welcome:
    """The answer to Hello."""

    version: int
    engine: str  # the package's version
    pid: int


@attrs.frozen
class ModelReady:
    """A model is loaded; sent once to every connection."""

    name: str
    fingerprint: str
    languages: tuple[str, ...]  # empty: its card names none
    fill_in_middle: bool
    max_context: int
    device: str
    dtype: str
    small_name: str = ""  # of the second model of a pair


@attrs.frozen
class Progress:
    """Progress of a long job; `fraction` is None if it is unknown."""

    stage: str
    fraction: float | None


@attrs.frozen
class Encoded:
    """An edit's tokens are in the cache: the edit's cost and the sequence's state."""

    document: str
    version: int
    n_encoded: int
    n_tokens: int
    n_fresh: int
    elapsed_ms: float


@attrs.frozen
class Item:
    """A text to suggest. It fits the document: the server inserts it as it is.

    `excluded` are the starts and ends, in turn, of spans [start, end) where `inside_comments` or `inside_strings` of
    the request allow no completion: while the user has typed up to a place in one, the rest is not suggested.
    """

    text: str
    mean_logprob: float
    excluded: tuple[int, ...] = ()


@attrs.frozen
class Completion:
    """The answer to Complete. `stop` is one of STOP_REASONS."""

    id: int
    items: tuple[Item, ...]
    stop: str
    n_tokens: int  # in the sequence's context
    n_fresh: int
    n_encoded: int  # encoded for this request before the first generated token
    n_generated: int
    elapsed_ms: float  # from the frame's arrival
    first_token_ms: float
    is_provisional: bool = False  # by a pair's small model; the base model may answer better
    generated_text: str = ""  # of the first answer, before it was fitted to the document


@attrs.frozen
class ContextItem:
    """A piece of another file that the model is shown. Units: line from 0."""

    path: str
    line: int
    name: str
    why: str
    text: str
    n_tokens: int


@attrs.frozen
class Context:
    """The context of a document's completions: its own tokens and pieces of other files, the nearest last.

    `state` is `off`, `looking` while more may be found, or `ready`.
    """

    id: int
    state: str
    n_tokens: int
    n_fresh: int
    items: tuple[ContextItem, ...]


@attrs.frozen
class Status:
    id: int
    state: str  # loading | ready | failed
    message: str
    model: str
    documents: tuple[DocumentStatus, ...]
    cache_bytes: int
    cache_budget_bytes: int


@attrs.frozen
class DocumentStatus:
    document: str
    n_tokens: int
    n_fresh: int
    n_pending: int


@attrs.frozen
class Failure:
    """A typed error; `id` is None if the frame that caused it has none."""

    id: int | None
    code: str
    message: str
    document: str = ""


ToServer = Welcome | ModelReady | Progress | Encoded | Completion | Context | Status | Failure
