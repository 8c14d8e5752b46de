"""The memory of all caches: rows of keys and values, lent in blocks under one budget.

A sequence's rows lie together rather than in scattered blocks: a CPU reads keys at memory speed only when the slots of
a head are contiguous. A block is therefore only a unit of accounting and growth. A sequence that outgrows its rows is
copied to larger ones, by at least half, so each row is copied a bounded number of times.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from warmline_kernels.memory import ask_for_large_pages

from .slots import SlotCopies

BLOCK_SLOTS = 256


class ArenaFull(Exception):
    """The budget is spent; free a sequence and try again."""

    code = "arena_full"

    def __init__(self, wanted_bytes: int, free_bytes: int) -> None:
        super().__init__(f"{wanted_bytes} bytes of cache are needed and {free_bytes} are free")
        self.wanted_bytes = wanted_bytes


@dataclass(frozen=True)
class RowShape:
    """What one slot holds: a key as it was computed, the same key rotated, a value."""

    n_layers: int
    n_kv_heads: int
    head_size: int
    dtype: torch.dtype
    device: torch.device

    @property
    def n_bytes(self) -> int:
        return 3 * self.n_layers * self.n_kv_heads * self.head_size * self.dtype.itemsize


class Arena:
    """Lends rows up to a budget of bytes."""

    def __init__(self, shape: RowShape, budget_bytes: int) -> None:
        self.shape = shape
        self.budget_bytes = budget_bytes
        self.used_bytes = 0

    @property
    def block_bytes(self) -> int:
        return BLOCK_SLOTS * self.shape.n_bytes

    def _take(self, n_blocks: int) -> None:
        wanted = n_blocks * self.block_bytes
        free = self.budget_bytes - self.used_bytes
        if free < wanted:
            raise ArenaFull(wanted, free)
        self.used_bytes += wanted

    def _give_back(self, n_blocks: int) -> None:
        self.used_bytes -= n_blocks * self.block_bytes
        assert self.used_bytes >= 0, self.used_bytes


class KVStore:
    """The rows of one sequence.

    Shapes: unrotated, rotated and values [layers, kv heads, slots, head size].
    """

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._n_blocks = 0
        self.unrotated, self.rotated, self.values = self._zeros(0)

    @torch.inference_mode(False)
    def _zeros(self, n_blocks: int) -> tuple[Tensor, Tensor, Tensor]:
        shape = self._arena.shape
        size = (shape.n_layers, shape.n_kv_heads, n_blocks * BLOCK_SLOTS, shape.head_size)
        # zeros, not empty: an unseen row meets a weight of 0, and 0 · NaN is NaN
        unrotated, rotated, values = (
            torch.zeros(size, dtype=shape.dtype, device=shape.device) for _ in range(3)
        )
        for rows in (rotated, values):  # the ones that each pass reads
            ask_for_large_pages(rows)
        return unrotated, rotated, values

    @property
    def n_slots(self) -> int:
        return self._n_blocks * BLOCK_SLOTS

    @property
    def stores(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.unrotated, self.rotated, self.values

    @property
    def n_bytes(self) -> int:
        return self._n_blocks * self._arena.block_bytes

    def reserve(self, n_slots: int) -> None:
        """Makes room for n_slots rows; the rows in use stay the same bit for bit.

        Raises: ArenaFull, or torch's error when memory is exhausted; then nothing has changed.
        """
        if n_slots <= self.n_slots:
            return
        enough = -(-n_slots // BLOCK_SLOTS)
        ample = max(enough, self._n_blocks + self._n_blocks // 2)
        try:
            self._arena._take(ample - self._n_blocks)
        except ArenaFull:
            ample = enough
            self._arena._take(ample - self._n_blocks)
        try:
            rows = self._zeros(ample)
        except BaseException:
            self._arena._give_back(ample - self._n_blocks)
            raise
        n_kept = self.n_slots
        for old, new in zip(self.stores, rows, strict=True):
            new[:, :, :n_kept] = old
        self.unrotated, self.rotated, self.values = rows
        self._n_blocks = ample

    def read(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of unrotated keys and values. Shapes: [layers, kv heads, n, head size]."""
        return self.unrotated[:, :, slots], self.values[:, :, slots]

    def write(self, slots: Tensor, rows: tuple[Tensor, Tensor]) -> None:
        """Writes unrotated keys and values. Shapes: as of `read`."""
        self.unrotated[:, :, slots], self.values[:, :, slots] = rows

    def read_all(self, slots: Tensor) -> list[Tensor]:
        """Copies of all stores' rows, in the order of `stores`."""
        return [store[:, :, slots] for store in self.stores]

    def write_all(self, slots: Tensor, rows: list[Tensor]) -> None:
        """Writes the rows that `read_all` returned."""
        for store, part in zip(self.stores, rows, strict=True):
            store[:, :, slots] = part

    def copy(self, moves: SlotCopies) -> None:
        """Copies rows over others, bit for bit."""
        if not moves:
            return
        sources = torch.from_numpy(moves.sources).to(self.values.device)
        destinations = torch.from_numpy(moves.destinations).to(self.values.device)
        for rows in self.stores:
            rows[:, :, destinations] = rows[:, :, sources]

    def release(self) -> None:
        """Gives all rows back."""
        self._arena._give_back(self._n_blocks)
        self._n_blocks = 0
        self.unrotated, self.rotated, self.values = self._zeros(0)

    def layers(self, n_used: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Each layer's unrotated keys, rotated keys and values in the first n_used slots.

        Shapes: [kv heads, slots, head size].
        """
        parts = (store[:, :, :n_used].unbind() for store in self.stores)
        return list(zip(*parts, strict=True))
