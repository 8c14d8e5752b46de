"""Which token of a sequence is in which slot. Only this file maps positions to slots.

Used slots are dense: they are 0 .. n_used - 1 in no particular order. A pending token has no slot.
Tokens of bound chunks have the positions -n_bound .. -1 here; they are *seen* that far before `bound_end`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

PENDING = -1
MAX_OFFSET = 4096  # an angle has fewer exact digits the farther from 0 its position is


@dataclass(frozen=True)
class SlotCopies:
    """Rows of the cache to copy so that the used slots stay dense: sources[k] to destinations[k]."""

    sources: Ints
    destinations: Ints

    def __bool__(self) -> bool:
        return len(self.sources) > 0


class SlotTable:
    """Positions and slots of one sequence.

    Invariants, which `check` recomputes: slot_of[p] is PENDING or a slot below n_used; position_of[slot_of[p]]
    is p; each used slot holds exactly one token. The same holds for bound_slot_of, whose positions count from its end.
    """

    def __init__(self) -> None:
        self.slot_of: Ints = np.empty(0, np.int64)  # by position
        self.bound_slot_of: Ints = np.empty(0, np.int64)  # by position, too: -1 is its last
        # by slot, longer than n_used; _rotated_at has the position that the slot's key is rotated for
        self._position_of: Ints = np.empty(0, np.int64)
        self._rotated_at: Ints = np.empty(0, np.int64)
        self.n_used = 0
        self.bound_end = 0

    @property
    def seen_at(self) -> Ints:
        """The position that each used slot's key is seen at."""
        return self.seen_positions(self.position_of)

    def seen_positions(self, positions: Ints) -> Ints:
        """The positions that tokens are seen at; only those of bound tokens differ from the table's."""
        if not len(self.bound_slot_of):
            return positions
        return np.where(positions < 0, positions + self.bound_end, positions)

    @property
    def position_of(self) -> Ints:
        """The position of each used slot's token."""
        return self._position_of[: self.n_used]

    @property
    def rotated_at(self) -> Ints:
        """The position that each used slot's key was last rotated for."""
        return self._rotated_at[: self.n_used]

    @property
    def n_pending(self) -> int:
        return int((self.slot_of == PENDING).sum())

    @property
    def n_tokens(self) -> int:
        """The number of all tokens, with pending and bound ones."""
        return len(self.slot_of) + len(self.bound_slot_of)

    def pending_positions(self) -> Ints:
        return np.flatnonzero(self.slot_of == PENDING)

    def pending_bound(self) -> Ints:
        """The negative positions that are pending, rising."""
        return np.flatnonzero(self.bound_slot_of == PENDING) - len(self.bound_slot_of)

    def bind(self, n_tokens: int) -> SlotCopies:
        """Replaces all bound tokens by n_tokens pending ones."""
        freed = self.bound_slot_of[self.bound_slot_of != PENDING]
        self.bound_slot_of = np.full(n_tokens, PENDING, np.int64)
        return self._fill_holes(freed)

    def splice(self, start: int, end: int, n_new: int) -> SlotCopies:
        """Replaces the positions [start, end) by n_new pending ones.

        The last used slots fill the slots that became free; the caller copies the rows.
        """
        freed = self.slot_of[start:end]
        freed = freed[freed != PENDING]
        new = np.full(n_new, PENDING, np.int64)
        self.slot_of = np.concatenate((self.slot_of[:start], new, self.slot_of[end:]))
        if start + n_new != end:
            self._renumber(start, len(self.slot_of))
        return self._fill_holes(freed)

    def move(self, start: int, end: int, to: int) -> None:
        """Takes the positions [start, end) out and inserts them at `to` of the remaining ones."""
        run = self.slot_of[start:end]
        left = np.concatenate((self.slot_of[:start], self.slot_of[end:]))
        self.slot_of = np.concatenate((left[:to], run, left[to:]))
        self._renumber(min(start, to), max(end, to + len(run)))

    def common_offset(self) -> tuple[int, int, int]:
        """The offset that most keys have, how many offsets there are, and how many keys have another one.

        An offset is the distance from the position that a key is rotated for to the one it is seen at. All keys
        behind an edit share a shift, so few keys differ. New keys are rotated for the common offset.
        """
        offsets, counts = self._offsets()
        if len(offsets) == 1 and abs(offsets[0]) <= MAX_OFFSET:  # the usual case
            return int(offsets[0]), 1, 0
        near = np.abs(offsets) <= MAX_OFFSET
        if not near.any():
            return 0, len(offsets) + 1, int(counts.sum())
        most_frequent = counts[near].argmax()
        n_others = counts.sum() - counts[near][most_frequent]
        return int(offsets[near][most_frequent]), len(offsets), int(n_others)

    def place(self, positions: Ints, offset: int = 0) -> Ints:
        """The slots of positions, in their order; those that have none get one.

        Records that their keys are rotated for `offset` places before where they are seen. Either all positions are
        bound or none is.
        """
        table = self._table_of(positions)
        slots = table[positions]
        missing = slots == PENDING
        n_missing = int(missing.sum())
        if n_missing:
            self._reserve(self.n_used + n_missing)
            slots[missing] = np.arange(self.n_used, self.n_used + n_missing)
            self.n_used += n_missing
            table[positions] = slots
            self._position_of[slots] = positions
        self._rotated_at[slots] = self.seen_positions(positions) - offset
        return slots

    def forget(self, positions: Ints) -> SlotCopies:
        """Makes tokens pending again."""
        bound, own = positions[positions < 0], positions[positions >= 0]
        freed = np.concatenate((self.bound_slot_of[bound], self.slot_of[own]))
        self.bound_slot_of[bound] = self.slot_of[own] = PENDING
        return self._fill_holes(freed[freed != PENDING])

    def mark_rotated(self, slots: Ints, offset: int = 0) -> None:
        """Records that the keys of these slots are rotated for `offset` places before where they are seen."""
        self._rotated_at[slots] = self.seen_positions(self._position_of[slots]) - offset

    def check(self) -> None:
        """Recomputes the invariants.

        Raises: AssertionError, with the values that differ.
        """
        everything = np.concatenate((self.bound_slot_of, self.slot_of))
        used = np.flatnonzero(everything != PENDING)
        slots, used = everything[used], used - len(self.bound_slot_of)
        assert len(used) == self.n_used, (len(used), self.n_used)
        assert np.array_equal(np.sort(slots), np.arange(self.n_used)), slots
        assert np.array_equal(self.position_of[slots], used), (slots, used)

    def _offsets(self) -> tuple[Ints, Ints]:
        """The distinct offsets, and how many keys have each."""
        offsets = self.seen_at - self.rotated_at
        # usually there is one, and sorting takes ten times as long
        if len(offsets) and offsets.min() == offsets.max():
            return offsets[:1], np.array([len(offsets)])
        return np.unique(offsets, return_counts=True)

    def _table_of(self, positions: Ints) -> Ints:
        return self.bound_slot_of if len(positions) and positions[0] < 0 else self.slot_of

    def _reserve(self, n_slots: int) -> None:
        if n_slots <= len(self._position_of):
            return
        room = np.zeros(max(n_slots, 2 * len(self._position_of)) - len(self._position_of), np.int64)
        self._position_of = np.concatenate((self._position_of, room))
        self._rotated_at = np.concatenate((self._rotated_at, room))

    def _renumber(self, start: int, end: int) -> None:
        slots = self.slot_of[start:end]
        has_slot = slots != PENDING
        self._position_of[slots[has_slot]] = np.arange(start, end)[has_slot]

    def _fill_holes(self, freed: Ints) -> SlotCopies:
        if not len(freed):
            return SlotCopies(freed, freed)
        n_left = self.n_used - len(freed)
        destinations = freed[freed < n_left]
        is_source = np.ones(len(freed), bool)
        last = freed[n_left <= freed] - n_left
        is_source[last] = False
        sources = np.flatnonzero(is_source) + n_left
        assert len(sources) == len(destinations), (sources, destinations)
        self._position_of[destinations] = self._position_of[sources]
        self._rotated_at[destinations] = self._rotated_at[sources]
        moved = self._position_of[destinations]
        is_bound = moved < 0
        self.bound_slot_of[moved[is_bound]] = destinations[is_bound]
        self.slot_of[moved[~is_bound]] = destinations[~is_bound]
        self.n_used = n_left
        return SlotCopies(sources, destinations)
