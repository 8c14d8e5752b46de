"""A second version of a sequence's last tokens that does not attend to chunks."""

from __future__ import annotations

from dataclasses import dataclass, field

from .chunk_cache import ChunkRows


@dataclass
class UnboundTail:
    """The tokens from position `start` on that have a second version; `KVSequence.logits_without` extends it."""

    start: int
    tokens: list[int] = field(default_factory=list[int])
    rows: ChunkRows | None = None
