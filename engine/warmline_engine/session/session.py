"""One document in the model: edits in, completions out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from warmline_engine.cache.bound_chunks import MAX_BOUND
from warmline_engine.decoding.adjacent_lines import AdjacentLines
from warmline_engine.decoding.answers.answer import answers
from warmline_engine.decoding.request import CompletionRequest, Limits, LogitsSource
from warmline_engine.decoding.speculative.model_drafts import DraftModelStats
from warmline_engine.decoding.stopping import Stopping
from warmline_engine.decoding.two_models.switching import SwitchRule
from warmline_engine.syntax.tree import Syntax

from .completion import Companion, CompletionLogits, CompletionModel, DraftSources
from .document_text import DocumentText, Surroundings
from .loaded_model import LoadedModel
from .query import CHUNK, Answer, CompletionQuery
from .windows import N_SPARE_TOKENS, Windows

N_BOUND_TOKENS = 600  # of a context, for chunks; those that exceed it are not bound
MIN_CONTEXT = 64


@dataclass(frozen=True, eq=False)
class CompanionSession:
    """The session of a pair's other model in the same document: see `Companion`."""

    session: Session
    draft_stats: DraftModelStats
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
        language: str = "",
    ) -> None:
        """With `binds` the context keeps room for chunks."""
        self.document = DocumentText(model.tokenizer, text, cursor or 0, language)
        self.has_cursor = cursor is not None
        self._model = model
        max_tokens = min(context_tokens, model.transformer.config.max_context)
        max_tokens -= N_SPARE_TOKENS + (N_BOUND_TOKENS if binds else 0)
        self.windows = Windows(model, self.document, max(MIN_CONTEXT, max_tokens))

    @property
    def text(self) -> str:
        return self.document.text

    @property
    def cursor(self) -> int:
        return self.document.cursor

    @property
    def syntax(self) -> Syntax | None:
        return self.document.syntax

    @property
    def tokens(self) -> list[int]:
        """The document's tokens, as far as they are in the full window."""
        return self.windows.full.sequence.tokens[: self.n_tokens]

    @property
    def n_tokens(self) -> int:
        return self.windows.full.n_own_tokens

    @property
    def n_fresh(self) -> int:
        return min(self.windows.full.sequence.n_fresh, self.n_tokens)

    @property
    def n_pending(self) -> int:
        """The document's tokens that are still to be encoded ahead of a completion."""
        return len(self.windows.full.pending_ahead())

    @property
    def n_encoded(self) -> int:
        """Tokens encoded for this document so far, in all its windows."""
        return self.windows.n_encoded

    @property
    def n_bytes(self) -> int:
        return self.windows.n_bytes

    @property
    def visible(self) -> tuple[int, int]:
        """The code points that the model sees."""
        return self.windows.full.start, self.windows.full.end

    @property
    def bound(self) -> list[list[int]]:
        """The tokens of each chunk that is bound, the last one nearest."""
        return self.windows.bound

    @property
    def is_binding(self) -> bool:
        """Whether bound chunks are to be encoded, which waits until there is a cursor."""
        return self.has_cursor and self.windows.serving.sequence.n_pending_bound > 0

    def edit(self, start: int, end: int, replacement: str) -> None:
        """Replaces the code points [start, end); nothing is encoded yet.

        Raises: OutOfSync, when they lie outside the text.
        """
        self.edit_all([(start, end, replacement)])

    def edit_all(self, edits: list[tuple[int, int, str]]) -> None:
        """Applies edits one after the other, each to the text that the one before it left; all of them or none.

        The cursor is then behind the last one.

        Raises: OutOfSync, when one lies outside the text.
        """
        for edit in self.document.checked(edits):
            self.document.edit(*edit)
            self.windows.edit(*edit)

    def move_cursor(self, offset: int) -> None:
        """Puts the cursor at an offset.

        Raises: OutOfSync, when it lies outside the text.
        """
        self.document.move_cursor(offset)
        self.has_cursor = True
        self.windows.follow_cursor()

    def bind(self, texts: list[str]) -> int:
        """Binds chunks of other files, the last nearest, in place of those that are bound; how many fit.

        They are encoded when nothing else waits, unless they are in the model's chunk cache.
        """
        chunks: list[list[int]] = []
        room = N_BOUND_TOKENS
        for text in reversed(texts):
            chunk = self._model.tokenizer.encode(text).ids
            room -= len(chunk)
            if room < 0 or len(chunks) == MAX_BOUND:
                break
            chunks.insert(0, chunk)
        self.windows.bind(chunks)
        return len(chunks)

    def encode_some(self, limit: int) -> bool:
        """Encodes pending tokens, those that the next completion needs first; whether there was work."""
        return self.has_cursor and self.windows.encode_some(limit)

    def repair_some(self, limit: int) -> bool:
        """Encodes accepted tokens again, which attended to the text behind the cursor; whether there was work."""
        return self.windows.serving.repair_accepted(limit)

    def refresh_some(self, limit: int) -> bool:
        """Makes some more tokens fresh, but not generated ones; whether there was work.

        First updates the syntax tree, which the next completion would have to do.
        """
        if not self.has_cursor or self.n_pending:
            return False
        if self.syntax and self.syntax.follow():
            return True
        return self.windows.full.sequence.refresh(limit, before=self.n_tokens) > 0

    def complete(
        self,
        query: CompletionQuery,
        now: Callable[[], float] = time.monotonic,
        companion: CompanionSession | None = None,
    ) -> Answer:
        """Completes at an offset, with a pair's other model if it is given. See docs/design/completion-path.md.

        Raises: OutOfSync, when the offset lies outside the text.
        """
        begin = now()
        surroundings = self._surroundings(query)
        n_before = self.n_encoded
        other_context = companion.session._companion_lm(query) if companion else nullcontext()
        with other_context as other, self._lm(query, surroundings, True) as lm:
            if lm is None or (companion and other is None):
                n_encoded = self.n_encoded - n_before
                return Answer([], "cancelled", self.n_tokens, self.n_fresh, n_encoded, 0, 0.0)
            n_tokens, n_encoded = len(lm.context.sequence), self.n_encoded - n_before
            n_fresh, first_ms = lm.context.sequence.n_fresh, (now() - begin) * 1000
            pair = None
            # windows that begin at different offsets may be cut into different tokens
            if companion and other and other.context.healed_text == lm.context.healed_text:
                pair = Companion(other, companion.draft_stats, companion.rule)
            request = self._request(
                query,
                surroundings,
                lm.context.healed_text,
                partial(CompletionLogits, lm, pair),
                lambda: (now() - begin) * 1000,
            )
            found = answers(request)
        n_generated = sum(len(item.tokens) for item in found.items)
        return Answer(
            found.items,
            found.items[0].stop,
            n_tokens,
            n_fresh,
            n_encoded,
            n_generated,
            first_ms,
            found.n_by_base,
        )

    def logits_at(self, offset: int) -> Tensor:
        """The logits of the next token at an offset, from the cache as it is. Shape: [V] float32.

        Raises: OutOfSync, when it lies outside the text.
        """
        self.move_cursor(offset)
        return self.windows.next_logits(CHUNK)

    def drop_cache(self) -> None:
        """Gives the memory of all windows back; the text stays, and is encoded again when it is needed."""
        self.windows.drop_cache()
        self.has_cursor = False

    def release(self) -> None:
        """Gives the memory of all windows back, whatever state they are in. The session cannot be used afterwards."""
        self.windows.release()

    def check(self) -> None:
        """Recomputes the books of all windows.

        Raises: AssertionError.
        """
        self.windows.check()

    def _surroundings(self, query: CompletionQuery) -> Surroundings:
        """Moves the document's cursor to where the query is."""
        self.document.move_cursor(query.offset)
        self.has_cursor = True
        return self.document.surroundings(query.virtual_text)

    @contextmanager
    def _lm(
        self, query: CompletionQuery, surroundings: Surroundings, computes_logits: bool
    ) -> Iterator[CompletionModel | None]:
        """This session's model for a query, with an up-to-date context; None if it was cancelled."""
        with self.windows.context(
            query.virtual_text, query.is_cancelled, query.chunk_tokens, computes_logits
        ) as context:
            sources = DraftSources(surroundings.deleted_ids, query.documents)
            yield context and CompletionModel(self._model, context, sources, query.contrast)

    @contextmanager
    def _companion_lm(self, query: CompletionQuery) -> Iterator[CompletionModel | None]:
        """This session's model for another session's query. Its first pass waits until its logits are needed."""
        with self._lm(query, self._surroundings(query), False) as lm:
            yield lm

    def _request(
        self,
        query: CompletionQuery,
        surroundings: Surroundings,
        healed_text: str,
        open_source: Callable[[], LogitsSource],
        elapsed_ms: Callable[[], float],
    ) -> CompletionRequest:
        model, deadline_ms = self._model, query.deadline_ms
        before, after = surroundings.before, surroundings.after
        limits = Limits(
            query.max_tokens,
            query.is_cancelled,
            lambda: deadline_ms is not None and deadline_ms < elapsed_ms(),
            -math.inf if query.shows_unsure else model.min_logprob,
        )
        return CompletionRequest(
            model.tokenizer,
            model.suppressed_ids,
            model.layout.stop_ids,
            Stopping(before, after, query.multi_line),
            limits,
            open_source,
            AdjacentLines(before, after),
            healed_text,
            surroundings.syntax,
            query.shows_unsure,
            max(1, query.n_alternatives),
            query.n_searched,
            query.sampling,
        )
