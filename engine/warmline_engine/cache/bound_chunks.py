"""The chunks that are bound to a sequence, and which tokens attend to them.

The attention rule: a chunk's tokens see their own chunk only. Tokens of the sequence see chunks only where their
logits are requested. So binding chunks changes no token's keys and values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from warmline_kernels.view import EVERY_SPAN

from .slots import Ints

MAX_BOUND = 61  # chunks: each is one bit of a query's mask


class BoundChunks:
    """Chunks in order, the last one nearest to the tokens that see it. Their positions are -n_tokens .. -1."""

    def __init__(self, chunks: Iterable[Sequence[int]] = ()) -> None:
        self.chunks = tuple(tuple(chunk) for chunk in chunks)
        assert len(self.chunks) <= MAX_BOUND, len(self.chunks)
        self.tokens = [token for chunk in self.chunks for token in chunk]
        n_tokens = [len(chunk) for chunk in self.chunks]
        self._chunk_of: Ints = np.repeat(np.arange(len(self.chunks)), n_tokens)

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.tokens)

    def chunk_at(self, position: int) -> tuple[tuple[int, ...], Ints]:
        """The chunk that a token belongs to, and the positions of all its tokens, rising."""
        number = self._chunk_of[position]
        return self.chunks[number], np.flatnonzero(self._chunk_of == number) - len(self)

    def attention_rule(
        self, positions: Ints, position_of: Ints, n_logits: int, sees_chunks: bool
    ) -> tuple[Ints, Ints] | tuple[None, None]:
        """The keys' spans, and a mask of the spans that each query sees: chunk k is span k + 1, all else span 0.

        Without `sees_chunks` no token of the sequence sees a chunk. Two Nones where each query sees all keys before
        it, as when tokens are decoded.

        Shapes: positions [T] of queries, position_of [S] of keys → [S], [T].
        """
        if not self.tokens or (sees_chunks and n_logits == len(positions)):
            return None, None
        is_bound = position_of < 0
        spans = np.zeros(len(position_of), np.int64)
        spans[is_bound] = self._chunk_of[position_of[is_bound]] + 1
        if positions[0] < 0:
            return spans, np.left_shift(1, self._chunk_of[positions] + 1)
        seen = np.ones(len(positions), np.int64)
        if sees_chunks:
            seen[len(seen) - n_logits :] = EVERY_SPAN
        return spans, seen
