"""Two models that read the same tokens: a base model that is right more often, and a small one that is faster.

Both follow every edit, each in its own cache. The small model drafts for the base model, or generates itself until the
base model takes over because the small one is uncertain.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from warmline_engine.cache.arena import Arena
from warmline_engine.decoding.speculative.model_drafts import DraftModelStats
from warmline_engine.decoding.two_models.threshold import Threshold
from warmline_engine.errors import ModelError
from warmline_engine.syntax.tree import Syntax

from .loaded_model import LoadedModel
from .query import Answer, CompletionQuery
from .session import CompanionSession, Session

NEW_SHARE = 0.2  # weight of a new measurement in the mean


@dataclass
class LatencyBudget:
    """How long an answer may take, and how long the base model took lately.

    Units: milliseconds.
    """

    within_ms: float
    usual_ms: float | None = None

    @property
    def is_enough(self) -> bool:
        """Whether the base model is likely to answer in time; False before it has answered once."""
        return self.usual_ms is not None and self.usual_ms <= self.within_ms

    def note(self, elapsed_ms: float) -> None:
        """Learns the time of an answer of the base model."""
        known = elapsed_ms if self.usual_ms is None else self.usual_ms
        self.usual_ms = known + NEW_SHARE * (elapsed_ms - known)


@dataclass(frozen=True, eq=False)
class Pair:
    """With a threshold the small model generates and the base model takes over; without one it drafts.

    With a latency budget it answers alone if the base model would be late. Such an answer is provisional.
    """

    base: LoadedModel
    small: LoadedModel
    draft_stats: DraftModelStats
    threshold: Threshold | None = None
    latency_budget: LatencyBudget | None = None


def paired(
    base: LoadedModel,
    small: LoadedModel,
    threshold: Threshold | None = None,
    latency_budget: LatencyBudget | None = None,
) -> Pair:
    """A pair that shares the base model's memory for caches, in proportion to the bytes per token.

    Raises: ModelError, when the two do not read the same tokens.
    """
    if not base.tokenizer.spells_like(small.tokenizer):
        raise ModelError(
            f"{small.card.name} and {base.card.name} have different tokenizers; the small model must be of the "
            "same family as the model; change or clear warmline.smallModel"
        )
    budget, sizes = base.arena.budget_bytes, [m.arena.shape.n_bytes for m in (base, small)]
    base, small = (
        replace(model, arena=Arena(model.arena.shape, budget * size // sum(sizes)))
        for model, size in zip((base, small), sizes, strict=True)
    )
    ratio = small.transformer.n_weights / base.transformer.n_weights
    return Pair(base, small, DraftModelStats(ratio), threshold, latency_budget)


def is_near(session: Session, query: CompletionQuery) -> bool:
    """Whether a session can answer after one pass."""
    return session.n_pending <= query.chunk_tokens


class PairedSession:
    """The engine's state of one document for both models. Reported statistics are the base model's."""

    def __init__(
        self,
        pair: Pair,
        text: str,
        cursor: int | None,
        context_tokens: int,
        binds: bool = False,
        language: str = "",
    ) -> None:
        self.base = Session(pair.base, text, cursor, context_tokens, binds, language)
        self.small = Session(pair.small, text, cursor, context_tokens, binds, language)
        self._pair = pair
        # the one that answers comes first
        small_first = pair.threshold is not None or pair.latency_budget is not None
        self._both = (self.small, self.base) if small_first else (self.base, self.small)

    @property
    def text(self) -> str:
        return self.base.text

    @property
    def syntax(self) -> Syntax | None:
        return self.base.syntax

    @property
    def cursor(self) -> int:
        return self.base.cursor

    @property
    def has_cursor(self) -> bool:
        return self.base.has_cursor

    @has_cursor.setter
    def has_cursor(self, value: bool) -> None:
        for session in self._both:
            session.has_cursor = value

    @property
    def tokens(self) -> list[int]:
        return self.base.tokens

    @property
    def n_tokens(self) -> int:
        return self.base.n_tokens

    @property
    def n_fresh(self) -> int:
        return self.base.n_fresh

    @property
    def visible(self) -> tuple[int, int]:
        return self.base.visible

    @property
    def bound(self) -> list[list[int]]:
        return self.base.bound

    @property
    def is_binding(self) -> bool:
        return any(session.is_binding for session in self._both)

    @property
    def n_pending(self) -> int:
        return sum(session.n_pending for session in self._both)

    @property
    def n_encoded(self) -> int:
        return sum(session.n_encoded for session in self._both)

    @property
    def n_bytes(self) -> int:
        return sum(session.n_bytes for session in self._both)

    def edit_all(self, edits: list[tuple[int, int, str]]) -> None:
        """Applies edits to both, or to none. Raises: OutOfSync, as `Session.edit_all`."""
        for session in self._both:
            session.edit_all(edits)

    def move_cursor(self, offset: int) -> None:
        """Raises: OutOfSync, when the offset lies outside the text."""
        for session in self._both:
            session.move_cursor(offset)

    def bind(self, texts: list[str]) -> int:
        """Binds chunks for both, as `Session.bind`; how many fit."""
        return min(session.bind(texts) for session in self._both)

    def encode_some(self, limit: int) -> bool:
        return any(session.encode_some(limit) for session in self._both)

    def repair_some(self, limit: int) -> bool:
        return any(session.repair_some(limit) for session in self._both)

    def refresh_some(self, limit: int) -> bool:
        return any(session.refresh_some(limit) for session in self._both)

    def complete(self, query: CompletionQuery, now: Callable[[], float] = time.monotonic) -> Answer:
        """Completes at an offset. Raises: OutOfSync, when it lies outside the text."""
        latency_budget, threshold, begin = self._pair.latency_budget, self._pair.threshold, now()
        if threshold is not None:
            companion = self._companion(self.base, query)
            answer = self.small.complete(query, now, companion)
            if companion is not None and answer.stop != "cancelled":
                threshold.note(answer.n_by_base, answer.n_generated, (now() - begin) * 1000)
            return answer
        is_in_time = (
            latency_budget is not None and latency_budget.is_enough and is_near(self.base, query)
        )
        if latency_budget is not None and not (query.force_base or is_in_time):
            return replace(self.small.complete(query, now), is_provisional=True)
        answer = self.base.complete(query, now, self._companion(self.small, query))
        if latency_budget is not None and answer.stop != "cancelled":
            latency_budget.note((now() - begin) * 1000)
        return answer

    def _companion(self, session: Session, query: CompletionQuery) -> CompanionSession | None:
        """A session as the companion of the one that answers; None if it would have to encode a whole file first."""
        pair, threshold = self._pair, self._pair.threshold
        rule = threshold.rule if threshold else None
        return (
            CompanionSession(session, pair.draft_stats, rule) if is_near(session, query) else None
        )

    def drop_cache(self) -> None:
        for session in self._both:
            session.drop_cache()

    def release(self) -> None:
        for session in self._both:
            session.release()

    def check(self) -> None:
        """Raises: AssertionError, when the books of one of the two are wrong."""
        for session in self._both:
            session.check()
