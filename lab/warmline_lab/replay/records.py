"""What one method did with one request, as it is written down."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.window import Window
from warmline_lab.metrics import measures

from .scoring import Scored, offer


@dataclass(frozen=True)
class Request:
    """A place where a completion is asked for, and what a person put there.

    `group` is the file it is of. `distance` is in lines from the cursor to the nearest edit more than three
    lines away, -1 where there is none. `n_context` counts tokens.
    """

    key: str
    suite: str
    kind: str
    group: str
    truth: str
    distance: int = -1
    place: str = ""
    n_context: int = 0


@dataclass(frozen=True)
class Record:
    """One row of the results. Units: nats are summed over the truth's tokens, kl is in nats a token."""

    key: str
    suite: str
    kind: str
    group: str
    distance: int
    place: str
    n_context: int
    layout: str
    method: str
    n_truth: int
    nats: float
    kl: float
    top1: float
    n_encoded: int
    ready_ms: float = -1.0
    exact: bool | None = None
    similarity: int | None = None
    key_error: float | None = None

    def as_row(self) -> dict[str, Any]:
        rounded = {
            k: round(v, 6) if isinstance(v, float) else v
            for k, v in asdict(self).items()
            if v is not None
        }
        # a difference too small for six digits is still one
        return rounded | ({"key_error": self.key_error} if self.key_error is not None else {})


class MethodJudge:
    """Compares methods on one request with its cold read."""

    def __init__(self, model: LoadedModel, request: Request, cold: Scored) -> None:
        self._model = model
        self._request = request
        self._cold = cold

    @property
    def truth(self) -> list[int]:
        return self._cold.truth

    def record(
        self,
        method: str,
        scored: Scored,
        n_encoded: int,
        ready_ms: float = -1.0,
        offered: str | None = None,
        key_error: float | None = None,
    ) -> Record:
        request, reference = self._request, self._cold.expectations
        exact = similarity = None
        if offered is not None:
            exact = measures.is_exact(offered, request.truth)
            similarity = measures.edit_similarity(offered.strip(), request.truth.strip())
        return Record(
            request.key,
            request.suite,
            request.kind,
            request.group,
            request.distance,
            request.place,
            request.n_context,
            "spm" if self._model.layout.is_suffix_first else "psm",
            method,
            len(scored.truth),
            scored.nats,
            max(0.0, measures.divergence(reference, scored.expectations)),
            measures.agreement(reference, scored.expectations),
            n_encoded,
            ready_ms,
            exact,
            similarity,
            key_error,
        )

    def offered(self, window: Window, scored: Scored, multi_line: bool = False) -> str:
        return offer(self._model, window, scored, multi_line)
