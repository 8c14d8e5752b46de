"""One document in the model: edits in, completions out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .cache.sequence import MOST_BOUND, Sequence
from .cache.slots import Ints
from .completion import Beside, Completion, completing
from .decoding.agreement import BORDER, Ids
from .decoding.greedy import Decoded, Limits
from .decoding.small_drafts import Trust
from .decoding.stopping import Stopping
from .decoding.switching import SwitchRule
from .errors import OutOfSync
from .loaded_model import LoadedModel
from .removed import Removed
from .window import CHARACTERS_PER_TOKEN, Window, choose_stretch

LOCAL_TOKENS = 1000  # a local window around the cursor serves while a long file is read
NEAR_SUFFIX = 256  # tokens behind the cursor that a completion waits for
CHUNK = 512  # tokens in one pass, at most
# a paste longer than a window has room for is not tokenized to be cut off again: the window is opened anew
MOST_CHARACTERS_PER_TOKEN = 8
N_SPARE_TOKENS = 300  # of a context, for what is generated and typed before the window slides
N_BOUND_TOKENS = 600  # of a context, for pieces of other files; what is over is not bound
MARGIN = 0.1  # a cursor this near a window's end, as a share of it, makes it slide


@dataclass(frozen=True)
class Ask:
    """What a completion is asked for."""

    offset: int
    assumed: str
    max_tokens: int
    multi_line: bool
    n_alternatives: int
    deadline_ms: int | None
    is_cancelled: Callable[[], bool]
    shows_unsure: bool = True
    n_searched: int = 0  # lines that leave the greedy one and may be likelier
    documents: Ids = ()  # tokens of other open documents, for drafts
    chunk_tokens: int = (
        CHUNK  # after so many encoded ones, at most, it is asked whether it is cancelled
    )


@dataclass(frozen=True)
class Answer:
    """Completions, best first, and what they cost."""

    items: list[Decoded]
    stop: str
    n_tokens: int
    n_fresh: int
    n_encoded: int
    n_generated: int
    first_token_ms: float
    n_by_base: int = (
        0  # of the generated ones, those that the base model of a pair was switched to for
    )


@dataclass(frozen=True, eq=False)
class Partner:
    """The session of a pair's other model in the same document: see `Completion.pair_with`."""

    session: Session
    trust: Trust
    rule: SwitchRule | None = None


