"""A window: keeps the text, the tokens and the cache of a stretch of a document in step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from warmline_engine.cache.sequence import KVSequence
from warmline_engine.cache.slots import Ints
from warmline_engine.text.changes import Change, Splice
from warmline_engine.text.tokenized_text import TailToken, TokenizedText

from .context import Context
from .loaded_model import LoadedModel

MAX_HEALED = 4  # tokens; of a longer piece only the last ones are healed
N_REPAIRED = 32  # tokens before the cursor, where the text behind it was edited
NEAR_SUFFIX = 256  # tokens behind the cursor that a completion waits for
N_BEHIND = 4  # tokens behind an edit that are encoded with it, because they depend on it most


class Window:
    """The code points [start, end) of a document. The sequence may carry a tail of generated tokens."""

    def __init__(self, model: LoadedModel, text: str, start: int, end: int, cursor: int) -> None:
        self._model = model
        self.start = start
        self.tokenized = TokenizedText(
            model.tokenizer, model.layout, text[start:end], cursor - start
        )
        self.sequence = KVSequence(model.transformer, model.arena)
        self.sequence.splice(0, 0, self.tokenized.ids)
        self.n_own_tokens = len(self.sequence)
        self.tail: tuple[TailToken, ...] = ()
        # whether the text behind the cursor was edited since the tokens before it were encoded
        self.is_behind_changed = False
        self.n_respelled = 0  # tokens of the prefix whose text the tail begins with
        self.n_behind = N_BEHIND
        # positions moved by an accept or a jump, not yet repaired
        self.accepted: tuple[int, int] | None = None

    @property
    def end(self) -> int:
        return self.start + len(self.tokenized.text)

    @property
    def cursor(self) -> int:
        return self.start + self.tokenized.cursor

    def edit(self, start: int, end: int, replacement: str) -> None:
        """Replaces characters of the document that lie within the window."""
        cursor = self.tokenized.cursor
        changes = self.tokenized.edit(start - self.start, end - self.start, replacement, self.tail)
        if self.tokenized.layout.is_suffix_first:
            begin = self.tokenized.prefix_span[0]
            self.is_behind_changed |= any(change.start < begin for change in changes)
        self._apply(changes)
        if end - self.start != cursor:
            self._encode_behind(start - self.start + len(replacement))

    def to_repair(self) -> Ints:
        """Positions before the cursor that are worth encoding again with the next answer, rising.

        With the suffix first they attended to the text behind the cursor. After an edit there they are misleading.
        """
        if not self.is_behind_changed:
            return np.zeros(0, np.int64)
        begin, end = self.tokenized.prefix_span
        end -= len(self.healed_ids())
        first = max(begin, self.sequence.n_fresh, end - N_REPAIRED)
        return np.arange(first, max(first, end))

    def move_cursor(self, offset: int) -> None:
        """Puts the cursor at an offset of the document within the window."""
        if offset != self.cursor:
            self.drop_tail()
            self._apply(self.tokenized.move_cursor(offset - self.start))

    def slide(self, text: str, start: int, end: int) -> None:
        """Makes the window [start, end) of `text`, which it overlaps, by edits at both ends."""
        self.drop_tail()
        if end < self.end:
            self._apply(self.tokenized.edit(end - self.start, self.end - self.start, ""))
        elif self.end < end:
            at = self.end - self.start
            # behind the cursor even where the window ends with it
            self._append_behind(at, text[self.end : end])
        if self.start < start:
            self._apply(self.tokenized.edit(0, start - self.start, ""))
        elif start < self.start:
            self._apply(self.tokenized.edit(0, 0, text[start : self.start]))
        self.start = start

    def carried(self) -> list[int]:
        """The tokens that the sequence carries behind the window's own."""
        return self.sequence.tokens[self.n_own_tokens :]

    def note_tail(self, n_respelled: int = 0) -> None:
        """Makes a tail of the carried tokens, which begin with the text of the prefix's last `n_respelled` tokens."""
        tokens, decode = self.carried(), self._model.tokenizer.decode
        self.n_respelled = n_respelled if tokens else 0
        n_known = len(self.respelled())
        self.tail = tuple((len(decode(tokens[:k])) - n_known, t) for k, t in enumerate(tokens))

    def respelled(self) -> str:
        """The text before the cursor that the tail begins with."""
        ids = self.tokenized.prefix_ids
        return self._model.tokenizer.decode(ids[len(ids) - self.n_respelled :])

    def put_tail(self, text: str) -> None:
        """Makes the sequence carry a text behind its own tokens; carried tokens that agree with it stay."""
        known = self.respelled()
        tokenizer, whole = self._model.tokenizer, known + text
        n_kept, n_covered = self._common_tail(whole, len(known))
        if n_kept == 0:
            self.n_respelled, whole = 0, text
        self.sequence.truncate(self.n_own_tokens + n_kept)
        n = len(self.sequence)
        self.sequence.splice(n, n, tokenizer.encode(whole[n_covered:]).ids)
        self.note_tail(self.n_respelled)

    def _common_tail(self, text: str, n_known: int) -> tuple[int, int]:
        """How many tokens of the tail a text begins with, and how many of its characters they spell.

        They must reach beyond the first `n_known` characters.
        """
        for n_kept in range(len(self.tail), 0, -1):
            spelled = self._model.tokenizer.decode([token for _, token in self.tail[:n_kept]])
            # a token may have no text: without assumed text nothing of the tail stays
            if n_known < len(spelled) and text.startswith(spelled):
                return n_kept, len(spelled)
        return 0, 0

    def healed_ids(self) -> list[int]:
        """The last tokens of the prefix that a completion generates again: those of the piece that the cursor is in."""
        line = self.tokenized.line_before
        # models are trained on cuts at the start of a line
        if not line.strip():
            return []
        tokens = self.tokenized.last_piece[-MAX_HEALED:]
        is_all = len(tokens) == self.n_own_tokens  # an empty context has no logits
        return [] if is_all or not self._can_spell(tokens) else tokens

    def healed_ids_in_tail(self) -> list[int]:
        """The last carried tokens that a completion generates again."""
        carried, tokenizer = self.carried(), self._model.tokenizer
        encoded = tokenizer.encode(tokenizer.decode(carried))
        begins = np.flatnonzero(encoded.begins_piece)
        piece = encoded.ids[int(begins[-1]) :][-MAX_HEALED:] if len(begins) else []
        # none if a carried token crosses the border of the piece
        return piece if piece and carried[-len(piece) :] == piece and self._can_spell(piece) else []

    def _can_spell(self, tokens: list[int]) -> bool:
        return self._model.spellings.can_spell(self._model.tokenizer.decode(tokens))

    def pending_ahead(self) -> Ints:
        """The pending positions to encode ahead: all but those of tokens that a completion generates again."""
        pending, end = self.sequence.pending_positions(), self.tokenized.prefix_span[1]
        begin = end - len(self.healed_ids())  # whether or not a tail spells it already
        return pending[(pending < begin) | (end <= pending)]

    def encode_ahead(self, limit: int) -> int:
        """Encodes the first pending tokens, at most `limit`; how many."""
        pending = self.pending_ahead()[:limit]
        if len(pending):
            self.sequence.encode(pending)
        return len(pending)

    def needed(self) -> Ints:
        """The pending positions before the cursor, shortly behind it, and in the tail."""
        limit = self.tokenized.suffix_span[0] + NEAR_SUFFIX
        if self.tokenized.layout.is_suffix_first:
            limit = self.n_own_tokens
        pending = self.sequence.pending_positions()
        return pending[(pending < limit) | (self.n_own_tokens <= pending)]

    def read(self, virtual_text: str, is_cancelled: Callable[[], bool], chunk_tokens: int) -> bool:
        """Encodes all but a last chunk of the tokens that a completion behind the assumed text needs.

        False if it was cancelled between two chunks.
        """
        self.put_tail(virtual_text)
        # as near to the cursor as possible: directly before the prefix, also with the suffix first
        self.sequence.bound_end = self.tokenized.prefix_span[0]
        while len(pending := self.needed()) > chunk_tokens:
            if is_cancelled():
                return False
            self.sequence.encode(pending[:chunk_tokens])
        return True

    @contextmanager
    def completing(self, computes_logits: bool) -> Iterator[Context]:
        """The context of a completion. Meanwhile the sequence lacks the tokens that are generated again.

        With `computes_logits` one pass encodes the last chunk and computes the logits. The tokens generated last stay
        as the window's tail.
        """
        sequence, carried = self.sequence, self.carried()
        prefix, suffix = self.tokenized.prefix_ids, self.tokenized.suffix_ids
        # with a tail, its last piece is healed, and the tokens that the tail spells again are left out as well
        healed = self.healed_ids_in_tail() if carried else self.healed_ids()
        n_respelled = self.n_respelled if carried else len(healed)
        sequence.truncate(len(sequence) - (len(healed) if carried else 0))
        n_encoded = sequence.n_encoded
        try:
            with self.without(n_respelled):
                before = [*prefix[: len(prefix) - n_respelled], *self.carried()]
                pending = np.union1d(self.needed(), self.to_repair())
                healed_text = self._model.tokenizer.decode(healed)
                try:
                    first = sequence.next_logits(pending) if computes_logits else None
                    yield Context(sequence, before, suffix, healed_text, first, pending)
                finally:
                    if n_encoded < sequence.n_encoded:
                        self.is_behind_changed = False
        finally:
            self.note_tail(n_respelled)

    @contextmanager
    def without(self, n_tokens: int) -> Iterator[None]:
        """Removes the last tokens of the prefix from the sequence, and inserts them again afterwards, pending."""
        sequence = self.sequence
        if n_tokens == 0:
            yield
            return
        end = self.tokenized.prefix_span[1]
        begin = end - n_tokens
        removed = sequence.tokens[begin:end]
        sequence.splice(begin, end, ())
        self.n_own_tokens -= n_tokens
        try:
            yield
        finally:
            sequence.splice(begin, begin, removed)
            self.n_own_tokens += n_tokens

    def drop_tail(self) -> None:
        """Drops the carried tokens."""
        self.tail, self.n_respelled = (), 0
        if self.n_own_tokens < len(self.sequence):
            self.sequence.truncate(self.n_own_tokens)

    def repair_accepted(self, limit: int) -> bool:
        """Encodes accepted tokens again, at most `limit`; whether there were any. Pending tokens come first."""
        if self.accepted is None or len(self.pending_ahead()):
            return False
        start, end = self.accepted
        self.accepted = None
        self.sequence.repair(range(start, min(end, start + limit, self.n_own_tokens)))
        return True

    def n_pending_before_suffix(self) -> int:
        """Pending tokens that a completion needs, except those of the text behind the cursor."""
        layout = self.tokenized.layout
        if layout.is_suffix_first or not layout.has_suffix:
            return self.sequence.n_pending
        limit = self.tokenized.suffix_span[0]
        return int((self.sequence.pending_positions() < limit).sum())

    def _append_behind(self, at: int, added: str) -> None:
        cursor = self.tokenized.cursor
        self._apply(self.tokenized.edit(at, at, added))
        self._apply(self.tokenized.move_cursor(cursor))

    def _apply(self, changes: list[Change]) -> None:
        for change in changes:
            if isinstance(change, Splice):
                self.sequence.splice(change.start, change.end, change.tokens)
                self.n_own_tokens += len(change.tokens) - (change.end - change.start)
                self.accepted = _after(change, self.accepted)
                continue
            self.sequence.move(change.start, change.end, change.to)
            n_moved = change.end - change.start
            if self.n_own_tokens <= change.start:  # out of the tail
                self.n_own_tokens += n_moved
            self.accepted = (change.to, change.to + n_moved)
        self.drop_tail()

    def _encode_behind(self, offset: int) -> None:
        """Makes the first tokens behind an offset pending, up to the end of their segment."""
        tokenized, sequence = self.tokenized, self.sequence
        begin = tokenized.position_of(offset)
        span = tokenized.prefix_span if offset < tokenized.cursor else tokenized.suffix_span
        end = max(begin, min(begin + self.n_behind, span[1]))
        sequence.splice(begin, end, sequence.tokens[begin:end])


def _after(splice: Splice, span: tuple[int, int] | None) -> tuple[int, int] | None:
    """A span of positions after a splice; None if the splice changes it."""
    if span is None or span[1] <= splice.start:
        return span
    shift = len(splice.tokens) - (splice.end - splice.start)
    return (span[0] + shift, span[1] + shift) if splice.end <= span[0] else None
