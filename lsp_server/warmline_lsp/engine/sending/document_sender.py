"""Keeps the engine's documents equal to the server's: sends edits, and opens again what the engine lacks.

Frames that cannot be sent are dropped, and the whole document is sent later. Until then the engine is taken not to
have it, so no completion is made from another text.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from warmline_protocol import wire

from .crash_record import CrashRecord, file_name
from .failing import Failing
from .outbox import Outbox, Sent
from .pending_requests import PendingRequest
from .sent_documents import SentDocument, SentDocuments
from .too_large import TooLarge

log = logging.getLogger(__name__)

# of documents that are sent before the engine has taken them
MAX_BATCH, MAX_BATCH_CHARACTERS = 64, 2_000_000


class DocumentSender:
    """Sends documents over one connection after the other."""

    def __init__(
        self,
        documents: Callable[[], Iterable[wire.Open]],
        outbox: Outbox,
        request_status: Callable[[], PendingRequest[wire.Status] | None],
        sleep: Callable[[float], Awaitable[None]],
        on_all_sent: Callable[[], None],
        on_left_out: Callable[[], None],
        on_too_large: Callable[[str], None],
    ) -> None:
        """`on_all_sent` is called when the engine has taken all documents, the others when one is left out."""
        self._documents = documents
        self._outbox = outbox
        self._request_status = request_status
        self._sleep = sleep
        self._on_all_sent = on_all_sent
        self._on_left_out = on_left_out
        self._on_too_large = on_too_large
        self.sent = SentDocuments()
        self.crashes = CrashRecord()
        self.failing = Failing()
        self.too_large = TooLarge()
        self._may_send = False  # the engine's model is loaded
        self._missed_closes: set[str] = set()
        self._missed_roots: set[str] = set()
        self._wants_replay = False
        self._replay_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- the connection

    def begin(self) -> None:
        """Sends all documents: the engine's model is loaded."""
        self._may_send = True
        self._start_replay()

    def disconnect(self) -> None:
        """Notes that the engine is gone, and with it all documents that it had."""
        self._may_send = False
        self.sent.clear()
        self._missed_closes.clear()
        self._missed_roots.clear()
        if self._replay_task is not None:
            self._replay_task.cancel()
            self._replay_task = None

    def catch_up(self) -> None:
        """Sends what was dropped while the engine did not read."""
        for document in self._missed_closes:
            self._outbox.write(wire.Close(document))
        for root in self._missed_roots:
            self._outbox.write(wire.FilesChanged(root, ()))
        self._missed_closes.clear()
        self._missed_roots.clear()
        self._start_replay()

    def tasks(self) -> list[asyncio.Task[None]]:
        """Pauses that are running, to be cancelled when the client stops."""
        return list(self._tasks)

    # ---- what the server sends

    def send(self, frame: wire.Open | wire.Edit | wire.Close | wire.MoveCursor) -> None:
        """Sends a frame, unless the engine is away or the document is left out."""
        match frame:
            case wire.Open():
                # a suspected document waits until the replay opens it alone
                if not (frame.document in self.crashes.suspected and self._is_replaying()):
                    self._open(frame)
                    self._acknowledge()
            case wire.Close():
                self._close(frame)
            case wire.Edit() | wire.MoveCursor():
                if frame.document in self.sent:
                    self._update(frame)

    def notify(self, frame: wire.FilesChanged) -> None:
        """Sends a frame that concerns no document, unless the engine is away."""
        if not self._may_send:
            return
        sent = self._outbox.write(frame)
        if sent is Sent.TOO_LARGE:  # too many paths: any file may have changed
            sent = self._outbox.write(wire.FilesChanged(frame.root, ()))
        if sent is not Sent.YES:
            self._missed_roots.add(frame.root)

    def _update(self, frame: wire.Edit | wire.MoveCursor) -> None:
        sent = self._outbox.write(frame)
        if sent is not Sent.YES:
            self._drop(frame.document)  # the engine has an old text now
            if sent is Sent.TOO_LARGE:
                self._start_replay()
        elif isinstance(frame, wire.Edit):
            self.sent.edited(frame.document, frame.version)

    def _open(self, frame: wire.Open) -> bool:
        """Opens a document; returns whether it was sent."""
        document = frame.document
        if not self._may_send or not self._may_open(frame):
            return False
        sent = self._outbox.write(frame)
        if sent is not Sent.YES:
            if document in self.sent:
                self._drop(document)
            if sent is Sent.TOO_LARGE and self.too_large.add(frame):
                log.error("%s is excluded: it is too large", file_name(document))
                self._on_too_large(document)
            return False
        self.failing.opened(document)
        self.too_large.remove(document)
        self._missed_closes.discard(document)
        self.sent.opened(frame)
        return True

    def _drop(self, document: str) -> None:
        """Closes a document of which the engine has an old text."""
        self.sent.forget(document)
        if self._outbox.write(wire.Close(document)) is not Sent.YES:
            self._missed_closes.add(document)

    def _may_open(self, frame: wire.Open) -> bool:
        document = frame.document
        return (
            document not in self.crashes.quarantined
            and self.failing.may_open(document, frame.version)
            and self.too_large.may_open(frame)
        )

    def _close(self, frame: wire.Close) -> None:
        document = frame.document
        self.failing.forget(document)
        self.too_large.remove(document)
        self.crashes.acquit(document)
        if document in self.sent:
            self._drop(document)

    # ---- what the engine answers

    def taken(self, status_id: int) -> None:
        """Notes a status: the engine has taken what was opened before it was requested."""
        batch = self.sent.end_batch(status_id)
        if len(batch) == 1:
            self.crashes.acquit(batch[0])
        self._acknowledge()

    def send_again(self, frame: wire.Failure) -> None:
        """Sends a document again, after a pause if the engine has failed on it before."""
        document = frame.document
        record = self.sent.get(document)
        is_old = frame.code == "unknown_document" and self.sent.is_on_its_way(document)
        if record is None or is_old:
            return  # frames that were sent before the failure was known
        self._note_failure(frame, record)

    def _note_failure(self, frame: wire.Failure, record: SentDocument) -> None:
        document = frame.document
        pause = self.failing.note(document, record.version)
        self.sent.forget(document)
        if document in self.failing.quarantined():
            log.error(
                "%s is excluded until it changes: the engine fails on it: %s",
                file_name(document), frame.message,
            )  # fmt: skip
            self._on_left_out()
        else:
            log.warning("sending a document again: %s", frame.message)
        self._in_background(self._resume(document, pause))

    async def _resume(self, document: str, pause: float) -> None:
        if pause:
            await self._sleep(pause)
        self.failing.resume(document)
        if self._may_send:
            self._start_replay()

    # ---- documents that the engine lacks

    def _acknowledge(self) -> None:
        """Requests a status, unless one is on its way: one shows that all documents before it were taken."""
        if self.sent.status is None and self.sent.n_opened:
            status = self._request_status()
            if status is not None:
                self.sent.begin_batch(status)

    def _is_replaying(self) -> bool:
        return self._replay_task is not None and not self._replay_task.done()

    def _start_replay(self) -> None:
        self._wants_replay = True
        if not self._is_replaying():
            self._replay_task = asyncio.create_task(self._replay())

    async def _replay(self) -> None:
        """Opens all documents that the engine lacks, in growing batches.

        If the engine crashes, each document of a batch is suspected, and the next engine opens it alone. So a document
        that crashes two engines is known by name.
        """
        size = 1
        while self._wants_replay:
            self._wants_replay = False
            n_characters = 0
            for opening in self._documents():
                is_alone = opening.document in self.crashes.suspected
                if opening.document in self.sent or not self._may_open(opening):
                    continue
                if is_alone and not await self._all_taken():
                    return
                if not self._open(opening):
                    continue
                # another pass finds documents that were opened in the meantime
                self._wants_replay = True
                n_characters += len(opening.text)
                is_full = self.sent.n_opened >= size or n_characters > MAX_BATCH_CHARACTERS
                if is_alone or is_full:
                    if not await self._all_taken():
                        return
                    n_characters = 0
                    size = size if is_alone else min(2 * size, MAX_BATCH)
            if not await self._all_taken():
                return
        self._on_all_sent()

    async def _all_taken(self) -> bool:
        """Waits until the engine has taken all opened documents; False if it is gone or does not read."""
        while not self.sent.are_all_taken:
            self._acknowledge()
            status = self.sent.status
            if status is None or await asyncio.shield(status.answer) is None:
                return False
        return self._outbox.is_connected

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
