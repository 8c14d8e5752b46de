"""Counts since the server started: latencies, accepted and kept text. They stay on this machine."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from warmline_lsp.documents.difference import Edit

from .suggestions import Suggestion

KEPT_AFTER_S = 30.0
MAX_TYPED = 40  # characters of one edit; a longer one is a paste
_N_RECORDS, _N_LATENCIES = 500, 500
_OPEN, _TYPED, _ACCEPTED = 0, 1, 2


@dataclass
class Record:
    """The state of each character of a suggestion: open, typed or accepted.

    Edits and the client's notices both write here, in any order, so that nothing counts twice.
    """

    text: str
    n_before: int = 0  # of its characters that were in the document when the client got it last
    is_shown: bool = False
    is_accepted: bool = False
    is_partly_accepted: bool = False
    last_typed: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.char_states = bytearray(len(self.text))


class RetainedText:
    """An accepted text in its document, and the part of it that is still there."""

    def __init__(self, uri: str, start: int, n_characters: int, at: float) -> None:
        self.uri, self.at, self.n_characters = uri, at, n_characters
        self._pieces = [(start, start + n_characters)]

    @property
    def n_kept(self) -> int:
        return sum(end - start for start, end in self._pieces)

    def follow(self, edit: Edit) -> None:
        """Drops the part that an edit removes, and shifts the rest."""
        shift = len(edit.text) - (edit.end - edit.start)
        pieces: list[tuple[int, int]] = []
        for start, end in self._pieces:
            # what lies before the edit stays, what lies behind it is shifted
            pieces.append((start, min(end, edit.start)))
            pieces.append((max(start, edit.end) + shift, end + shift))
        self._pieces = [(start, end) for start, end in pieces if start < end]


@dataclass
class UsageStatistics:
    """Counts of all documents of a server."""

    n_requests: int = 0
    n_engine_requests: int = 0
    n_offered: int = 0
    n_reused: int = 0  # answered without the engine
    n_prefetched: int = 0  # of these, from prefetched text
    n_shown: int = 0
    n_accepted: int = 0
    n_partly_accepted: int = 0
    n_characters_accepted: int = 0
    n_characters_typed: int = 0
    n_characters_judged: int = 0  # accepted, and KEPT_AFTER_S ago
    n_characters_kept: int = 0
    # the client reports partial accepts itself, so they are not derived from edits
    reports_parts: bool = False
    latencies_ms: dict[str, deque[float]] = field(default_factory=dict[str, deque[float]])
    _records: OrderedDict[str, Record] = field(default_factory=OrderedDict[str, Record])
    _kept: list[RetainedText] = field(default_factory=list[RetainedText])

    def offered(self, suggestion_id: str, text: str, n_before: int) -> None:
        """Notes a text for the client, of which the first `n_before` characters are in the document already."""
        record = self._records.setdefault(suggestion_id, Record(text))
        record.n_before = n_before
        if len(self._records) > _N_RECORDS:
            self._records.popitem(last=False)

    def answered(self, language: str, elapsed_ms: float) -> None:
        """Notes a request that the engine answered with a completion."""
        self.n_offered += 1
        latencies = self.latencies_ms.setdefault(language, deque(maxlen=_N_LATENCIES))
        latencies.append(elapsed_ms)

    def edited(
        self, uri: str, before: Suggestion | None, after: Suggestion | None, edit: Edit, now: float
    ) -> None:
        """Counts typed and accepted text from an edit, for clients that send no notices."""
        self._judge(now)
        for kept in self._kept:
            if kept.uri == uri:
                kept.follow(edit)
        record = self._records.get(after.id) if after else None
        if before is None or after is None or record is None or edit.start < edit.end:
            self._typed(len(edit.text))
            return
        place = (after.n_typed - len(edit.text), after.n_typed)
        if edit.text != after.text[slice(*place)]:
            self._typed(1)  # and a bracket that the editor closed
        elif not after.remaining and len(edit.text) > 1:
            self._accept_whole(record, place)
            self._kept.append(RetainedText(uri, edit.start, len(edit.text), now))
        elif _is_part(after, edit.text) and not self.reports_parts:
            self._accept_part(record, place)
            self._kept.append(RetainedText(uri, edit.start, len(edit.text), now))
        else:
            record.last_typed = place
            self.n_characters_typed += _mark(record, place, _TYPED, (_OPEN,))

    def shown(self, suggestion_id: str) -> None:
        """A client's notice that a suggestion is shown."""
        record = self._records.get(suggestion_id)
        if record is not None and not record.is_shown:
            record.is_shown = True
            self.n_shown += 1

    def accepted(self, suggestion_id: str) -> None:
        """A client's notice that a whole suggestion was accepted."""
        record = self._records.get(suggestion_id)
        if record is not None:
            if record.last_typed[1] == len(record.text):
                self._accept(record, record.last_typed)  # its one character looked typed
            self._accept_whole(record, (record.n_before, len(record.text)), (_OPEN,))

    def partly_accepted(self, suggestion_id: str, n_characters: int) -> None:
        """A client's notice that so many characters of the text it got last were accepted by now."""
        self.reports_parts = True
        record = self._records.get(suggestion_id)
        if record is not None and n_characters > 0:
            end = min(len(record.text), record.n_before + n_characters)
            self._accept_part(record, (record.n_before, end))

    def given(self, suggestion_id: str) -> str:
        """The text as the client got it last; empty where that is no longer known."""
        record = self._records.get(suggestion_id)
        return record.text[record.n_before :] if record else ""

    def _accept_whole(
        self, record: Record, place: tuple[int, int], over: tuple[int, ...] = (_OPEN, _TYPED)
    ) -> None:
        self._accept(record, place, over)
        self.n_accepted += not record.is_accepted
        record.is_accepted = True

    def _accept_part(self, record: Record, place: tuple[int, int]) -> None:
        self._accept(record, place)
        self.n_partly_accepted += not record.is_partly_accepted
        record.is_partly_accepted = True

    def _accept(
        self, record: Record, place: tuple[int, int], over: tuple[int, ...] = (_OPEN, _TYPED)
    ) -> None:
        self.n_characters_typed -= record.char_states.count(_TYPED, *place) if _TYPED in over else 0
        self.n_characters_accepted += _mark(record, place, _ACCEPTED, over)

    def _typed(self, n_characters: int) -> None:
        self.n_characters_typed += n_characters if n_characters <= MAX_TYPED else 0

    def _judge(self, now: float) -> None:
        """Counts the characters left of texts that were accepted KEPT_AFTER_S ago."""
        while self._kept and now - self._kept[0].at >= KEPT_AFTER_S:
            kept = self._kept.pop(0)
            self.n_characters_judged += kept.n_characters
            self.n_characters_kept += kept.n_kept

    def closed(self, uri: str) -> None:
        """Forgets a document's accepted texts, whose edits are no longer seen."""
        self._kept = [kept for kept in self._kept if kept.uri != uri]

    @property
    def accepted_share(self) -> float | None:
        return _share(self.n_accepted, self.n_shown or self.n_offered)

    def percentile(self, share: float, language: str | None = None) -> float | None:
        """The latency that a share of the last answers stayed under, in milliseconds."""
        chosen = self.latencies_ms.values() if language is None else [self.latencies_ms[language]]
        ordered = sorted(latency for latencies in chosen for latency in latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

    def summary(self, now: float) -> dict[str, Any]:
        """All counts, under the names in docs/protocol.md."""
        self._judge(now)
        n_characters = self.n_characters_accepted + self.n_characters_typed
        return {
            "requests": self.n_requests,
            "engineRequests": self.n_engine_requests,
            "offered": self.n_offered,
            "shown": self.n_shown,
            "accepted": self.n_accepted,
            "partlyAccepted": self.n_partly_accepted,
            "answeredFromOffer": self.n_reused,
            "prefetched": self.n_prefetched,
            "acceptedShare": self.accepted_share,
            "completedShare": _share(self.n_characters_accepted, n_characters),
            "keptShare": _share(self.n_characters_kept, self.n_characters_judged),
            "p50Ms": self.percentile(0.5),
            "p95Ms": self.percentile(0.95),
            "languages": {
                language: {
                    "answers": len(latencies),
                    "p50Ms": self.percentile(0.5, language),
                    "p95Ms": self.percentile(0.95, language),
                    "p99Ms": self.percentile(0.99, language),
                }
                for language, latencies in self.latencies_ms.items()
            },
        }


def _is_part(after: Suggestion, text: str) -> bool:
    """Whether text that a suggestion begins with is a word or a line of it, accepted at once.

    Some clients send the keys of 150 ms as one edit; that seldom ends at the end of a word.
    """
    if len(text) < 2:
        return False
    last, following = text[-1], after.remaining[:1]
    return not (_is_word(last) and _is_word(following))


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _mark(record: Record, place: tuple[int, int], state: int, over: tuple[int, ...]) -> int:
    """Sets the state of characters whose state is one of `over`; how many there were."""
    chosen = [k for k in range(*place) if record.char_states[k] in over]
    for k in chosen:
        record.char_states[k] = state
    return len(chosen)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
