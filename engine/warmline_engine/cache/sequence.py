"""A sequence of tokens with its keys and values, edited by splices.

The method is Positional Integrity Encoding, "Let the Code LLM Edit Itself When You Edit the Code" (arXiv:2407.03157):
after an edit the keys behind it are rotated to their new positions instead of being computed anew.

Intervals, by position:
    [0, n_fresh)     fresh: keys and values equal those of a cold read of the present tokens
    [n_fresh, n)     stale or pending; no token attends to a pending one

A pass writes its tokens' rows layer by layer; if it fails, these tokens are pending. Chunks of other files can be
bound (see `bound_chunks`); a token that has seen chunks is not fresh.

This file is longer than 300 lines because every operation that changes tokens, slots and rows together is in it: they
share the invariants above, which `check` recomputes.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Items

import numpy as np
import torch
from torch import Tensor

from warmline_engine.model.transformer import Transformer
from warmline_engine.text.prefix import n_in_common

from .arena import Arena, KVStore
from .bound_chunks import BoundChunks
from .chunk_cache import ChunkCache
from .pass_inputs import PassInputs
from .pass_runner import PassRunner
from .slots import Ints, SlotTable
from .unbound_tail import UnboundTail

# A pass of few queries over keys of few offsets turns the queries once for each offset. Any other pass rotates the
# keys to one offset first, and so does one where at most MAX_KEYS_ROTATED keys differ: that costs less than a second
# version of one query. The limits were measured with the small model on two cores.
MAX_QUERIES_TURNED = 7
MAX_OFFSETS_KEPT = 4
MAX_KEYS_ROTATED = 1000


class KVSequence:
    """The model's view of a document, or of a window of it."""

    def __init__(self, model: Transformer, arena: Arena, runner: PassRunner | None = None) -> None:
        self.tokens: list[int] = []
        self.n_fresh = 0
        self.n_encoded = 0  # tokens of the sequence that were encoded so far
        self.n_bound_encoded = 0  # the same of chunks
        self._chunks = BoundChunks()
        self._device = model.device
        self._runner = runner or PassRunner.of(model)
        self._slots = SlotTable()
        self._rows = KVStore(arena)
        self._sees_chunks = True  # not while `logits_without` encodes

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def n_pending(self) -> int:
        return self._slots.n_pending

    @property
    def bound(self) -> tuple[tuple[int, ...], ...]:
        """The chunks that are bound, the last one nearest."""
        return self._chunks.chunks

    @property
    def bound_end(self) -> int:
        """Chunks are placed before this position, 0 at first; earlier tokens do not attend to them."""
        return self._slots.bound_end

    @bound_end.setter
    def bound_end(self, position: int) -> None:
        self._slots.bound_end = position

    @property
    def n_pending_bound(self) -> int:
        return len(self._slots.pending_bound())

    @property
    def n_bytes(self) -> int:
        return self._rows.n_bytes

    def pending_positions(self) -> Ints:
        """The positions that have no keys and values yet, in order."""
        return self._slots.pending_positions()

    def splice(self, start: int, end: int, tokens: Items[int]) -> None:
        """Replaces the tokens [start, end) by pending ones; the tokens behind them shift and become stale.

        Cost: copies at most one row for each removed token; encodes nothing.
        """
        assert 0 <= start <= end <= len(self.tokens), (start, end, len(self.tokens))
        self._rows.copy(self._slots.splice(start, end, len(tokens)))
        self.tokens[start:end] = tokens
        self.n_fresh = min(self.n_fresh, start)

    def move(self, start: int, end: int, to: int) -> None:
        """Takes the tokens [start, end) out and inserts them at `to` of the remaining ones.

        They keep their keys and values and become stale.
        """
        assert 0 <= start <= end <= len(self.tokens), (start, end, len(self.tokens))
        assert 0 <= to <= len(self.tokens) - (end - start), (to, start, end, len(self.tokens))
        self._slots.move(start, end, to)
        run = self.tokens[start:end]
        del self.tokens[start:end]
        self.tokens[to:to] = run
        self.n_fresh = min(self.n_fresh, start, to)

    def truncate(self, n_tokens: int) -> None:
        """Removes all tokens behind the first n_tokens."""
        self.splice(n_tokens, len(self.tokens), ())

    def encode(self, positions: Ints, n_logits: int = 0) -> Tensor:
        """Encodes pending or stale tokens; each attends to the tokens before it that have keys.

        Shapes: positions [k], rising → the logits of the last n_logits of them [n_logits, V] float32.
        Raises: ArenaFull, and then nothing has changed.
        """
        table = self._slots
        self._rows.reserve(table.n_tokens)
        offset, n_offsets, n_others = table.common_offset()
        turns_queries = len(positions) <= MAX_QUERIES_TURNED and n_offsets <= MAX_OFFSETS_KEPT
        slots = table.place(positions, offset)
        source = self._chunks.tokens if positions[0] < 0 else self.tokens
        try:
            if n_others and (n_others <= MAX_KEYS_ROTATED or not turns_queries):
                self.derive_rotated(offset)
            spans, seen = self._chunks.attention_rule(
                positions, table.position_of, n_logits, self._sees_chunks
            )
            inputs = PassInputs(
                tokens=np.array([source[p] for p in positions.tolist()]),
                slots=slots,
                at=table.seen_positions(positions),
                offset=offset,
                has_one_offset=n_others == 0 and n_offsets == 1,
                seen_at=table.seen_at,
                rotated_at=table.rotated_at,
                spans=spans,
                seen=seen,
            )
            logits = self._runner.run(self._rows, inputs, n_logits)
        except BaseException:
            self._forget(positions)
            raise
        if positions[0] < 0:
            self.n_bound_encoded += len(positions)
            return logits
        self.n_encoded += len(positions)
        self._extend_fresh(positions)
        if n_logits and self._chunks:
            self.n_fresh = min(self.n_fresh, int(positions[-n_logits]))
        return logits

    def bind(self, chunks: Iterable[Items[int]]) -> None:
        """Replaces the bound chunks, at most MAX_BOUND; nothing is encoded yet."""
        self._chunks = BoundChunks(chunks)
        self._rows.copy(self._slots.bind(len(self._chunks)))

    def encode_bound(self, limit: int, cache: ChunkCache) -> bool:
        """Takes the first pending chunk from the cache, or encodes at most `limit` of its tokens.

        False if no chunk is pending. Raises: ArenaFull.
        """
        pending = self._slots.pending_bound()
        if len(pending) == 0:
            return False
        chunk, positions = self._chunks.chunk_at(int(pending[0]))
        pending = pending[pending <= positions[-1]]
        cached = cache.get(chunk) if len(pending) == len(positions) else None
        if cached is None:
            self.encode(pending[:limit])
            if len(pending) <= limit:
                slots = self._on_device(self._slots.bound_slot_of[positions])
                cache.put(chunk, self._rows.read(slots))
            return True
        self._rows.reserve(self._slots.n_tokens)
        offset, *_ = self._slots.common_offset()
        slots = self._on_device(self._slots.place(positions, offset))
        self._rows.write(slots, cached)
        self._rotate(positions, slots, offset)
        return True

    def encode_pending(self, limit: int, before: int | None = None) -> int:
        """Encodes at most `limit` pending tokens, from the first on and before position `before`; how many."""
        pending = self.pending_positions()[:limit]
        if before is not None:
            pending = pending[pending < before]
        if len(pending):
            self.encode(pending)
        return len(pending)

    def refresh(self, limit: int, before: int | None = None) -> int:
        """Encodes at most `limit` tokens from n_fresh on, which makes them fresh; how many."""
        end = min(len(self.tokens) if before is None else before, self.n_fresh + limit)
        if end <= self.n_fresh:
            return 0
        positions = np.arange(self.n_fresh, end)
        self.encode(positions)
        return len(positions)

    def repair(self, positions: Iterable[int]) -> None:
        """Encodes selected stale tokens again in one pass. They stay stale unless they follow n_fresh."""
        selected = np.fromiter(positions, np.int64)
        if len(selected):
            self.encode(selected)

    def next_logits(self, pending: Ints | None = None) -> Tensor:
        """The logits behind the last token, which is encoded again in one pass with the given pending ones.

        Shapes: pending [k], rising → [V] float32.
        """
        last = len(self.tokens) - 1
        before = () if pending is None else pending[pending < last]
        return self.encode(np.append(before, last).astype(np.int64), 1)[0]

    def append(self, token: int) -> Tensor:
        """Appends and encodes a token; the logits behind it. Shape: [V] float32."""
        self.splice(len(self.tokens), len(self.tokens), (token,))
        return self.next_logits()

    def extend(self, tokens: Items[int], pending: Ints | None = None) -> Tensor:
        """Appends and encodes tokens in one pass; the logits behind each. Shape: [n, V] float32.

        With pending positions, rising, the pass also encodes these and again the token that was last, for the logits
        behind it. Shape then: [1 + n, V] float32.
        """
        n_before = len(self.tokens)
        first = n_before if pending is None else n_before - 1
        self.splice(n_before, n_before, tokens)
        with_logits = np.arange(first, len(self.tokens))
        before = with_logits[:0] if pending is None else pending[pending < first]
        return self.encode(np.concatenate((before, with_logits)), len(with_logits))

    def logits_without(self, tail: UnboundTail, n_tokens: int) -> Tensor:
        """The logits behind the first n_tokens, as if the last tokens had seen no chunk. Shape: [V] float32.

        Their second version extends the one in `tail`. It lies in the slots of the first version only meanwhile: these
        get their rows back bit for bit. Cost: encodes the tokens that `tail` lacks, at least the last. Raises:
        ArenaFull.
        """
        positions, n_fresh = np.arange(tail.start, n_tokens), self.n_fresh
        tokens = self.tokens[tail.start : n_tokens]
        n_known = min(n_in_common(tail.tokens, tokens), len(tokens) - 1)
        slots = self._slots.slot_of[positions]
        assert (slots >= 0).all(), slots
        at = self._on_device(slots)
        saved, rotated_at = self._rows.read_all(at), self._slots.rotated_at[slots]
        try:
            if n_known and tail.rows:
                offset, *_ = self._slots.common_offset()
                self._slots.place(positions[:n_known], offset)
                keys, values = (part[:, :, :n_known] for part in tail.rows)
                self._rows.write(at[:n_known], (keys, values))
                self._rotate(positions[:n_known], at[:n_known], offset)
            self._sees_chunks = False
            logits = self.encode(positions[n_known:], 1)[0]
            tail.tokens, tail.rows = tokens, self._rows.read(at)
            return logits
        finally:
            self._sees_chunks = True
            # after a failed pass its tokens are pending and their slots belong to other tokens
            if np.array_equal(self._slots.slot_of[positions], slots):
                self._rows.write_all(at, saved)
                self._slots.rotated_at[slots] = rotated_at
                self.n_fresh = n_fresh

    def derive_rotated(self, offset: int = 0) -> None:
        """Rotates all keys to `offset` places before their positions.

        Raises: whatever the kernel raises; then the tokens whose keys it was to rotate are pending.
        """
        table = self._slots
        moved = np.flatnonzero(table.seen_at - table.rotated_at != offset)
        if len(moved):
            self._rotate(table.position_of[moved], self._on_device(moved), offset)
            table.mark_rotated(moved, offset)

    def drop_cache(self) -> None:
        """Releases all memory; every token is pending again, those of chunks too."""
        bound_end = self.bound_end
        self._slots = SlotTable()
        self.bound_end = bound_end
        self._slots.splice(0, 0, len(self.tokens))
        self._slots.bind(len(self._chunks))
        self._rows.release()
        self._runner.drop()
        self.n_fresh = 0

    def keys_and_values(self) -> tuple[Tensor, Tensor]:
        """Unrotated keys and values by position, where no token is pending. Shapes: [L, T, Hk, D]."""
        assert self.n_pending == 0, self.n_pending
        keys, values = self._rows.read(self._on_device(self._slots.slot_of))
        return keys.transpose(1, 2), values.transpose(1, 2)

    def check(self) -> None:
        """Recomputes the invariants.

        Raises: AssertionError.
        """
        self._slots.check()
        assert len(self._slots.slot_of) == len(self.tokens)
        assert 0 <= self.n_fresh <= len(self.tokens), (self.n_fresh, len(self.tokens))
        pending = self.pending_positions()
        assert len(pending) == 0 or self.n_fresh <= pending[0], (self.n_fresh, pending[0])
        assert self._slots.n_used <= self._rows.n_slots, (self._slots.n_used, self._rows.n_slots)

    def _rotate(self, positions: Ints, slots: Tensor, offset: int) -> None:
        try:
            at = self._slots.seen_positions(positions) - offset
            self._runner.rotate(self._rows, slots, at)
        except BaseException:
            # some of these keys are rotated by now, and which ones is unknown
            self._forget(np.sort(positions))
            raise

    def _forget(self, positions: Ints) -> None:
        self._rows.copy(self._slots.forget(positions))
        own = positions[positions >= 0]
        self.n_fresh = min([self.n_fresh, *own[:1].tolist()])

    def _extend_fresh(self, positions: Ints) -> None:
        """Counts the encoded tokens that follow n_fresh. Fresh tokens that were encoded again stay fresh."""
        n_before = int(np.searchsorted(positions, self.n_fresh))
        following = positions[n_before:]
        run = following == self.n_fresh + np.arange(len(following))
        self.n_fresh += len(run) if run.all() else int(run.argmin())

    def _on_device(self, numbers: Ints) -> Tensor:
        return torch.from_numpy(numbers).to(self._device)
