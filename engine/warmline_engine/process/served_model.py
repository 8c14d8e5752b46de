"""The model or pair of models that the worker serves: being loaded, ready, or failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from warmline_engine.errors import EngineError, ModelError
from warmline_engine.panics import describe, is_panic
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.model_pair import Pair, PairedSession
from warmline_engine.session.session import Session
from warmline_protocol import wire

from .open_documents import AnySession, OpenDocuments
from .warm_up import warm_up
from .work_queue import Client

log = logging.getLogger(__name__)

Load = Callable[[Callable[[str, float], None]], LoadedModel | Pair]
PROGRESS_EVERY_S = 0.1


class ServedModel:
    """Loads in the worker's thread; other threads may read its state."""

    def __init__(
        self,
        load: Load,
        context_tokens: int,
        broadcast: Callable[[wire.ToServer], None],
        measures_threads: bool = False,
    ) -> None:
        self._load = load
        self._context_tokens = context_tokens
        self._broadcast = broadcast
        self._measures_threads = measures_threads
        self._loaded: LoadedModel | Pair | None = None
        self._failure = ""
        self._progress_sent_at = float("-inf")

    @property
    def is_ready(self) -> bool:
        return self._loaded is not None

    def load(self) -> None:
        """Loads the model and reports the result to all clients. A failure is a state, not an error."""
        try:
            loaded = self._load(self._send_progress)
            warm_up(loaded, self._measures_threads)
        except ModelError as error:
            self._fail(str(error))
        # a process loop: a model that cannot be loaded must not end the process
        except Exception as error:
            log.exception("the model cannot be loaded")
            self._fail(f"the model cannot be loaded: {type(error).__name__}: {error}")
        except BaseException as error:
            if not is_panic(error):
                raise
            self._fail(f"the model cannot be loaded: a library failed ({describe(error)})")
        else:
            self.serve(loaded)
            self._broadcast(self.ready())

    def serve(self, loaded: LoadedModel | Pair) -> None:
        """Serves a model that is loaded and warm."""
        self._loaded = loaded

    def state(self) -> wire.ModelReady | wire.Failure | None:
        """The frame for a new client; None while the model is loading."""
        if self._failure:
            return wire.Failure(None, "model", self._failure)
        return self.ready() if self._loaded else None

    def check_ready(self) -> None:
        """Raises: EngineError, while there is no model."""
        if self._loaded is None:
            raise EngineError(self.why_not_ready())

    def why_not_ready(self) -> str:
        return self._failure or "the model is still loading"

    def ready(self) -> wire.ModelReady:
        """The description of the loaded model for clients."""
        loaded = self._loaded
        assert loaded is not None
        base = loaded.base if isinstance(loaded, Pair) else loaded
        return wire.ModelReady(
            name=base.card.name,
            small_name=loaded.small.card.name if isinstance(loaded, Pair) else "",
            fingerprint=base.fingerprint,
            languages=base.card.languages,
            fill_in_middle=base.layout.has_suffix,
            max_context=min(self._context_tokens, base.transformer.config.max_context),
            device=str(base.transformer.device),
            dtype=str(base.transformer.dtype).removeprefix("torch."),
        )

    def make_session(self, frame: wire.Open) -> AnySession:
        """A session for a document; the model has to be loaded."""
        assert self._loaded is not None
        arguments = (
            *(frame.text, frame.cursor, self._context_tokens),
            bool(frame.root),  # whether pieces of other files may be attached
            frame.language,
        )
        if isinstance(self._loaded, Pair):
            return PairedSession(self._loaded, *arguments)
        return Session(self._loaded, *arguments)

    def status(self, client: Client, request_id: int, documents: OpenDocuments) -> wire.Status:
        """State of the model, and of the client's own documents only."""
        loaded = self._loaded
        models = [loaded.base, loaded.small] if isinstance(loaded, Pair) else [loaded]
        arenas = [model.arena for model in models if model]
        return wire.Status(
            id=request_id,
            state="failed" if self._failure else "ready" if loaded else "loading",
            message=self._failure,
            model=models[0].card.name if models[0] else "",
            documents=tuple(
                wire.DocumentStatus(
                    d.name, d.session.n_tokens, d.session.n_fresh, d.session.n_pending
                )
                for d in documents.of(client)
            ),
            cache_bytes=sum(arena.used_bytes for arena in arenas),
            cache_budget_bytes=sum(arena.budget_bytes for arena in arenas),
        )

    def _send_progress(self, stage: str, share: float) -> None:
        # a download reports every few kilobytes
        now = time.monotonic()
        if share >= 1.0 or now - self._progress_sent_at >= PROGRESS_EVERY_S:
            self._progress_sent_at = now
            self._broadcast(wire.Progress(stage, share))

    def _fail(self, message: str) -> None:
        self._failure = message
        log.error(message)
        self._broadcast(wire.Failure(None, "model", message))
