"""A sequence of tokens with its keys and values, edited by splices.

Intervals, by position:
    [0, n_fresh)     fresh: keys and values are what a cold read of the present tokens gives
    [n_fresh, n)     stale or pending; nobody attends to a pending token
An encode of tokens writes their rows layer by layer; one that fails leaves them pending.

Chunks may be bound beside the tokens, at positions of their own. By the attention rule a chunk's tokens see their own
chunk only, and of the sequence's tokens those alone see chunks whose logits are asked for: so binding changes no
token's keys and values, and a token that has seen chunks is not fresh.

Source: "Let the Code LLM Edit Itself When You Edit the Code" (arXiv:2407.03157).
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Items

import numpy as np
import torch
from torch import Tensor

from warmline_engine.model.transformer import Transformer
from warmline_engine.text.prefix import n_in_common
from warmline_kernels.choose import is_fast, kernels_for
from warmline_kernels.decoder import NativePass
from warmline_kernels.view import EVERY_SPAN, AttentionMetadata, cos_sin

from .arena import Arena, KVStore
from .chunk_cache import ChunkCache
from .cuda_graphs import PassInputs, passes_for
from .slots import Ints, SlotTable
from .unbound_tail import UnboundTail

# more queries than this read keys that all have one offset; fewer are turned once per offset instead. At 8,000
# slots and two offsets the second version of 8 queries costs what half of the keys cost to derive (37 and 33 ms)
N_QUERIES_TURNED = 7
N_OFFSETS_KEPT = 4
# so many keys are rotated anew for less than a query's second version costs in one pass (small model, two cores)
N_KEYS_ROTATED = 1000
MAX_BOUND = 61  # chunks: spans are bits of a mask
FARTHEST_OFFSET = 4096  # an angle has fewer exact digits the farther from 0 its position is


class KVSequence:
    """The model's view of a document, or of a window of it."""

    def __init__(self, model: Transformer, arena: Arena) -> None:
        self.tokens: list[int] = []
        self.n_fresh = 0
        self.n_encoded = 0  # tokens encoded in all, for the books of what an edit cost
        self.n_bound_encoded = 0  # those of chunks
        self.bound: tuple[tuple[int, ...], ...] = ()  # chunks, the last one nearest
        self._bound_tokens: list[int] = []
        self._chunk_of: Ints = np.empty(0, np.int64)  # by bound position
        self._model = model
        self._rope = model.config.rope
        self._frequencies = model.config.rope.inverse_frequencies.to(model.device)
        self._kernels = kernels_for(model.device)
        self._graphs = passes_for(model, self._kernels)
        self._slots = SlotTable()
        self._rows = KVStore(arena)
        self._sees_chunks = True  # not while a second row is made

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def n_pending(self) -> int:
        return self._slots.n_pending

    @property
    def bound_end(self) -> int:
        """The position that what is bound stands before, 0 at first. Nobody before it sees it."""
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
        """Replaces the tokens [start, end) by pending ones; what follows shifts and turns stale.

        Cost: the rows of as many slots as were removed are copied; nothing is encoded.
        """
        assert 0 <= start <= end <= len(self.tokens), (start, end, len(self.tokens))
        self._rows.copy(self._slots.splice(start, end, len(tokens)))
        self.tokens[start:end] = tokens
        self.n_fresh = min(self.n_fresh, start)

    def move(self, start: int, end: int, to: int) -> None:
        """Takes the tokens [start, end) out and puts them so that they begin at `to` of what is left.

        They keep their keys and values, and are stale.
        """
        assert 0 <= start <= end <= len(self.tokens), (start, end, len(self.tokens))
        assert 0 <= to <= len(self.tokens) - (end - start), (to, start, end, len(self.tokens))
        self._slots.move(start, end, to)
        run = self.tokens[start:end]
        del self.tokens[start:end]
        self.tokens[to:to] = run
        self.n_fresh = min(self.n_fresh, start, to)

    def truncate(self, n_tokens: int) -> None:
        """Drops the tokens behind the first n_tokens."""
        self.splice(n_tokens, len(self.tokens), ())

    def encode(self, positions: Ints, n_logits: int = 0) -> Tensor:
        """Encodes the tokens at positions, pending or stale, each seeing what has keys before it.

        Shapes: positions [k], rising → the logits of the last n_logits of them [n_logits, V] float32.
        Raises: ArenaFull, and then nothing has changed.
        """
        self._rows.reserve(self._slots.n_tokens)
        offset, n_offsets, n_others = self._common_offset()
        is_turned = len(positions) <= N_QUERIES_TURNED and n_offsets <= N_OFFSETS_KEPT
        slots = self._slots.place(positions, offset)
        try:
            if n_others and (n_others <= N_KEYS_ROTATED or not is_turned):
                self.derive_rotated(offset)
            has_one_offset = n_others == 0 and n_offsets == 1
            logits = self._forward(positions, slots, offset, n_logits, has_one_offset)
        except BaseException:
            self._forget(positions)
            raise
        if positions[0] < 0:
            self.n_bound_encoded += len(positions)
            return logits
        self.n_encoded += len(positions)
        self._extend_fresh(positions)
        if n_logits and self._bound_tokens:
            self.n_fresh = min(self.n_fresh, int(positions[-n_logits]))
        return logits

    def bind(self, chunks: Iterable[Items[int]]) -> None:
        """Puts chunks of tokens before `bound_end` in place of those that are there; nothing is encoded yet.

        At most MAX_BOUND of them.
        """
        self.bound = tuple(tuple(chunk) for chunk in chunks)
        assert len(self.bound) <= MAX_BOUND, len(self.bound)
        self._bound_tokens = [token for chunk in self.bound for token in chunk]
        self._chunk_of = np.repeat(np.arange(len(self.bound)), [len(chunk) for chunk in self.bound])
        self._rows.copy(self._slots.bind(len(self._bound_tokens)))

    def encode_bound(self, limit: int, kept: ChunkCache) -> bool:
        """Brings the first chunk that is pending nearer: out of what is kept, or `limit` of its tokens encoded.

        Whether there was one. Raises: ArenaFull.
        """
        pending = self._slots.pending_bound()
        if len(pending) == 0:
            return False
        number = self._chunk_of[pending[0]]
        span = np.flatnonzero(self._chunk_of == number) - len(self._chunk_of)
        pending = pending[pending <= span[-1]]
        rows = kept.get(self.bound[number]) if len(pending) == len(span) else None
        if rows is None:
            self.encode(pending[:limit])
            if len(pending) <= limit:
                slots = torch.from_numpy(self._slots.bound_slot_of[span]).to(self._model.device)
                unrotated, values = (
                    self._rows.unrotated[:, :, slots],
                    self._rows.values[:, :, slots],
                )
                kept.put(self.bound[number], (unrotated, values))
            return True
        self._rows.reserve(self._slots.n_tokens)
        offset = self._common_offset()[0]
        slots = torch.from_numpy(self._slots.place(span, offset)).to(self._model.device)
        self._rows.unrotated[:, :, slots], self._rows.values[:, :, slots] = rows
        self._rotate(span, slots, offset)
        return True

    def encode_pending(self, limit: int, before: int | None = None) -> int:
        """Encodes the first pending tokens, at most `limit`, and none from position `before` on; how many."""
        pending = self.pending_positions()[:limit]
        if before is not None:
            pending = pending[pending < before]
        if len(pending):
            self.encode(pending)
        return len(pending)

    def refresh(self, limit: int, before: int | None = None) -> int:
        """Encodes from n_fresh on, in order: what makes tokens fresh. How many were encoded."""
        end = min(len(self.tokens) if before is None else before, self.n_fresh + limit)
        if end <= self.n_fresh:
            return 0
        positions = np.arange(self.n_fresh, end)
        self.encode(positions)
        return len(positions)

    def repair(self, positions: Iterable[int]) -> None:
        """Encodes chosen stale tokens again, in one pass: better, and stale still, unless they follow n_fresh."""
        chosen = np.fromiter(positions, np.int64)
        if len(chosen):
            self.encode(chosen)

    def next_logits(self, pending: Ints | None = None) -> Tensor:
        """The logits behind the last token, which is encoded again for them, in one pass with the pending given.

        Shapes: pending [k], rising → [V] float32.
        """
        last = len(self.tokens) - 1
        before = () if pending is None else pending[pending < last]
        return self.encode(np.append(before, last).astype(np.int64), 1)[0]

    def append(self, token: int) -> Tensor:
        """Adds a token at the end and encodes it; the logits behind it. Shape: [V] float32."""
        self.splice(len(self.tokens), len(self.tokens), (token,))
        return self.next_logits()

    def extend(self, tokens: Items[int], pending: Ints | None = None) -> Tensor:
        """Adds tokens at the end and encodes them in one pass; the logits behind each. Shape: [n, V] float32.

        With the pending positions given, rising, the last token that there is is encoded again in the same pass, for
        the logits behind it. Shape then: [1 + n, V] float32.
        """
        n_before = len(self.tokens)
        first = n_before if pending is None else n_before - 1
        self.splice(n_before, n_before, tokens)
        asked = np.arange(first, len(self.tokens))
        before = asked[:0] if pending is None else pending[pending < first]
        return self.encode(np.concatenate((before, asked)), len(asked))

    def logits_without(self, row: UnboundTail, n_tokens: int) -> Tensor:
        """The logits behind the first n_tokens, of a second version of the last without chunks. Shape: [V] float32.

        The version is made from where `row` has it; meanwhile it lies where the first one does, which comes back
        afterwards bit for bit. Costs the tokens that were not made before, at least the last. Raises: ArenaFull.
        """
        positions, n_fresh = np.arange(row.start, n_tokens), self.n_fresh
        own = self.tokens[row.start : n_tokens]
        n_known = min(n_in_common(row.tokens, own), len(own) - 1)
        slots = self._slots.slot_of[positions]
        assert (slots >= 0).all(), slots
        at = torch.from_numpy(slots).to(self._model.device)
        stores = self._rows.stores
        first, rotated_at = [store[:, :, at] for store in stores], self._slots.rotated_at[slots]
        try:
            if n_known and row.rows:
                offset = self._common_offset()[0]
                known = self._slots.place(positions[:n_known], offset)
                stores[0][:, :, at[:n_known]] = row.rows[0][:, :, :n_known]
                stores[2][:, :, at[:n_known]] = row.rows[1][:, :, :n_known]
                self._rotate(positions[:n_known], at[: len(known)], offset)
            self._sees_chunks = False
            logits = self.encode(positions[n_known:], 1)[0]
            row.tokens, row.rows = own, (stores[0][:, :, at], stores[2][:, :, at])
            return logits
        finally:
            self._sees_chunks = True
            # a pass that failed has made its tokens pending, and their slots are others by now
            if np.array_equal(self._slots.slot_of[positions], slots):
                for store, version in zip(stores, first, strict=True):
                    store[:, :, at] = version
                self._slots.rotated_at[slots] = rotated_at
                self.n_fresh = n_fresh

    def derive_rotated(self, offset: int = 0) -> None:
        """Rotates keys anew that are not rotated for `offset` places before where they stand, from the unrotated ones.

        Where that fails, the tokens it was to rotate are pending.
        """
        table = self._slots
        moved = np.flatnonzero(table.seen_at - table.rotated_at != offset)
        if len(moved) == 0:
            return
        slots = torch.from_numpy(moved).to(self._model.device)
        self._rotate(table.position_of[moved], slots, offset)
        table.mark_rotated(moved, offset)

    def _rotate(self, positions: Ints, slots: Tensor, offset: int) -> None:
        at = torch.from_numpy(self._slots.seen_positions(positions) - offset).to(self._model.device)
        cos, sin = cos_sin(at, self._frequencies, self._rope.attention_factor)
        try:
            self._kernels.rotate(self._rows.unrotated, self._rows.rotated, slots, cos, sin)
        except BaseException:
            # some of these keys are turned by now and some are not, and nobody knows which
            self._forget(np.sort(positions))
            raise

    def drop_cache(self) -> None:
        """Gives all memory back; every token is pending again, and what is bound."""
        n_tokens, n_bound, end = len(self.tokens), len(self._bound_tokens), self.bound_end
        self._slots = SlotTable()
        self.bound_end = end
        self._slots.splice(0, 0, n_tokens)
        self._slots.bind(n_bound)
        self._rows.release()
        if self._graphs is not None:
            self._graphs.drop()
        self.n_fresh = 0

    def keys_and_values(self) -> tuple[Tensor, Tensor]:
        """Unrotated keys and values by position, where no token is pending. Shapes: [L, T, Hk, D]."""
        assert self.n_pending == 0, self.n_pending
        slots = torch.from_numpy(self._slots.slot_of).to(self._model.device)
        keys, values = self._rows.unrotated[:, :, slots], self._rows.values[:, :, slots]
        return keys.transpose(1, 2), values.transpose(1, 2)

    def check(self) -> None:
        """Recomputes the books.

        Raises: AssertionError.
        """
        self._slots.check()
        assert len(self._slots.slot_of) == len(self.tokens)
        assert 0 <= self.n_fresh <= len(self.tokens), (self.n_fresh, len(self.tokens))
        pending = self.pending_positions()
        assert len(pending) == 0 or self.n_fresh <= pending[0], (self.n_fresh, pending[0])
        assert self._slots.n_used <= self._rows.n_slots, (self._slots.n_used, self._rows.n_slots)

    def _forget(self, positions: Ints) -> None:
        self._rows.copy(self._slots.forget(positions))
        own = positions[positions >= 0]
        self.n_fresh = min([self.n_fresh, *own[:1].tolist()])

    def _extend_fresh(self, positions: Ints) -> None:
        n_before = int(np.searchsorted(positions, self.n_fresh))
        following = positions[n_before:]
        run = following == self.n_fresh + np.arange(len(following))
        n_run = len(run) if run.all() else int(run.argmin())
        self.n_fresh += n_run
        # a fresh token that was encoded again stays fresh: it saw what a cold read shows it

    def _common_offset(self) -> tuple[int, int, int]:
        """The offset to rotate new keys for, which most keys have; how many offsets there are; keys with the others.

        A shift is shared by all keys behind it: the few that do not share it are the ones to rotate anew.
        """
        offsets, counts = self._slots.offsets()
        if len(offsets) == 1 and abs(offsets[0]) <= FARTHEST_OFFSET:
            return int(offsets[0]), 1, 0  # as mostly
        near = np.abs(offsets) <= FARTHEST_OFFSET
        if not near.any():
            return 0, len(offsets) + 1, int(counts.sum())
        n_most = counts[near].max()
        common = offsets[near][counts[near].argmax()]
        return int(common), len(offsets), int(counts.sum() - n_most)

    def _forward(
        self, positions: Ints, slots: Ints, offset: int, n_logits: int, has_one_offset: bool
    ) -> Tensor:
        """`has_one_offset`: all keys are rotated for `offset` places before where they stand."""
        table, device, rows = self._slots, self._model.device, self._rows
        source = self._bound_tokens if positions[0] < 0 else self.tokens
        numbers = PassInputs(
            np.array([source[p] for p in positions.tolist()]), slots, table.seen_positions(positions), offset,
            table.seen_at, table.rotated_at, *self._rule(positions, n_logits),
        )  # fmt: skip
        if self._graphs is not None:
            logits = self._graphs.run(rows, numbers, n_logits)
            if logits is not None:
                return logits
        at, tokens = (torch.from_numpy(part).to(device) for part in (numbers.at, numbers.tokens))
        view = AttentionMetadata(
            query_positions=at,
            key_positions=torch.from_numpy(numbers.seen_at).to(device),
            rotated_at=torch.from_numpy(numbers.rotated_at.copy()).to(device),
            inverse_frequencies=self._frequencies,
            attention_factor=self._rope.attention_factor,
            scale=self._model.config.attention_scale,
            key_spans=None if numbers.spans is None else torch.from_numpy(numbers.spans).to(device),
            seen_spans=None if numbers.seen is None else torch.from_numpy(numbers.seen).to(device),
            only_offset=offset if has_one_offset else None,
        )
        if has_one_offset:
            cos, sin = (angles[0] for angles in view.query_angles)
        else:
            cos, sin = cos_sin(at[:, None] - offset, self._frequencies, self._rope.attention_factor)
        if self._model.supports_fused(len(positions)):
            step = NativePass(rows.stores, torch.from_numpy(slots), view, (cos, sin))
            return self._model.forward_at_once(tokens, step, n_logits)
        windows, kernels = self._model.config.windows, self._kernels
        # a GPU's kernels take no slices
        target = (
            torch.from_numpy(slots).to(device) if is_fast(kernels) else _as_slice_or_index(slots)
        )
        layers = rows.layers(table.n_used)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            kernels.write_kv(k, v, target, cos, sin, layers[layer])
            _, keys, values = layers[layer]
            return kernels.attention(q, keys, values, view, windows[layer])

        logits_for = slice(len(positions) - n_logits, None) if n_logits else None
        return self._model.forward(tokens, attend, logits_for)

    def _rule(self, positions: Ints, n_logits: int) -> tuple[Ints, Ints] | tuple[None, None]:
        """The keys' spans and which of them each query sees: chunk k is span k + 1, all else span 0.

        Nothing where each query sees all, as those do that decode. A second row sees span 0 alone.
        """
        if not self._bound_tokens or (self._sees_chunks and n_logits == len(positions)):
            return None, None
        at = self._slots.position_of
        spans = np.zeros(len(at), np.int64)
        spans[at < 0] = self._chunk_of[at[at < 0]] + 1
        if positions[0] < 0:
            seen = np.left_shift(1, self._chunk_of[positions] + 1)
        else:
            seen = np.ones(len(positions), np.int64)
            if self._sees_chunks:
                seen[len(seen) - n_logits :] = EVERY_SPAN
        return spans, seen


def _as_slice_or_index(slots: Ints) -> slice | Tensor:
    """Slots in a row as a slice, which writes in place without an index."""
    first, last = int(slots[0]), int(slots[-1])
    if last - first == len(slots) - 1 and bool((np.diff(slots) == 1).all()):
        return slice(first, last + 1)
    return torch.from_numpy(slots)
