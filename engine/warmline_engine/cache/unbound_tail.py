"""A second version of a sequence's last tokens that does not attend to chunks."""

from __future__ import annotations

from dataclasses import dataclass, field

from .chunk_cache import ChunkRows


@dataclass
class UnboundTail:
    """What was made so far of the second version: `Sequence.logits_without` goes on from there.

    `tokens` are those from position `start` on that have rows.
    """

    start: int
    tokens: list[int] = field(default_factory=list[int])
    rows: ChunkRows | None = None
