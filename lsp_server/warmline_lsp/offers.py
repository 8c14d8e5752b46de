"""What was offered, followed through the edits that come after: typed along, taken back, accepted."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from .documents import Edit


@dataclass(frozen=True)
class Offer:
    """A completion at an offset, of which the first `n_typed` characters are in the text by now.

    `following` is what the model would say behind it, if that is known already.
    """

    offset: int
    text: str
    n_typed: int = 0
    following: str | None = None

    @property
    def cursor(self) -> int:
        return self.offset + self.n_typed

    @property
    def rest(self) -> str:
        return self.text[self.n_typed :]

    def follow(self, edit: Edit) -> Offer | None:
        """The offer after an edit; None when the edit is at odds with it."""
        if edit.start == edit.end == self.cursor and self.rest.startswith(edit.text):
            return replace(self, n_typed=self.n_typed + len(edit.text))
        is_taken_back = edit.end == self.cursor and self.offset <= edit.start and not edit.text
        if is_taken_back:
            return replace(self, n_typed=edit.start - self.offset)
        return None


@dataclass
class Statistics:
    """Counts of one server's life; nothing of them leaves the machine."""

    n_requests: int = 0
    n_offered: int = 0
    n_accepted: int = 0
    n_partly_accepted: int = 0
    n_reused: int = 0  # answered without asking the engine
    n_prefetched: int = 0
    n_characters_accepted: int = 0
    n_characters_typed: int = 0
    latencies_ms: deque[float] = field(default_factory=lambda: deque[float](maxlen=500))

    def percentile(self, share: float) -> float | None:
        """The latency that a share of the last answers stayed under, in milliseconds."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

    @property
    def accepted_share(self) -> float | None:
        return self.n_accepted / self.n_offered if self.n_offered else None

    def note(self, before: Offer | None, after: Offer | None, edit: Edit) -> None:
        """Counts what an edit says of an offer: a client that sends no notice of it still inserts it."""
        grown = len(edit.text) - (edit.end - edit.start)
        if before is None or after is None or after.n_typed <= before.n_typed:
            self.n_characters_typed += max(0, grown)
            return
        if len(edit.text) == 1 and after.rest:
            self.n_characters_typed += 1  # typed along, not accepted
        elif after.rest:
            self.n_partly_accepted += 1
            self.n_characters_accepted += len(edit.text)
        else:
            self.n_accepted += 1
            self.n_characters_accepted += len(edit.text)
