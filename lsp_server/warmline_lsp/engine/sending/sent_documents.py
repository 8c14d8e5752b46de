"""The documents that the engine has, and those it was sent and may not have read yet."""

from __future__ import annotations

from dataclasses import dataclass

from warmline_protocol import wire

from .pending_requests import PendingRequest


@dataclass
class SentDocument:
    """What the engine has of a document."""

    root: str
    excluded: tuple[str, ...]
    version: int
    pending_edit: int | None = None  # version of the last edit, until the engine has encoded it


class SentDocuments:
    """A table by name, and the opened documents in order until the engine has taken them.

    The engine answers frames in order, so a status requested after an `Open` shows that it took the document.
    """

    def __init__(self) -> None:
        self._documents: dict[str, SentDocument] = {}
        self._opened: list[str] = []  # since the last status was requested
        self._batch: list[str] = []  # before the status was requested
        self._status: PendingRequest[wire.Status] | None = None

    def get(self, document: str) -> SentDocument | None:
        return self._documents.get(document)

    def __contains__(self, document: str) -> bool:
        return document in self._documents

    def opened(self, frame: wire.Open) -> None:
        """Notes a document that was sent whole."""
        self._documents[frame.document] = SentDocument(frame.root, frame.excluded, frame.version)
        self._opened.append(frame.document)

    def edited(self, document: str, version: int) -> None:
        """Notes an edit that was sent."""
        record = self._documents[document]
        record.version = record.pending_edit = version

    def encoded(self, document: str, version: int) -> None:
        """Notes that the engine has encoded all edits up to a version."""
        record = self._documents.get(document)
        if record and record.pending_edit is not None and record.pending_edit <= version:
            record.pending_edit = None

    def forget(self, document: str) -> None:
        """Notes that the engine does not have the document, or has another text of it."""
        self._documents.pop(document, None)

    def clear(self) -> None:
        """Notes that the engine is gone."""
        self._documents.clear()
        self._opened.clear()
        self._batch.clear()
        self._status = None

    # ---- opened documents that the engine may not have taken

    @property
    def n_opened(self) -> int:
        """How many documents were opened since the last status was requested."""
        return len(self._opened)

    @property
    def status(self) -> PendingRequest[wire.Status] | None:
        """The request whose answer shows that a batch was taken."""
        return self._status

    @property
    def are_all_taken(self) -> bool:
        return self._status is None and not self._opened

    def is_on_its_way(self, document: str) -> bool:
        return document in self._opened or document in self._batch

    def begin_batch(self, status: PendingRequest[wire.Status]) -> None:
        """Notes that a status was requested after the documents opened so far."""
        self._status = status
        self._batch, self._opened = self._opened, []

    def end_batch(self, status_id: int) -> list[str]:
        """The documents that the engine has taken, as a status shows."""
        if self._status is None or self._status.id != status_id:
            return []
        taken, self._batch, self._status = self._batch, [], None
        return taken

    def crash_candidates(self, completing: list[str]) -> tuple[set[str], set[str]]:
        """Documents that the engine was working on, and documents of which it was working on one."""
        edited = {name for name, d in self._documents.items() if d.pending_edit is not None}
        batches = [batch for batch in (self._batch, self._opened) if batch]
        alone = {batch[0] for batch in batches if len(batch) == 1}
        certain = alone | edited | set(completing)
        return certain, {name for batch in batches for name in batch} - certain
