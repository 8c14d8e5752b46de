"""The windows of a document: the full one, and a local one around the cursor while a long text is being read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from warmline_engine.cache.sequence import KVSequence

from .context import Context
from .document_text import DocumentText
from .loaded_model import LoadedModel
from .stretch import CHARACTERS_PER_TOKEN, choose_stretch
from .window import Window

LOCAL_TOKENS = 1000  # of a local window
N_SPARE_TOKENS = 300  # of a context, for tokens generated and typed before the window slides
# a longer paste is not tokenized and then cut off: a new window is opened
MAX_CHARACTERS_PER_TOKEN = 8
MARGIN = 0.1  # share of a window; a cursor this near its end makes it slide


class Windows:
    """Opens, slides and closes the windows of a document, which follow its text and its cursor."""

    def __init__(self, model: LoadedModel, document: DocumentText, max_tokens: int) -> None:
        self._model = model
        self._document = document
        self._max_tokens = max_tokens
        self._bound: list[list[int]] = []
        self._n_encoded_before = 0  # in windows that are closed
        self.full = self._open_full()
        self.local: Window | None = None

    @property
    def n_encoded(self) -> int:
        """Tokens encoded so far, in closed windows too."""
        return self._n_encoded_before + sum(sequence.n_encoded for sequence in self._sequences())

    @property
    def n_bytes(self) -> int:
        return sum(sequence.n_bytes for sequence in self._sequences())

    @property
    def bound(self) -> list[list[int]]:
        """The tokens of each chunk that is bound, the last one nearest."""
        return self._bound

    @property
    def serving(self) -> Window:
        """The window that completions use."""
        if self.local is not None and self.full.n_pending_before_suffix() > LOCAL_TOKENS:
            return self.local
        return self.full

    def edit(self, start: int, end: int, replacement: str) -> None:
        """Follows an edit of the document, which may lie outside a window or across its ends."""
        self._edit_full(start, end, replacement)
        self._edit_local(start, end, replacement)
        self.follow_cursor()

    def follow_cursor(self) -> None:
        """Moves the windows' cursors to the document's, and slides or closes windows that it leaves."""
        full, offset = self.full, self._document.cursor
        margin = int((full.end - full.start) * MARGIN)
        is_near_start = full.start > 0 and offset < full.start + margin
        is_near_end = full.end < len(self._document.text) and full.end - margin < offset
        is_too_long = self._max_tokens + N_SPARE_TOKENS // 2 < full.n_own_tokens
        if is_near_start or is_near_end or is_too_long:
            self._slide_full()
        self.full.move_cursor(offset)
        if self.local is not None:
            if self.local.start <= offset <= self.local.end:
                self.local.move_cursor(offset)
            else:
                self._close_local()

    @contextmanager
    def context(
        self,
        virtual_text: str,
        is_cancelled: Callable[[], bool],
        chunk_tokens: int,
        computes_logits: bool,
    ) -> Iterator[Context | None]:
        """The context of a completion behind assumed text at the document's cursor; None if it was cancelled.

        Brings the window that serves it up to date. Without `computes_logits` a last chunk may stay pending.
        """
        self.follow_cursor()
        self._open_local_if_needed()
        window = self.serving
        if not window.read(virtual_text, is_cancelled, chunk_tokens):
            yield None
            return
        with window.completing(computes_logits) as context:
            yield context

    def next_logits(self, chunk_tokens: int) -> Tensor:
        """The logits of the next token at the cursor, from the cache as it is. Shape: [V] float32."""
        self._open_local_if_needed()
        window = self.serving
        window.read("", lambda: False, chunk_tokens)
        return window.sequence.next_logits(window.needed())

    def encode_some(self, limit: int) -> bool:
        """Encodes pending tokens, those that the next completion needs first; whether there was work."""
        self._open_local_if_needed()
        if self.local is not None and self.local.encode_ahead(limit):
            return True
        had_work = self.full.encode_ahead(limit) > 0
        if self.local is not None and self.full.n_pending_before_suffix() == 0:
            self._close_local()
        return had_work or self.serving.sequence.encode_bound(limit, self._model.kept)

    def bind(self, chunks: list[list[int]]) -> None:
        """Binds chunks in place of those that are bound."""
        if chunks != self._bound:
            self._bound = chunks
            for sequence in self._sequences():
                sequence.bind(chunks)

    def drop_cache(self) -> None:
        """Gives all memory back. The tokens become pending."""
        self._close_local()
        self.full.drop_tail()
        self.full.sequence.drop_cache()

    def release(self) -> None:
        """Gives all memory back, whatever state the windows are in. They cannot be used afterwards."""
        for sequence in self._sequences():
            sequence.drop_cache()

    def check(self) -> None:
        """Recomputes the books of all windows.

        Raises: AssertionError.
        """
        for window in self._windows():
            window.sequence.check()
            assert window.sequence.tokens[: window.n_own_tokens] == window.tokenized.ids
            assert self._document.text[window.start : window.end] == window.tokenized.text

    def _windows(self) -> list[Window]:
        return [self.full] if self.local is None else [self.full, self.local]

    def _sequences(self) -> list[KVSequence]:
        return [window.sequence for window in self._windows()]

    def _open(self, start: int, end: int) -> Window:
        window = Window(self._model, self._document.text, start, end, self._document.cursor)
        window.sequence.bind(self._bound)
        return window

    def _open_full(self) -> Window:
        """A window around the cursor, made shorter while it holds more tokens than allowed."""
        text, cursor = self._document.text, self._document.cursor
        window = self._open(*choose_stretch(text, cursor, self._max_tokens))
        while self._max_tokens < window.n_own_tokens:
            share = self._max_tokens / window.n_own_tokens
            room = int((window.end - window.start) * share * 0.95 / CHARACTERS_PER_TOKEN)
            start, end = choose_stretch(text, cursor, room)
            if (start, end) == (window.start, window.end):
                break
            window = self._open(start, end)
        return window

    def _open_local_if_needed(self) -> None:
        if self.local is None and self.full.n_pending_before_suffix() > LOCAL_TOKENS:
            text, cursor = self._document.text, self._document.cursor
            self.local = self._open(*choose_stretch(text, cursor, LOCAL_TOKENS))

    def _close_local(self) -> None:
        if self.local is not None:
            self._retire(self.local)
            self.local = None

    def _edit_full(self, start: int, end: int, replacement: str) -> None:
        window = self.full
        fits = len(replacement) <= self._max_tokens * MAX_CHARACTERS_PER_TOKEN
        if window.start <= start and end <= window.end and fits:
            window.edit(start, end, replacement)
        elif end <= window.start:
            window.start += len(replacement) - (end - start)
        elif start < window.end or not fits:
            self._replace_full()

    def _edit_local(self, start: int, end: int, replacement: str) -> None:
        window = self.local
        if window is None:
            return
        fits = len(replacement) <= LOCAL_TOKENS * MAX_CHARACTERS_PER_TOKEN
        if window.start <= start and end <= window.end and fits:
            window.edit(start, end, replacement)
        elif end <= window.start:
            window.start += len(replacement) - (end - start)
        elif start < window.end:
            self._close_local()

    def _slide_full(self) -> None:
        full, text = self.full, self._document.text
        n_characters = int(self._max_tokens * (full.end - full.start) / max(1, full.n_own_tokens))
        limit = self._max_tokens * MAX_CHARACTERS_PER_TOKEN
        room = int(min(n_characters, limit) / CHARACTERS_PER_TOKEN)
        start, end = choose_stretch(text, self._document.cursor, room)
        if full.start <= full.cursor <= full.end and start <= full.cursor <= end:
            full.slide(text, start, end)
        else:
            self._replace_full()

    def _replace_full(self) -> None:
        self._retire(self.full)
        self.full = self._open_full()

    def _retire(self, window: Window) -> None:
        self._n_encoded_before += window.sequence.n_encoded
        window.sequence.drop_cache()
