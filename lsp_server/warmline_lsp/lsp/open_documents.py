"""The documents that a client has open, by URI, and the cursor of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from warmline_lsp.documents.documents import Document
from warmline_lsp.documents.uris import same_uri


class OpenDocuments(Mapping[str, Document]):
    """Documents in order of their last change, by the client's own spelling of the URI."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self._spellings: dict[str, str] = {}
        self._cursors: dict[str, int] = {}

    def __getitem__(self, uri: str) -> Document:
        return self._documents[uri]

    def __iter__(self) -> Iterator[str]:
        return iter(self._documents)

    def __len__(self) -> int:
        return len(self._documents)

    def last_changed_first(self) -> list[str]:
        """The URIs, the document that was opened or changed last first."""
        return list(reversed(self._documents))

    def spelling(self, uri: str) -> str:
        """The client's own spelling of an open document's URI, for any other spelling of it."""
        return self._spellings.get(same_uri(uri), uri)

    def put(self, document: Document, cursor: int | None = None) -> None:
        """Adds a document, or replaces it by its next version. With None the cursor stays where it is."""
        uri = document.uri
        self._spellings[same_uri(uri)] = uri
        self._documents.pop(uri, None)
        self._documents[uri] = document
        if cursor is not None:
            self._cursors[uri] = cursor

    def move_cursor(self, uri: str, offset: int) -> None:
        """Notes the cursor of an open document."""
        self._cursors[uri] = offset

    def cursor(self, uri: str) -> int | None:
        """The offset of the cursor, None if it is unknown."""
        cursor = self._cursors.get(uri)
        return None if cursor is None else min(cursor, len(self._documents[uri].text))

    def remove(self, uri: str) -> str | None:
        """Forgets a document. Its URI as it was opened, None if it was not open."""
        uri = self._spellings.pop(same_uri(uri), uri)
        self._cursors.pop(uri, None)
        return uri if self._documents.pop(uri, None) is not None else None
