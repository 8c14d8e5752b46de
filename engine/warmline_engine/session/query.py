"""What a session is queried for, and its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from warmline_engine.decoding.contrast import ContrastRule
from warmline_engine.decoding.greedy import Decoded
from warmline_engine.decoding.ngram.suffix_match import Ids
from warmline_engine.decoding.sampling import SamplingRule

CHUNK = 512  # tokens in one pass, at most


@dataclass(frozen=True)
class CompletionQuery:
    """A request for completions at an offset, behind `virtual_text`, which is not in the document."""

    offset: int
    virtual_text: str
    max_tokens: int
    multi_line: bool
    n_alternatives: int
    deadline_ms: int | None
    is_cancelled: Callable[[], bool]
    shows_unsure: bool = True
    n_searched: int = 0  # hypotheses that compete with the greedy line
    sampling: SamplingRule | None = (
        None  # of alternatives; without it they branch off the first answer
    )
    contrast: ContrastRule | None = None  # with the text without attached chunks
    force_base: bool = False  # of a pair: the base model answers, however long it takes
    documents: Ids = ()  # tokens of other open documents, for drafts
    chunk_tokens: int = CHUNK  # tokens that are encoded between two checks for cancellation


@dataclass(frozen=True)
class Answer:
    """Completions, best first, and their cost."""

    items: list[Decoded]
    stop: str
    n_tokens: int
    n_fresh: int
    n_encoded: int
    n_generated: int
    first_token_ms: float
    n_by_base: int = 0  # of the generated tokens, by a pair's base model after a switch
    is_provisional: bool = False  # by a pair's small model, because the base model would be late
