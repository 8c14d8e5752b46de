"""The documents that clients have open, each with its session: opened, edited and forgotten within limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from warmline_engine.cache.arena import ArenaFull
from warmline_engine.decoding.ngram.suffix_match import BORDER
from warmline_engine.errors import DocumentLimit, OutOfSync, UnknownDocument
from warmline_engine.retrieval.rank import Found
from warmline_engine.retrieval.workspace_indexer import (
    DocumentKey,
    RetrievalQuery,
    WorkspaceIndexer,
)
from warmline_engine.session.model_pair import PairedSession
from warmline_engine.session.session import Session
from warmline_protocol import wire

from .visibility import is_left_out, may_show_document, may_show_piece
from .work_queue import Client, RetrievalResult

T = TypeVar("T")
AnySession = Session | PairedSession

MAX_DRAFT_TOKENS = 30_000  # of other documents, for drafts
MAX_DOCUMENTS = 2000  # of one client
MAX_CHARACTERS = 32_000_000  # of all documents of one client


@dataclass
class EngineDocument:
    """A document of one client, and its session."""

    client: Client
    name: str  # its URI
    session: AnySession
    version: int
    touched: float  # time of the last edit, cursor move or request
    root: str = ""  # of its workspace; empty: no other files may be read for it
    path: str = ""  # below the root
    excluded: tuple[str, ...] = ()  # globs of files whose text must not appear in its completions
    edited_at: float | None = None  # time of the first edit that is not encoded yet
    n_encoded_at_edit: int = 0
    is_left_out: bool | None = None  # by ignore files; None: not known yet
    bound: tuple[Found, ...] = ()  # the nearest last
    _tokens: tuple[int, NDArray[np.int64]] | None = None  # at a version

    @property
    def key(self) -> DocumentKey:
        return id(self.client), self.name

    def draft_tokens(self) -> NDArray[np.int64]:
        """The tokens of its window and a border; the array is made once for each version."""
        if self._tokens is None or self._tokens[0] != self.version:
            self._tokens = self.version, np.array([*self.session.tokens, BORDER], np.int64)
        return self._tokens[1]

    def note_edit(self, n_encoded: int) -> None:
        """Starts counting what an edit costs, unless an earlier one is still being counted."""
        if self.edited_at is None:
            self.edited_at, self.n_encoded_at_edit = time.monotonic(), n_encoded

    def report_encoded(self, n_encoded: int, ready: float) -> None:
        """Reports what the last edits cost, once; `ready` is when their tokens were encoded."""
        if self.edited_at is None:
            return
        self.client.send(
            wire.Encoded(
                document=self.name,
                version=self.version,
                n_encoded=n_encoded - self.n_encoded_at_edit,
                n_tokens=self.session.n_tokens,
                n_fresh=self.session.n_fresh,
                elapsed_ms=(ready - self.edited_at) * 1000,
            )
        )
        self.edited_at = None


class OpenDocuments:
    """All open documents, by client and name. Used by the worker's thread only."""

    def __init__(self, indexer: WorkspaceIndexer) -> None:
        self._indexer = indexer
        self._documents: dict[DocumentKey, EngineDocument] = {}

    def __iter__(self) -> Iterator[EngineDocument]:
        return iter(list(self._documents.values()))

    def of(self, client: Client) -> list[EngineDocument]:
        """A client's documents."""
        return [d for d in self._documents.values() if d.client is client]

    def find(self, client: Client, name: str) -> EngineDocument:
        """Raises: UnknownDocument."""
        document = self._documents.get((id(client), name))
        if document is None:
            raise UnknownDocument("the document is not open")
        return document

    def open(
        self, client: Client, frame: wire.Open, make_session: Callable[[wire.Open], AnySession]
    ) -> None:
        """Opens a document, in place of one that the client has under the same name.

        Raises: DocumentLimit.
        """
        self.forget(client, frame.document)
        self._check_room(client, len(frame.text), n_documents=1)
        if frame.root:
            self._indexer.serve(frame.root, frame.excluded)
        session = make_session(frame)
        now = time.monotonic()
        document = EngineDocument(
            client, frame.document, session, frame.version, now,
            frame.root, frame.path, frame.excluded, edited_at=now,
        )  # fmt: skip
        self._documents[document.key] = document
        self._request_context(document)

    def edit(self, client: Client, frame: wire.Edit) -> None:
        """Applies all edits of a frame, or none.

        Raises: UnknownDocument, OutOfSync; DocumentLimit, after which the document has to be forgotten.
        """
        document = self.find(client, frame.document)
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
        document.note_edit(n_encoded)
        document.session.has_cursor = True
        document.version, document.touched = frame.version, time.monotonic()
        self._request_context(document)

    def move_cursor(self, client: Client, frame: wire.MoveCursor) -> None:
        """Moves a cursor, unless it is that of another version.

        Raises: UnknownDocument, OutOfSync.
        """
        document = self.find(client, frame.document)
        if document.version == frame.version:
            document.session.move_cursor(frame.offset)
            document.touched = time.monotonic()
            self._request_context(document)

    def forget(self, client: Client, name: str) -> None:
        """Drops a document, if there is one of that name, and returns its memory."""
        forgotten = self._documents.pop((id(client), name), None)
        if forgotten:
            forgotten.session.release()
            if forgotten.root:
                self._indexer.forget(forgotten.key, forgotten.root, forgotten.path)

    def forget_all(self, client: Client) -> None:
        """Drops all documents of a client."""
        for document in self.of(client):
            self.forget(client, document.name)

    def files_changed(self, frame: wire.FilesChanged) -> None:
        """Passes changes on disk to the indexer; ignore files may be among them."""
        self._indexer.changed_on_disk(frame.root, frame.paths)
        for document in self._documents.values():
            document.is_left_out = None

    def bind(self, result: RetrievalResult) -> None:
        """Attaches pieces of other files to a document, unless it was closed."""
        document = self._documents.get(result.key)
        if document is None:
            return
        # the rules may have changed since the search
        nearest_last = [
            found
            for found in reversed(result.found)
            if may_show_piece(document.root, found.path, document.excluded)
        ]
        texts = [found.text for found in nearest_last]
        n_bound = document.session.bind(texts)
        document.bound = tuple(nearest_last[len(texts) - n_bound :])

    def draft_tokens_for(self, wanted: EngineDocument) -> NDArray[np.int64]:
        """Tokens of the client's other documents with borders between, those used last first."""
        found, n_tokens = [np.zeros(0, np.int64)], 0
        for document in sorted(self.of(wanted.client), key=lambda d: -d.touched):
            if n_tokens >= MAX_DRAFT_TOKENS:
                break
            if document is not wanted and _may_show(document, wanted):
                found.append(document.draft_tokens())
                n_tokens += len(found[-1])
        return np.concatenate(found)

    def with_room(self, wanted: EngineDocument, work: Callable[[], T]) -> T:
        """Does work on a document. When memory runs out, the document unused longest loses its cache.

        Raises: ArenaFull, when no other document has a cache.
        """
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

    def _check_room(self, client: Client, n_characters: int, n_documents: int) -> None:
        """Checks whether a client may have so many more characters and documents.

        Raises: DocumentLimit.
        """
        own = self.of(client)
        if len(own) + n_documents > MAX_DOCUMENTS:
            raise DocumentLimit(f"the client has more than {MAX_DOCUMENTS} documents open")
        if sum(len(d.session.text) for d in own) + n_characters > MAX_CHARACTERS:
            raise DocumentLimit(
                f"the client's documents have more than {MAX_CHARACTERS} characters in total"
            )

    def _request_context(self, document: EngineDocument) -> None:
        """Requests a search of other files for what the cursor needs; its result comes later."""
        if document.root:
            session = document.session
            query = RetrievalQuery(
                document.root,
                document.path,
                session.text,
                session.cursor,
                session.visible,
                document.excluded,
            )
            self._indexer.request(document.key, query)


def _may_show(document: EngineDocument, wanted: EngineDocument) -> bool:
    """Whether a completion of `wanted` may repeat text of another document."""
    if not may_show_document(document.name, document.root, document.path, wanted.excluded):
        return False
    if document.is_left_out is None:
        document.is_left_out = bool(document.root) and is_left_out(document.root, document.path)
    return not document.is_left_out
