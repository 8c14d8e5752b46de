"""The one thread that owns the model: takes frames in order, and does the most important work first.

The order: text changes (cheap, and all other work depends on them), completions, then background work. A completion
checks at each token whether it is still wanted; all other work comes in short chunks.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from warmline_engine.cache.arena import ArenaFull
from warmline_engine.decoding.answers.search import N_SEARCHED
from warmline_engine.decoding.contrast import RULES
from warmline_engine.decoding.sampling import SamplingRule
from warmline_engine.errors import DocumentError, DocumentLimit, EngineError
from warmline_engine.fitting import frames
from warmline_engine.panics import describe, is_panic
from warmline_engine.retrieval.rank import Found
from warmline_engine.retrieval.workspace_indexer import DocumentKey, WorkspaceIndexer
from warmline_engine.session.session import Answer, CompletionQuery
from warmline_protocol import wire

from .background_work import BackgroundWork
from .idle_throttle import Battery, Pace
from .open_documents import AnySession, OpenDocuments
from .served_model import Load, ServedModel
from .work_queue import Client, CompletionJob, DocumentFrame, Inbox, RetrievalResult

log = logging.getLogger(__name__)

MIN_COMPLETION_CHUNK = 64  # tokens; smaller chunks would read the weights too often
END_WITHIN_S = 5.0
PAUSE_AFTER_FAILURE_S = 0.05
SAMPLED = {"sampling": SamplingRule(), "mirostat": SamplingRule(1.0, surprise=3.0)}
WORST_LOGPROB = -1e9  # is sent for minus infinity


class Worker(threading.Thread):
    """Serves documents of all connections from one model."""

    def __init__(
        self,
        load: Load,
        context_tokens: int,
        broadcast: Callable[[wire.ToServer], None],
        measures_threads: bool = False,
        on_death: Callable[[str], None] = lambda reason: None,
        make_indexer: Callable[
            [Callable[[DocumentKey, list[Found]], None]], WorkspaceIndexer
        ] = WorkspaceIndexer,
        pace: Pace | None = None,
    ) -> None:
        """`on_death` gets the reason, in this thread, if the thread ends before it is closed."""
        super().__init__(name="worker", daemon=True)
        self._on_death = on_death
        self._inbox = Inbox()
        self._indexer = make_indexer(self._inbox.found)
        self.model = ServedModel(load, context_tokens, broadcast, measures_threads)
        self.documents = OpenDocuments(self._indexer)
        self._background = BackgroundWork(self.documents, pace or Pace(Battery()))

    # ---- called from the event loop

    def submit(
        self, client: Client, frame: wire.ToEngine, on_done: Callable[[], None] = lambda: None
    ) -> None:
        """Takes a frame of a connection; answers come through `client.send`.

        `on_done` is called, from any thread, when the frame no longer waits.
        """
        self._inbox.submit(client, frame, on_done)

    def forget_documents(self, client: Client) -> None:
        """Drops the documents of a connection that stays; later frames for them are answered `unknown_document`."""
        self._inbox.forget_documents(client)

    def leave(self, client: Client) -> None:
        """Drops the documents of a connection that is gone."""
        self._inbox.leave(client)

    def close(self) -> bool:
        """Ends the thread after the present chunk; returns whether it has ended."""
        self._indexer.close()
        self._inbox.close()
        self.join(END_WITHIN_S)
        return not self.is_alive()

    # ---- the thread

    def run(self) -> None:
        try:
            self._indexer.start()
            self.model.load()
            while not self._inbox.is_closing:
                self._step_or_log()
        except BaseException as error:
            self._on_death(f"the worker ended: {describe(error)}")
            raise

    def _step_or_log(self) -> None:
        try:
            if not self.step():
                self._inbox.wait(self._background.pause_s())
        # a process loop: one bad document must not end the others
        except Exception:
            log.exception("a step failed")
            time.sleep(PAUSE_AFTER_FAILURE_S)
        except BaseException as error:
            if not is_panic(error):
                raise
            log.error("a step failed: %s", describe(error))
            time.sleep(PAUSE_AFTER_FAILURE_S)

    def step(self) -> bool:
        """Does the most important piece of work; returns whether there was any."""
        match self._inbox.take():
            case DocumentFrame(client, None):
                self.documents.forget_all(client)
            case DocumentFrame(client, frame) if frame is not None:
                self._answer_failures(client, frame, lambda: self._take(client, frame))
            case CompletionJob() as job:
                try:
                    with self._indexer.kept_quiet():
                        self._answer_failures(job.client, job.frame, lambda: self._complete(job))
                finally:
                    self._inbox.answered(job)
            case RetrievalResult() as result:
                self.documents.bind(result)
            case _:
                return self.model.is_ready and self._background.step()
        return True

    # ---- frames

    def _take(self, client: Client, frame: wire.ToEngine) -> None:
        match frame:
            case wire.AskStatus():
                client.send(self.model.status(client, frame.id, self.documents))
            case wire.FilesChanged():
                self.documents.files_changed(frame)
            case _ if not self.model.is_ready:
                request_id, document = wire.request_id_of(frame), wire.document_of(frame)
                reason = self.model.why_not_ready()
                client.send(wire.Failure(request_id, "not_ready", reason, document))
            case wire.Open():
                self.documents.open(client, frame, self.model.make_session)
            case wire.Close():
                self.documents.forget(client, frame.document)
            case wire.Edit():
                self.documents.edit(client, frame)
            case wire.MoveCursor():
                self.documents.move_cursor(client, frame)
            case wire.AskContext():
                client.send(self._context(client, frame))
            case _:
                raise AssertionError(f"{type(frame).__name__} is not for the worker")

    def _answer_failures(
        self, client: Client, frame: wire.ToEngine, work: Callable[[], None]
    ) -> None:
        """Does work for a frame and answers failures.

        A document whose state is unknown after a failure is forgotten, so that the client opens it again.
        """
        document = wire.document_of(frame)
        try:
            work()
        except EngineError as error:
            # errors of other kinds come in the middle of an edit or a pass
            is_intact = isinstance(error, DocumentError) and not isinstance(error, DocumentLimit)
            if not is_intact:
                self.documents.forget(client, document)
            code, reason = error.code, str(error)
        # a process loop: every frame is answered
        except Exception as error:
            log.exception("%s failed", type(frame).__name__)
            self.documents.forget(client, document)
            code, reason = "out_of_sync", type(error).__name__
        except BaseException as error:
            if not is_panic(error):
                raise
            log.error("a library failed on a document: %s", describe(error))
            self.documents.forget(client, document)
            code, reason = "library", describe(error)
        else:
            return
        client.send(wire.Failure(wire.request_id_of(frame), code, reason, document))

    def _context(self, client: Client, frame: wire.AskContext) -> wire.Context:
        document = self.documents.find(client, frame.document)
        # in this order, so that a result that arrives in between counts as still being looked for
        is_looking = bool(document.root) and self._indexer.is_looking(document.key)
        if (result := self._inbox.finds_for(document.key)) is not None:
            self.documents.bind(result)
        session = document.session
        items = tuple(
            wire.ContextItem(found.path, found.line, found.name, found.why, found.text, len(chunk))
            for found, chunk in zip(document.bound, session.bound, strict=True)
        )
        state = (
            "looking" if is_looking or session.is_binding else "ready" if document.root else "off"
        )
        return wire.Context(frame.id, state, session.n_tokens, session.n_fresh, items)

    # ---- completions

    def _complete(self, job: CompletionJob) -> None:
        try:
            job.client.send(self._answer(job))
        except ArenaFull as error:
            failure = wire.Failure(job.frame.id, error.code, str(error), job.frame.document)
            job.client.send(failure)

    def _answer(self, waiting: CompletionJob) -> wire.Completion:
        frame = waiting.frame
        self.model.check_ready()
        document = self.documents.find(waiting.client, frame.document)
        document.touched = time.monotonic()
        if self._inbox.is_cancelled(waiting) or document.version != frame.version:
            return _empty(frame.id, waiting.arrived, "cancelled")
        if stop := frames.refusal(frame, document.session.text, document.session.syntax):
            return _empty(frame.id, waiting.arrived, stop)
        query = CompletionQuery(
            frame.offset,
            frame.virtual_text,
            max(1, min(frame.max_tokens, 512)),
            frame.multi_line,
            max(1, min(frame.n_alternatives, 5)),
            frame.deadline_ms,
            lambda: self._inbox.is_cancelled(waiting),
            frame.shows_unsure,
            # a search doubles the time of decoding, so it runs only for requests that show every answer
            n_searched=N_SEARCHED if frame.shows_unsure else 0,
            sampling=SAMPLED.get(frame.alternatives_by),
            contrast=RULES.get(frame.contrast),
            force_base=frame.force_base,
            documents=self.documents.draft_tokens_for(document),
            chunk_tokens=max(MIN_COMPLETION_CHUNK, self._background.chunk),
        )
        n_before, began = document.session.n_encoded, time.monotonic()
        with _without_replaced(document.session, frame.offset, frame.n_replaced):
            answer = self.documents.with_room(document, lambda: document.session.complete(query))
            items = _fitted_items(frame, document.session, answer)
        # generated tokens are no part of an edit's cost
        ready = began + answer.first_token_ms / 1000
        document.report_encoded(n_before + answer.n_encoded, ready)
        return wire.Completion(
            id=frame.id,
            items=items,
            stop=answer.stop,
            n_tokens=answer.n_tokens,
            n_fresh=answer.n_fresh,
            n_encoded=answer.n_encoded,
            n_generated=answer.n_generated,
            elapsed_ms=(time.monotonic() - waiting.arrived) * 1000,
            first_token_ms=answer.first_token_ms,
            is_provisional=answer.is_provisional,
            generated_text=answer.items[0].text if answer.items else "",
        )


@contextmanager
def _without_replaced(session: AnySession, offset: int, n_replaced: int) -> Iterator[None]:
    """Removes the text that a completion replaces, for as long as this is entered.

    An offset outside the text is left to the completion, which refuses it.
    """
    removed = session.text[offset : offset + n_replaced] if n_replaced > 0 <= offset else ""
    if not removed:
        yield
        return
    session.edit_all([(offset, offset + len(removed), "")])
    try:
        yield
    finally:
        session.edit_all([(offset, offset, removed)])
        session.move_cursor(offset)


def _fitted_items(
    frame: wire.Complete, session: AnySession, answer: Answer
) -> tuple[wire.Item, ...]:
    if answer.stop == "cancelled":
        return ()
    generated = [(item.text, _finite(item.mean_logprob)) for item in answer.items]
    return frames.items(frame, session.text, session.syntax, generated)


def _empty(request_id: int, arrived: float, stop: str) -> wire.Completion:
    elapsed = (time.monotonic() - arrived) * 1000
    return wire.Completion(request_id, (), stop, 0, 0, 0, 0, elapsed, 0.0)


def _finite(logprob: float) -> float:
    return logprob if math.isfinite(logprob) else WORST_LOGPROB
