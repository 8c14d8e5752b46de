"""The one thread that owns the model: takes frames in order, and works on what matters most.

In order of weight: what changes a text (cheap, and all else depends on it), completions, encoding edits,
repair, refresh. A completion asks at each token whether it is still wanted; all other work comes in
chunks of about CHUNK_MS. Repair and refresh only make better what serves already: `pace.py` says when.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from warmline_engine.cache.arena import ArenaFull
from warmline_engine.decoding.answers.search import N_SEARCHED
from warmline_engine.decoding.contrast import RULES
from warmline_engine.decoding.ngram.suffix_match import BORDER
from warmline_engine.decoding.sampling import SamplingRule
from warmline_engine.errors import (
    DocumentError,
    DocumentLimit,
    EngineError,
    ModelError,
    OutOfSync,
    UnknownDocument,
)
from warmline_engine.fitting import frames
from warmline_engine.panics import describe, is_panic
from warmline_engine.retrieval.rank import Found
from warmline_engine.retrieval.workspace_indexer import RetrievalQuery, WorkspaceIndexer
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.model_pair import Pair, PairedSession
from warmline_engine.session.session import Answer, CompletionQuery, Session
from warmline_protocol import wire

from .idle_throttle import Battery, Pace
from .visibility import is_left_out, may_show_document, may_show_piece
from .warm_up import warm_up
from .work_queue import Client, CompletionJob, DocumentFrame, Inbox, RetrievalResult

log = logging.getLogger(__name__)
T = TypeVar("T")

CHUNK_MS = 60.0
MIN_CHUNK, MAX_CHUNK = 16, 256
MIN_CHUNK_ASKED = 64  # somebody waits for it: smaller ones read the weights too often
END_WITHIN_S = 5.0
MAX_BESIDE = 30_000  # tokens of other documents, for drafts
SAMPLED = {"sampling": SamplingRule(), "mirostat": SamplingRule(1.0, surprise=3.0)}
SHOWN_EVERY_S = 0.1  # of progress
MAX_DOCUMENTS = 2000  # of one client
MAX_CHARACTERS = 32_000_000  # of all documents of one client
WORST_LOGPROB = -1e9  # what is shown of minus infinity
SERVED_FOR_S = 120.0  # a document is read and refreshed this long after its last edit or cursor


@dataclass
class EngineDocument:
    """A session and what the worker remembers of it."""

    client: Client
    session: Session | PairedSession
    version: int
    touched: float
    edited_at: float | None = None  # since when an edit waits to be encoded
    n_encoded_at_edit: int = 0
    root: str = ""  # of its workspace, where other files may be read
    path: str = ""
    name: str = ""  # its URI
    excluded: tuple[str, ...] = ()  # globs of files that it is not shown
    is_left_out: bool | None = None  # by ignore files; None: not known yet
    bound: tuple[Found, ...] = ()  # the nearest last
    _tokens: tuple[int, NDArray[np.int64]] | None = None  # at a version

    def tokens_now(self) -> NDArray[np.int64]:
        """The tokens of its window and a border, made an array once a version."""
        if self._tokens is None or self._tokens[0] != self.version:
            self._tokens = self.version, np.array([*self.session.tokens, BORDER], np.int64)
        return self._tokens[1]


class Worker(threading.Thread):
    """Serves documents of all connections from one model."""

    def __init__(
        self,
        load: Callable[[Callable[[str, float], None]], LoadedModel | Pair],
        context_tokens: int,
        broadcast: Callable[[wire.ToServer], None],
        measures_threads: bool = False,
        on_death: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """`on_death` gets the reason, in this thread, if the thread ends without having been closed."""
        super().__init__(name="worker", daemon=True)
        self._on_death = on_death
        self._load = load
        self._context_tokens = context_tokens
        self._broadcast = broadcast
        self._measures_threads = measures_threads
        self._inbox = Inbox()
        self._indexer = WorkspaceIndexer(self._inbox.found)
        self._documents: dict[tuple[int, str], EngineDocument] = {}
        self._chunk = 64
        self._pace = Pace(Battery())
        self._model: LoadedModel | None = None
        self._pair: Pair | None = None
        self._failure = ""
        self._progress_sent_at = float("-inf")

    # ---- called from the event loop

    def submit(
        self, client: Client, frame: wire.ToEngine, on_done: Callable[[], None] = lambda: None
    ) -> None:
        """Takes a frame of a connection; answers come through `client.send`.

        `on_done` is called, from any thread, when the frame no longer waits.
        """
        self._inbox.submit(client, frame, on_done)

    def forget_documents(self, client: Client) -> None:
        """Drops the documents of a connection that stays: what it sends of them next is answered `unknown_document`."""
        self._inbox.forget_documents(client)

    def leave(self, client: Client) -> None:
        """Drops the documents of a connection that is gone."""
        self._inbox.leave(client)

    def close(self) -> bool:
        """Ends the thread after the present chunk; whether it has ended."""
        self._indexer.close()
        self._inbox.close()
        self.join(END_WITHIN_S)
        return not self.is_alive()

    def welcome(self) -> wire.ToServer | None:
        """What a new connection should know at once: the model, or why there is none."""
        if self._failure:
            return wire.Failure(None, "model", self._failure)
        return self._ready() if self._model else None

    # ---- the thread

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self._on_death(f"the worker ended: {describe(error)}")
            raise
        if not self._inbox.is_closing:
            self._on_death("the worker ended")

    def _run(self) -> None:
        self._indexer.start()
        try:
            loaded = self._load(self._notify_progress)
            warm_up(loaded, self._measures_threads)
            self._serve(loaded)
        except ModelError as error:
            self._fail(str(error))
        except (
            Exception
        ) as error:  # a process loop: a model that cannot load is a state, not a crash
            log.exception("the model cannot be loaded")
            self._fail(f"the model cannot be loaded: {type(error).__name__}: {error}")
        except BaseException as error:  # a library that panics, see `describe`
            if not is_panic(error):
                raise
            self._fail(f"the model cannot be loaded: a library failed ({describe(error)})")
        else:
            self._broadcast(self._ready())
        while not self._inbox.is_closing:
            try:
                if not self._step():
                    self._inbox.wait(self._pace.pause_s(time.monotonic()))
            except Exception:  # a process loop: one bad document must not end the others
                log.exception("a step failed")
                time.sleep(0.05)
            except BaseException as error:
                if not is_panic(error):
                    raise
                log.error("a step failed: %s", describe(error))
                time.sleep(0.05)

    def _serve(self, loaded: LoadedModel | Pair) -> None:
        self._pair = loaded if isinstance(loaded, Pair) else None
        self._model = loaded.base if isinstance(loaded, Pair) else loaded

    def _notify_progress(self, stage: str, share: float) -> None:
        # a fetch tells of every few kilobytes: what a person cannot see is not sent
        now = time.monotonic()
        if share >= 1.0 or now - self._progress_sent_at >= SHOWN_EVERY_S:
            self._progress_sent_at = now
            self._broadcast(wire.Progress(stage, share))

    def _fail(self, message: str) -> None:
        self._failure = message
        log.error(message)
        self._broadcast(wire.Failure(None, "model", message))

    def _ready(self) -> wire.ModelReady:
        model = self._model
        assert model is not None
        return wire.ModelReady(
            name=model.card.name,
            small_name=self._pair.small.card.name if self._pair else "",
            fingerprint=model.fingerprint,
            languages=model.card.languages,
            fill_in_middle=model.layout.has_suffix,
            max_context=min(self._context_tokens, model.transformer.config.max_context),
            device=str(model.transformer.device),
            dtype=str(model.transformer.dtype).removeprefix("torch."),
        )

    def _step(self) -> bool:
        """Does the weightiest piece of work; whether there was any."""
        taken = self._inbox.take()
        if isinstance(taken, DocumentFrame):
            self._take_text(taken.client, taken.frame)
        elif isinstance(taken, CompletionJob):
            try:
                with self._indexer.kept_quiet():
                    self._complete(taken)
            finally:
                self._inbox.answered(taken)
        elif isinstance(taken, RetrievalResult):
            self._bind(taken)
        else:
            return self._model is not None and self._work_ahead()
        return True

    # ---- texts

    def _take_text(self, client: Client, frame: wire.ToEngine | None) -> None:
        if frame is None:
            self._forget_all(client)
            return
        document, request_id = getattr(frame, "document", ""), getattr(frame, "id", None)
        try:
            if isinstance(frame, wire.AskStatus):
                client.send(self._status(client, frame.id))
            elif isinstance(frame, wire.FilesChanged):
                self._indexer.changed_on_disk(frame.root, frame.paths)
                for one in self._documents.values():
                    one.is_left_out = None
            elif self._model is None:
                reason = self._failure or "the model is still loading"
                client.send(wire.Failure(request_id, "not_ready", reason, document))
            else:
                self._take_of_document(client, frame)
        except EngineError as error:
            # another one came in the middle of the work: what the document is now is not known
            if isinstance(error, DocumentLimit) or not isinstance(error, DocumentError):
                self._forget(client, document)
            client.send(wire.Failure(request_id, error.code, str(error), document))
        except (
            Exception
        ) as error:  # a process loop: answered, logged, and the document is asked for anew
            log.exception("%s failed", type(frame).__name__)
            self._forget(client, document)
            client.send(wire.Failure(request_id, "out_of_sync", type(error).__name__, document))
        except BaseException as error:
            if not is_panic(error):
                raise
            self._panicked(client, request_id, document, error)

    def _panicked(
        self, client: Client, request_id: int | None, document: str, error: BaseException
    ) -> None:
        """Answers what a library panicked on, and forgets the document: what it is now is not known."""
        log.error("a library failed on a document: %s", describe(error))
        self._forget(client, document)
        client.send(wire.Failure(request_id, "library", describe(error), document))

    def _take_of_document(self, client: Client, frame: wire.ToEngine) -> None:
        match frame:
            case wire.Open():
                self._open(client, frame)
            case wire.Close():
                self._forget(client, frame.document)
            case wire.Edit():
                self._edit(client, frame)
            case wire.MoveCursor():
                document = self._find(client, frame.document)
                if document.version == frame.version:
                    document.session.move_cursor(frame.offset)
                    document.touched = time.monotonic()
                    self._look_around(client, frame.document, document)
            case wire.AskContext():
                client.send(self._context(client, frame))
            case _:
                raise AssertionError(f"{type(frame).__name__} is no frame of a document")

    def _open(self, client: Client, frame: wire.Open) -> None:
        assert self._model is not None
        self._forget(client, frame.document)
        self._check_room(client, len(frame.text))
        binds = bool(frame.root)
        if binds:
            self._indexer.serve(frame.root, frame.excluded)
        arguments = frame.text, frame.cursor, self._context_tokens, binds, frame.language
        pair = self._pair
        session = PairedSession(pair, *arguments) if pair else Session(self._model, *arguments)
        now = time.monotonic()
        document = EngineDocument(
            client,
            session,
            frame.version,
            now,
            edited_at=now,
            root=frame.root,
            path=frame.path,
            name=frame.document,
            excluded=frame.excluded,
        )
        self._documents[id(client), frame.document] = document
        self._look_around(client, frame.document, document)

    def _edit(self, client: Client, frame: wire.Edit) -> None:
        document = self._find(client, frame.document)
        if frame.version <= document.version:
            raise OutOfSync(f"version {frame.version} after version {document.version}")
        n_more = sum(len(edit.text) - (edit.end - edit.start) for edit in frame.edits)
        n_longest = len(document.session.text) + sum(len(edit.text) for edit in frame.edits)
        if n_more > 0 and n_longest > wire.MAX_TEXT:
            raise DocumentLimit(f"the document is longer than {wire.MAX_TEXT} characters")
        if n_more > 0:
            self._check_room(client, n_more, n_documents=0)
        n_encoded = document.session.n_encoded
        document.session.edit_all([(edit.start, edit.end, edit.text) for edit in frame.edits])
        if document.edited_at is None:
            document.edited_at, document.n_encoded_at_edit = time.monotonic(), n_encoded
        document.session.has_cursor = True
        document.version, document.touched = frame.version, time.monotonic()
        self._look_around(client, frame.document, document)

    def _check_room(self, client: Client, n_characters: int, n_documents: int = 1) -> None:
        """Whether a client may have so many characters and documents more.

        Raises: DocumentLimit.
        """
        own = [d for d in self._documents.values() if d.client is client]
        if len(own) + n_documents > MAX_DOCUMENTS:
            raise DocumentLimit(f"the client has more than {MAX_DOCUMENTS} documents open")
        if sum(len(d.session.text) for d in own) + n_characters > MAX_CHARACTERS:
            raise DocumentLimit(
                f"the client's documents have more than {MAX_CHARACTERS} characters in total"
            )

    def _look_around(self, client: Client, name: str, document: EngineDocument) -> None:
        """Lets other files be searched for what the cursor needs; nobody waits for it."""
        if document.root:
            session = document.session
            place = RetrievalQuery(
                document.root,
                document.path,
                session.text,
                session.cursor,
                session.visible,
                document.excluded,
            )
            self._indexer.request((id(client), name), place)

    def _bind(self, finds: RetrievalResult) -> None:
        document = self._documents.get(finds.key)
        if document is None:
            return
        # the rules may have become others since it was asked
        nearest_last = [
            found
            for found in reversed(finds.found)
            if may_show_piece(document.root, found.path, document.excluded)
        ]
        texts = [found.text for found in nearest_last]
        n_bound = document.session.bind(texts)
        document.bound = tuple(nearest_last[len(texts) - n_bound :])

    def _forget(self, client: Client, name: str) -> None:
        """Drops a document, if there is one of that name; its memory goes back."""
        forgotten = self._documents.pop((id(client), name), None)
        if forgotten:
            forgotten.session.release()
            if forgotten.root:
                self._indexer.forget((id(client), name), forgotten.root, forgotten.path)

    def _forget_all(self, client: Client) -> None:
        for owner, name in list(self._documents):
            if owner == id(client):
                self._forget(client, name)

    def _find(self, client: Client, name: str) -> EngineDocument:
        document = self._documents.get((id(client), name))
        if document is None:
            raise UnknownDocument("the document is not open")
        return document

    def _context(self, client: Client, frame: wire.AskContext) -> wire.Context:
        document, key = self._find(client, frame.document), (id(client), frame.document)
        # in this order: what is found after it was asked is told as looked for
        is_looking = bool(document.root) and self._indexer.is_looking(key)
        if (finds := self._inbox.finds_for(key)) is not None:
            self._bind(finds)
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

    def _complete(self, waiting: CompletionJob) -> None:
        client, frame = waiting.client, waiting.frame
        try:
            client.send(self._answer(waiting))
        except EngineError as error:
            if not isinstance(error, DocumentError) and self._model is not None:
                self._forget(client, frame.document)
            client.send(wire.Failure(frame.id, error.code, str(error), frame.document))
        except ArenaFull as error:
            client.send(wire.Failure(frame.id, error.code, str(error), frame.document))
        except Exception as error:  # a process loop: every request is answered
            log.exception("a completion failed")
            self._forget(client, frame.document)
            name = type(error).__name__
            client.send(wire.Failure(frame.id, "out_of_sync", name, frame.document))
        except BaseException as error:
            if not is_panic(error):
                raise
            self._panicked(client, frame.id, frame.document, error)

    def _answer(self, waiting: CompletionJob) -> wire.Completion:
        frame = waiting.frame
        if self._model is None:
            raise EngineError(self._failure or "the model is still loading")
        document = self._find(waiting.client, frame.document)
        document.touched = time.monotonic()
        if self._inbox.is_cancelled(waiting) or document.version != frame.version:
            return _empty(frame.id, waiting.arrived, "cancelled")
        if stop := frames.refusal(frame, document.session.text, document.session.syntax):
            return _empty(frame.id, waiting.arrived, stop)
        ask = CompletionQuery(
            frame.offset,
            frame.virtual_text,
            max(1, min(frame.max_tokens, 512)),
            frame.multi_line,
            max(1, min(frame.n_alternatives, 5)),
            frame.deadline_ms,
            lambda: self._inbox.is_cancelled(waiting),
            frame.shows_unsure,
            # it doubles the time of decoding: too much for each key, not for who wants to see everything
            n_searched=N_SEARCHED if frame.shows_unsure else 0,
            sampling=SAMPLED.get(frame.alternatives_by),
            contrast=RULES.get(frame.contrast),
            force_base=frame.force_base,
            documents=self._beside(document),
            chunk_tokens=max(MIN_CHUNK_ASKED, self._chunk),
        )
        n_before, began = document.session.n_encoded, time.monotonic()
        with _replacing(document.session, frame.offset, frame.n_replaced):
            answer = self._with_room(document, lambda: document.session.complete(ask))
            items = _fitted_items(frame, document.session, answer)
        # what was generated is no part of what the edit cost
        ready = began + answer.first_token_ms / 1000
        self._report_encoded(frame.document, document, n_before + answer.n_encoded, ready)
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

    def _beside(self, wanted: EngineDocument) -> NDArray[np.int64]:
        """Tokens of the client's other documents, those used last, a border between them."""
        others = [d for d in self._documents.values() if d.client is wanted.client]
        found, n_tokens = [np.zeros(0, np.int64)], 0
        for document in sorted(others, key=lambda d: -d.touched):
            if document is wanted or not self._may_show(document, wanted):
                continue
            if n_tokens < MAX_BESIDE:
                found.append(document.tokens_now())
                n_tokens += len(found[-1])
        return np.concatenate(found)

    def _may_show(self, document: EngineDocument, wanted: EngineDocument) -> bool:
        """Whether a completion of `wanted` may repeat text of another document."""
        if not may_show_document(document.name, document.root, document.path, wanted.excluded):
            return False
        if document.is_left_out is None:
            document.is_left_out = bool(document.root) and is_left_out(document.root, document.path)
        return not document.is_left_out

    def _with_room(self, wanted: EngineDocument, work: Callable[[], T]) -> T:
        """Does work on a document; where memory is spent, the one unused longest loses its cache first."""
        while True:
            try:
                return work()
            except ArenaFull:
                others = [
                    d for d in self._documents.values() if d is not wanted and d.session.n_bytes
                ]
                if not others:
                    raise
                min(others, key=lambda d: d.touched).session.drop_cache()

    # ---- work ahead

    def _work_ahead(self) -> bool:
        now = time.monotonic()
        recent = sorted(
            ((key, d) for key, d in self._documents.items() if now - d.touched < SERVED_FOR_S),
            key=lambda pair: -pair[1].touched,
        )
        for kind in ("encode_some", "repair_some", "refresh_some"):
            is_better_only = kind != "encode_some"
            for (_, name), document in recent:
                if is_better_only and not self._pace.allows(now, document.touched):
                    continue
                if self._work_on(name, document, kind):
                    if is_better_only:
                        self._pace.note(now, time.monotonic())
                    return True
        return False

    def _work_on(self, name: str, document: EngineDocument, kind: str) -> bool:
        begin, before = time.monotonic(), document.session.n_encoded
        try:
            did = self._with_room(document, lambda: getattr(document.session, kind)(self._chunk))
        except ArenaFull as error:
            log.warning("no room to read ahead: %s", error)
            document.touched = 0.0  # nothing is read ahead until it is touched again
            return False
        except BaseException:
            document.touched = 0.0  # else the same failure would be all that the worker does
            raise
        n_encoded = document.session.n_encoded - before
        if n_encoded == self._chunk:
            elapsed = (time.monotonic() - begin) * 1000
            self._chunk = int(self._chunk * min(2.0, max(0.5, CHUNK_MS / max(elapsed, 0.1))))
            self._chunk = max(MIN_CHUNK, min(MAX_CHUNK, self._chunk))
        if document.session.n_pending == 0:
            self._report_encoded(name, document, document.session.n_encoded, time.monotonic())
        return did

    def _report_encoded(
        self, name: str, document: EngineDocument, n_encoded: int, ready: float
    ) -> None:
        if document.edited_at is None:
            return
        session = document.session
        document.client.send(
            wire.Encoded(
                document=name,
                version=document.version,
                n_encoded=n_encoded - document.n_encoded_at_edit,
                n_tokens=session.n_tokens,
                n_fresh=session.n_fresh,
                elapsed_ms=(ready - document.edited_at) * 1000,
            )
        )
        document.edited_at = None

    def _status(self, client: Client, request_id: int) -> wire.Status:
        """What a client may know: of documents its own only, since others may be somebody else's."""
        model = self._model
        state = "failed" if self._failure else "ready" if model else "loading"
        small = self._pair.small if self._pair else None
        arenas = [loaded.arena for loaded in (model, small) if loaded]
        documents = tuple(
            wire.DocumentStatus(name, d.session.n_tokens, d.session.n_fresh, d.session.n_pending)
            for (_, name), d in self._documents.items()
            if d.client is client
        )
        return wire.Status(
            id=request_id,
            state=state,
            message=self._failure,
            model=model.card.name if model else "",
            documents=documents,
            cache_bytes=sum(arena.used_bytes for arena in arenas),
            cache_budget_bytes=sum(arena.budget_bytes for arena in arenas),
        )


@contextmanager
def _replacing(session: Session | PairedSession, offset: int, n_replaced: int) -> Iterator[None]:
    """While the text lacks what a completion would replace. An offset outside it is refused by the completion."""
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
    frame: wire.Complete, session: Session | PairedSession, answer: Answer
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