class Session:
    """The engine's state of one document."""

    def __init__(
        self,
        model: LoadedModel,
        text: str,
        cursor: int | None,
        context_tokens: int,
        binds: bool = False,
    ) -> None:
        """With `binds` there is room in the context for what `bind` puts there."""
        self.text = _clean(text)
        self.cursor = min(cursor or 0, len(self.text))
        self.has_cursor = cursor is not None
        self._model = model
        longest = model.transformer.config.max_context
        n_bound = N_BOUND_TOKENS if binds else 0
        self._context = max(64, min(context_tokens, longest) - N_SPARE_TOKENS - n_bound)
        self._bound: list[list[int]] = []
        self._local: Window | None = None
        self._full = self._open_full()
        self._removed = Removed()
        self._tokenized_removed: tuple[list[str], list[int]] = [], []

    @property
    def tokens(self) -> list[int]:
        """Of the document, as far as they are in its window."""
        return self._full.sequence.tokens[: self._full.n_own_tokens]

    @property
    def n_tokens(self) -> int:
        return self._full.n_own_tokens

    @property
    def n_fresh(self) -> int:
        return min(self._full.sequence.n_fresh, self._full.n_own_tokens)

    @property
    def n_pending(self) -> int:
        """Tokens of the document that are still to be encoded ahead of a completion."""
        return len(self._full.pending_ahead())

    @property
    def n_encoded(self) -> int:
        """Tokens encoded for this document so far, in all its windows."""
        return sum(sequence.n_encoded for sequence in self._sequences()) + self._n_encoded_before

    @property
    def n_bytes(self) -> int:
        return sum(sequence.n_bytes for sequence in self._sequences())

    def edit(self, start: int, end: int, replacement: str) -> None:
        """Replaces the code points [start, end); nothing is encoded yet.

        Raises: OutOfSync, when they lie outside the text.
        """
        self.edit_all([(start, end, replacement)])

    def edit_all(self, edits: list[tuple[int, int, str]]) -> None:
        """Applies edits one after the other, each to the text the one before it left; all of them or none.

        Raises: OutOfSync, when one lies outside the text.
        """
        n_characters = len(self.text)
        for start, end, replacement in edits:
            if not 0 <= start <= end <= n_characters:
                raise OutOfSync(
                    f"an edit of [{start}, {end}) in a text of {n_characters} characters"
                )
            n_characters += len(replacement) - (end - start)
        for start, end, replacement in edits:
            self._edit(start, end, _clean(replacement))

    def _edit(self, start: int, end: int, replacement: str) -> None:
        self._removed.note(self.text, start, end)
        self.text = self.text[:start] + replacement + self.text[end:]
        # where an edit was, the cursor is, until somebody says otherwise
        self.cursor = start + len(replacement)
        self._full = self._edit_window(self._full, start, end, replacement)
        if self._local is not None:
            near = self._local.start <= start and end <= self._local.end
            if near and len(replacement) <= LOCAL_TOKENS * MOST_CHARACTERS_PER_TOKEN:
                self._local.edit(start, end, replacement)
            elif end <= self._local.start:
                self._local.start += len(replacement) - (end - start)
            elif start < self._local.end:
                self._close_local()
        self._place_cursor(start + len(replacement))

    def move_cursor(self, offset: int) -> None:
        """Puts the cursor at an offset.

        Raises: OutOfSync, when it lies outside the text.
        """
        if not 0 <= offset <= len(self.text):
            raise OutOfSync(f"a cursor at {offset} in a text of {len(self.text)} characters")
        self.has_cursor = True
        self._place_cursor(offset)

    @property
    def visible(self) -> tuple[int, int]:
        """The code points that the model sees."""
        return self._full.start, self._full.end

    @property
    def bound(self) -> list[list[int]]:
        """The tokens of each piece that is bound, the last one nearest."""
        return self._bound

    @property
    def is_binding(self) -> bool:
        """Whether pieces that are bound are about to be encoded: not before anything is read for a cursor."""
        return self.has_cursor and self._serving().sequence.n_pending_bound > 0

    def bind(self, texts: list[str]) -> int:
        """Puts pieces of other files before the prefix, the last nearest, in place of those there are; how many fit.

        They are encoded when nothing else waits, unless they have been before; nobody waits for them.
        """
        tokenizer = self._model.tokenizer
        chunks: list[list[int]] = []
        room = N_BOUND_TOKENS
        for text in reversed(texts):
            chunk = tokenizer.encode(text).ids
            room -= len(chunk)
            if room < 0 or len(chunks) == MOST_BOUND:
                break
            chunks.insert(0, chunk)
        if chunks != self._bound:
            self._bound = chunks
            for sequence in self._sequences():
                sequence.bind(chunks)
        return len(chunks)

    def encode_some(self, limit: int) -> bool:
        """Encodes pending tokens, those the next completion needs first; whether there was work."""
        if not self.has_cursor:
            return False
        if self._needs_local():
            self._open_local()
        if self._local is not None and self._local.encode_ahead(limit):
            return True
        did = self._full.encode_ahead(limit) > 0
        if self._local is not None and self._full.n_pending_before_suffix() == 0:
            self._close_local()
        return did or self._serving().sequence.encode_bound(limit, self._model.kept)

    def repair_some(self, limit: int) -> bool:
        """Encodes accepted tokens again, which saw the text behind the cursor when they were made."""
        window = self._serving()
        if window.accepted is None or len(window.pending_ahead()):
            return False
        start, end = window.accepted
        window.accepted = None
        positions = range(start, min(end, start + limit, window.n_own_tokens))
        window.sequence.repair(positions)
        return True

    def refresh_some(self, limit: int) -> bool:
        """Makes some more tokens fresh; whether there was work. Generated tokens stay as they are."""
        if not self.has_cursor or self.n_pending:
            return False
        return self._full.sequence.refresh(limit, before=self._full.n_own_tokens) > 0

    def complete(
        self,
        ask: Ask,
        now: Callable[[], float] = time.monotonic,
        partner: Partner | None = None,
    ) -> Answer:
        """Completes at an offset, with a partner where there is one.

        Raises: OutOfSync, when it lies outside the text.
        """
        begin, encoded_before = now(), self.n_encoded
        with (
            self.reading(ask) as completion,
            partner.session.reading(ask) if partner else nullcontext() as other,
        ):
            if completion is None or (partner and other is None):
                n_encoded = self.n_encoded - encoded_before
                return Answer([], "cancelled", self.n_tokens, self.n_fresh, n_encoded, 0, 0.0)
            # windows that begin elsewhere may be cut into other tokens
            if partner and other and other.stub == completion.stub:
                completion.pair_with(other, partner.trust, partner.rule)
            stopping = Stopping(
                self.text[: self.cursor] + ask.assumed, self.text[self.cursor :], ask.multi_line
            )
            limits = Limits(
                ask.max_tokens,
                ask.is_cancelled,
                lambda: ask.deadline_ms is not None and ask.deadline_ms < (now() - begin) * 1000,
                -math.inf if ask.shows_unsure else self._model.least_logprob,
            )
            completion.voice.logits(())
            sequence = completion.sequence
            n_context, n_encoded = len(sequence), self.n_encoded - encoded_before
            n_fresh, first_ms = min(sequence.n_fresh, n_context), (now() - begin) * 1000
            n_answers = max(1, ask.n_alternatives)
            items = completion.answers(stopping, limits, n_answers, ask.n_searched)
        n_generated = sum(len(item.tokens) for item in items)
        return Answer(
            items,
            items[0].stop,
            n_context,
            n_fresh,
            n_encoded,
            n_generated,
            first_ms,
            completion.n_by_base,
        )

    @contextmanager
    def reading(self, ask: Ask) -> Iterator[Completion | None]:
        """A completion for what is asked, all but a last chunk of its context read; None where it was cancelled.

        Raises: OutOfSync, when the offset lies outside the text.
        """
        window = self._read_to(ask.offset, ask.assumed, ask.is_cancelled, ask.chunk_tokens)
        if window is None:
            yield None
            return
        beside = Beside(self._removed_tokens(), ask.documents)
        with completing(self._model, window, beside) as completion:
            completion.voice.pending = np.union1d(self._needed(window), window.to_repair())
            try:
                yield completion
            finally:
                completion.close()
                if completion.voice.is_begun:
                    window.is_behind_changed = False

    def logits_at(self, offset: int) -> Tensor:
        """What the model expects next at an offset, from the cache as it is. Shape: [V] float32.

        Raises: OutOfSync, when it lies outside the text.
        """
        window = self._read_to(offset, "", lambda: False, CHUNK)
        assert window is not None
        return window.sequence.next_logits(self._needed(window))

    def drop_cache(self) -> None:
        """Gives the memory of all windows back; the text stays, and is read again when it is needed."""
        self._close_local()
        self._full.drop_tail()
        self._full.sequence.drop_cache()
        self.has_cursor = False

    def release(self) -> None:
        """Gives the memory of all windows back, whatever state they are in; the session is of no use after it."""
        for sequence in self._sequences():
            sequence.drop_cache()

    def check(self) -> None:
        """Recomputes the books of all windows.

        Raises: AssertionError.
        """
        for window in self._windows():
            window.sequence.check()
            assert window.sequence.tokens[: window.n_own_tokens] == window.tokenized.ids
            assert self.text[window.start : window.end] == window.tokenized.text

    # ---- windows

    _n_encoded_before = 0

    def _windows(self) -> list[Window]:
        return [self._full] if self._local is None else [self._full, self._local]

    def _sequences(self) -> list[Sequence]:
        return [window.sequence for window in self._windows()]

    def _open_full(self) -> Window:
        start, end = choose_stretch(self.text, self.cursor, self._context)
        return self._fit(self._window(start, end))

    def _window(self, start: int, end: int) -> Window:
        window = Window(self._model, self.text, start, end, self.cursor)
        window.sequence.bind(self._bound)
        return window

    def _fit(self, window: Window) -> Window:
        """Makes a window shorter that holds more tokens than the context."""
        while self._context < window.n_own_tokens:
            share = self._context / window.n_own_tokens
            room = int((window.end - window.start) * share * 0.95 / CHARACTERS_PER_TOKEN)
            start, end = choose_stretch(self.text, self.cursor, room)
            if (start, end) == (window.start, window.end):
                break
            window = self._window(start, end)
        return window

    def _edit_window(self, window: Window, start: int, end: int, replacement: str) -> Window:
        """The window after an edit that may lie outside of it or across its ends."""
        shift = len(replacement) - (end - start)
        fits = len(replacement) <= self._context * MOST_CHARACTERS_PER_TOKEN
        if window.start <= start and end <= window.end and fits:
            window.edit(start, end, replacement)
        elif end <= window.start:
            window.start += shift
        elif start < window.end or not fits:
            self._retire(window)
            return self._open_full()
        return window

    def _place_cursor(self, offset: int) -> None:
        self.cursor = offset
        full = self._full
        margin = int((full.end - full.start) * MARGIN)
        is_near_start = full.start > 0 and offset < full.start + margin
        is_near_end = full.end < len(self.text) and full.end - margin < offset
        too_long = self._context + N_SPARE_TOKENS // 2 < full.n_own_tokens
        if is_near_start or is_near_end or too_long:
            self._slide(offset)
        self._full.move_cursor(offset)
        if self._local is not None:
            if self._local.start <= offset <= self._local.end:
                self._local.move_cursor(offset)
            else:
                self._close_local()

    def _slide(self, offset: int) -> None:
        full = self._full
        n_characters = int(self._context * (full.end - full.start) / max(1, full.n_own_tokens))
        room = int(min(n_characters, self._context * 8) / CHARACTERS_PER_TOKEN)
        start, end = choose_stretch(self.text, offset, room)
        if full.start <= full.cursor <= full.end and start <= full.cursor <= end:
            full.slide(self.text, start, end)
        else:
            self._retire(full)
            self._full = self._open_full()

    def _needs_local(self) -> bool:
        return self._local is None and self._full.n_pending_before_suffix() > LOCAL_TOKENS

    def _open_local(self) -> None:
        start, end = choose_stretch(self.text, self.cursor, LOCAL_TOKENS)
        self._local = self._window(start, end)

    def _close_local(self) -> None:
        if self._local is not None:
            self._retire(self._local)
            self._local = None

    def _retire(self, window: Window) -> None:
        self._n_encoded_before += window.sequence.n_encoded
        window.sequence.drop_cache()

    def _serving(self) -> Window:
        if self._local is not None and self._full.n_pending_before_suffix() > LOCAL_TOKENS:
            return self._local
        return self._full

    # ---- completing

    def _read_to(
        self, offset: int, assumed: str, is_cancelled: Callable[[], bool], chunk: int
    ) -> Window | None:
        """Encodes all but a last chunk of what a completion at an offset needs.

        The window that serves it, None where it was cancelled between two chunks.
        """
        self.move_cursor(offset)
        if self._needs_local():
            self._open_local()
        window = self._serving()
        window.put_tail(assumed)
        # nearer to the cursor than in front of all: suffix first, that is the nearest place before the prefix
        window.sequence.bound_end = window.tokenized.prefix_span[0]
        while len(pending := self._needed(window)) > chunk:
            if is_cancelled():
                return None
            window.sequence.encode(pending[:chunk])
        return window

    def _removed_tokens(self) -> list[int]:
        texts = self._removed.texts()
        if texts != self._tokenized_removed[0]:
            encode, found = self._model.tokenizer.encode, list[int]()
            for text in texts:
                found += [BORDER, *encode(text).ids]
            self._tokenized_removed = texts, found
        return self._tokenized_removed[1]

    def _needed(self, window: Window) -> Ints:
        """What is pending in front of the cursor, near it behind, and in the tail."""
        limit = window.tokenized.suffix_span[0] + NEAR_SUFFIX
        if window.tokenized.layout.is_suffix_first:
            limit = window.n_own_tokens
        pending = window.sequence.pending_positions()
        return pending[(pending < limit) | (window.n_own_tokens <= pending)]


def _clean(text: str) -> str:
    """Unpaired surrogates as U+FFFD, one for one: no tokenizer takes them."""
    if text.isascii():
        return text
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
