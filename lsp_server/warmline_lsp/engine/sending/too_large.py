"""Documents that do not fit into a frame. They are left out until they become smaller."""

from __future__ import annotations

from warmline_protocol import wire


class TooLarge:
    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}  # characters of the frame that did not fit

    def __contains__(self, document: str) -> bool:
        return document in self._sizes

    def may_open(self, frame: wire.Open) -> bool:
        """Whether a document fits, as far as is known: packing it again at each key would take too long."""
        size = self._sizes.get(frame.document)
        return size is None or _size(frame) < size

    def add(self, frame: wire.Open) -> bool:
        """Notes a document that did not fit; returns whether that is new."""
        is_new = frame.document not in self._sizes
        self._sizes[frame.document] = _size(frame)
        return is_new

    def remove(self, document: str) -> None:
        """Notes that a document fits now, or was closed."""
        self._sizes.pop(document, None)


def _size(frame: wire.Open) -> int:
    return len(frame.text) + sum(map(len, frame.excluded))
