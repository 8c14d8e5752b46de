"""A cache of chunks' keys and values under a budget of bytes, so that no chunk is encoded twice."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from torch import Tensor

# unrotated keys and values, [layers, kv heads, tokens, head size]
ChunkRows = tuple[Tensor, Tensor]


class ChunkStore(Protocol):
    """Storage that outlasts the process."""

    def get(self, tokens: tuple[int, ...]) -> ChunkRows | None: ...

    def put(self, tokens: tuple[int, ...], rows: ChunkRows) -> None: ...


class ChunkCache:
    """A least-recently-used cache. A chunk attends only to itself, so its tokens are the key."""

    def __init__(self, budget_bytes: int, below: ChunkStore | None = None) -> None:
        self.budget_bytes = budget_bytes
        self.below = below
        self.n_bytes = 0
        self._rows: OrderedDict[tuple[int, ...], ChunkRows] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, tokens: tuple[int, ...]) -> ChunkRows | None:
        rows = self._rows.get(tokens)
        if rows is not None:
            self._rows.move_to_end(tokens)
        elif self.below and (rows := self.below.get(tokens)) is not None:
            self._keep(tokens, rows)
        return rows

    def put(self, tokens: tuple[int, ...], rows: ChunkRows) -> None:
        """Stores the rows of a chunk, in memory unless they alone exceed the budget."""
        self._keep(tokens, rows)
        if self.below:
            self.below.put(tokens, rows)

    def _keep(self, tokens: tuple[int, ...], rows: ChunkRows) -> None:
        if (known := self._rows.pop(tokens, None)) is not None:
            self.n_bytes -= _bytes(known)
        if self.budget_bytes < _bytes(rows):
            return
        self._rows[tokens] = rows
        self.n_bytes += _bytes(rows)
        while self.budget_bytes < self.n_bytes:
            _, oldest = self._rows.popitem(last=False)
            self.n_bytes -= _bytes(oldest)


def _bytes(rows: ChunkRows) -> int:
    return sum(part.nbytes for part in rows)
