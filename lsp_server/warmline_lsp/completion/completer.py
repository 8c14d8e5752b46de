"""What to ask of the engine, and when: one request a document, the newest; nothing asked that is known."""

from __future__ import annotations

import asyncio
import itertools
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import attrs

from warmline_lsp.documents.difference import Edit, common_prefix
from warmline_lsp.documents.documents import Document
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire
from warmline_protocol.text.line_ends import with_breaks_of, with_newlines
from warmline_protocol.text.rest_of_line import without_rest

from .cursors import Cursors
from .suggestions import Accepted, Suggestion, Surroundings
from .typing_cadence import TypingCadence
from .usage_statistics import UsageStatistics

HASH_COMMENTS = frozenset(
    ("python", "ruby", "shellscript", "perl", "r", "yaml", "toml", "makefile", "dockerfile")
)
DASH_COMMENTS = frozenset(("lua", "sql", "haskell"))  # all others take two slashes
LOOKED_AT_S = (
    0.15  # an offer that stays so long without a key is looked at: what follows it is fetched
)


class Engine(Protocol):
    """What is asked of an engine client."""

    @property
    def is_ready(self) -> bool: ...

    async def complete(self, frame: wire.Complete) -> wire.Completion | None: ...


@dataclass(frozen=True)
class _Found:
    """Completions, best first. Provisional ones are a small model's, and the base model may know better."""

    items: tuple[wire.Item, ...] = ()
    is_provisional: bool = False


_NOTHING_FOUND = _Found()


@dataclass(frozen=True)
class Selected:
    """An entry of the editor's own list that is selected: it would take the place of [start, end)."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class _Target:
    """What the text will be where a completion goes: `virtual_text` in the place of [offset, offset + n_replaced)."""

    offset: int
    virtual_text: str = ""
    n_replaced: int = 0

    def text(self, document: Document) -> str:
        behind = self.offset + self.n_replaced
        return document.text[: self.offset] + self.virtual_text + document.text[behind:]


@dataclass(frozen=True)
class SuggestionQuery:
    """A request for completions of one version of a document."""

    document: Document
    offset: int
    settings: Settings
    is_automatic: bool = True
    selected: Selected | None = None


@dataclass(frozen=True)
class Item:
    """A text to insert, and the id under which the client speaks of it."""

    id: str
    text: str


@dataclass
class _Typing:
    """What is remembered of a document between requests."""

    offer: Suggestion | None = None
    n_edits: int = 0
    superseded: asyncio.Future[None] | None = None
    prefetch: asyncio.Task[None] | None = None
    improvement: asyncio.Task[None] | None = None
    cadence: TypingCadence = field(default_factory=TypingCadence)
    cursors: Cursors = field(default_factory=Cursors)
    accepted: deque[Accepted] = field(default_factory=lambda: deque[Accepted](maxlen=8))
    last_undone: bool = False  # by the newest edit
    undone: deque[Surroundings] = field(default_factory=lambda: deque[Surroundings](maxlen=8))


def _no_trace(event: str, **what: Any) -> None:
    """Default trace callback; does nothing."""


def _ignore(uri: str, offset: int) -> None:
    """Default callback for a better answer; does nothing."""


class Completer:
    """Answers completion requests of all documents of a server."""

    def __init__(
        self,
        engine: Engine,
        statistics: UsageStatistics,
        trace: Callable[..., None] = _no_trace,
        clock: Callable[[], float] = time.monotonic,
        notify_better: Callable[[str, int], None] = _ignore,
    ) -> None:
        """`notify_better` is called where a request for a document at an offset would now be answered better."""
        self.engine = engine
        self._notify_better = notify_better
        self.statistics = statistics
        self._trace = trace
        self._clock = clock
        self._typing: dict[str, _Typing] = {}
        self._ids = itertools.count(1)

    def edited(self, document: Document, edits: list[Edit], settings: Settings) -> None:
        """Follows the edits that led to a document, before the next request for it."""
        typing = self._typing.setdefault(document.uri, _Typing())
        now = self._clock()
        typing.cadence.note(now)
        typing.n_edits += 1
        typing.cursors.note(edits)
        for edit in edits:
            before = typing.offer
            typing.offer = before.follow(edit) if before else None
            self.statistics.edited(document.uri, before, typing.offer, edit, now)
            _note_accepted(typing, before, edit)
        _note_undone(typing, document, edits)
        _supersede(typing)
        _cancel_prefetch(typing)
        offer = typing.offer
        if offer is not None and offer.remaining and not offer.prefetched:
            self._prefetch(typing, SuggestionQuery(document, offer.cursor, settings))

    def closed(self, uri: str) -> None:
        """Forgets a document."""
        self.statistics.closed(uri)
        typing = self._typing.pop(uri, None)
        if typing is not None:
            _supersede(typing)
            _cancel_prefetch(typing)

    async def complete(self, ask: SuggestionQuery) -> list[Item]:
        """Texts to insert at an offset of a version, best first.

        A newer request for the document makes this one answer empty at once; so does an edit.
        """
        begin, uri = self._clock(), ask.document.uri
        self.statistics.n_requests += 1
        typing = self._typing.setdefault(uri, _Typing())
        _supersede(typing)
        target = _target(ask)
        if target is None or self._is_refused(typing, ask) or _is_excluded(typing.offer, ask):
            return self._answered(uri, "refused", [])
        is_here = target == _Target(ask.offset)
        known = self._known(typing, ask) if is_here else []
        if known and not self._lacks_others(typing, ask):
            self.statistics.n_reused += 1
            return self._answered(uri, "offer", _behind_entry(ask, known))
        _cancel_prefetch(typing)
        superseded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        typing.superseded = superseded
        n_edits, wait = typing.n_edits, self._wait_s(typing, ask)
        found = await _unless(superseded, self._ask(ask, target, wait, "complete"))
        if superseded.done() or typing.n_edits != n_edits:
            return self._answered(uri, "engine", [])
        # what the user sees stays the first
        standing = typing.offer if known else None
        if found.is_provisional and standing is None and is_here:
            self._improve(typing, ask)
        if not found.items and standing is None:
            return self._answered(uri, "engine", [])
        self.statistics.answered(ask.document.language, (self._clock() - begin) * 1000)
        fetched = [_behind(target.virtual_text, item) for item in found.items]
        if standing is not None:
            shown = _left_of(standing, ask)
            fetched = [item for item in fetched if item.text != shown]
            fetched = fetched[: ask.settings.alternatives - 1]
        offers = [*([standing] if standing else []), *self._offers(target.offset, fetched)]
        items = [Item(offer.id, _left_of(offer, ask)) for offer in offers]
        if target.n_replaced or target.offset != ask.offset:
            # accepting it is no insertion at the cursor, so no edit will follow it
            typing.offer = None
            lead = ask.document.text[_entry_start(ask) : target.offset]
            items = [Item(item.id, lead + item.text) for item in items]
            return self._answered(uri, "engine", items)
        typing.offer = _joined(offers, ask)
        if not found.is_provisional:
            self._prefetch(typing, ask)
        return self._answered(uri, "engine", _behind_entry(ask, items))

    def _is_refused(self, typing: _Typing, ask: SuggestionQuery) -> bool:
        """Whether the user does not want completions here, or not now."""
        if not self._is_wanted(ask):
            return True
        if not ask.is_automatic:
            return False
        here = Surroundings.of(ask.document.text, ask.offset)
        return typing.cursors.are_several or here in typing.undone

    async def comment_first(self, ask: SuggestionQuery) -> str:
        """Offers a comment that says what comes next, and the code behind it, if any; the text, or nothing without one.

        Nothing is inserted; a client that shows completions shows this one when it is told.
        Source: the decoding half of MANGO (arXiv:2404.07549); the model is not trained for it.
        """
        document, typing = ask.document, self._typing.setdefault(ask.document.uri, _Typing())
        _supersede(typing)
        _cancel_prefetch(typing)
        n_edits = typing.n_edits
        line = _line_before(document, ask.offset)
        indent = line[: len(line) - len(line.lstrip())]
        lead = (f"\n{indent}" if line.strip() else "") + comment_mark(document.language) + " "
        lead = with_breaks_of(document.text, ask.offset, lead)
        ask = replace(
            ask, settings=replace(ask.settings, inside_comments=True, inside_strings=True)
        )
        one_line = replace(ask, settings=replace(ask.settings, multi_line=False))
        comment_text = await self._ask(
            one_line, _Target(ask.offset, lead), 0.0, "comment", force_base=True
        )
        if not comment_text.items:
            return ""
        comment = lead + comment_text.items[0].text.splitlines()[0].rstrip()
        behind = with_breaks_of(document.text, ask.offset, "\n" + indent)
        target = _Target(ask.offset, comment + behind)
        code = await self._ask(ask, target, 0.0, "code", force_base=True)
        if typing.n_edits != n_edits:
            return ""
        text = comment + behind + code.items[0].text if code.items else comment
        typing.offer = self._offer(ask.offset, wire.Item(text, 0.0))
        self._notify_better(document.uri, ask.offset)
        return typing.offer.text

    def _answered(self, uri: str, source: str, items: list[Item]) -> list[Item]:
        self._trace("answer", uri=uri, source=source, items=len(items))
        return items

    def _offers(self, offset: int, items: Sequence[wire.Item]) -> list[Suggestion]:
        offers = [
            Suggestion(f"w{next(self._ids)}", offset, item.text, excluded=item.excluded)
            for item in items
        ]
        for offer in offers:
            self.statistics.offered(offer.id, offer.text, 0)
        return offers

    def _offer(self, offset: int, item: wire.Item) -> Suggestion:
        return self._offers(offset, [item])[0]

    def _is_wanted(self, ask: SuggestionQuery) -> bool:
        settings = ask.settings
        if ask.is_automatic and settings.mode == "onRequest":
            return False
        return self.engine.is_ready

    def _known(self, typing: _Typing, ask: SuggestionQuery) -> list[Item]:
        """What is left of the present offers, or what was fetched to follow them."""
        offer = typing.offer
        if offer is None:
            return []
        if offer.cursor < ask.offset:
            skipped = ask.document.text[offer.cursor : min(ask.offset, offer.cursor + 8)]
            typing.offer = offer = offer.moved(ask.offset, skipped)
        if offer.cursor != ask.offset:
            return []
        if offer.remaining:
            offers = [o for o in (offer, *offer.others) if o.cursor == ask.offset and o.remaining]
            for o in offers:
                self.statistics.offered(o.id, o.text, o.n_typed)
            found = [Item(o.id, _left_of(o, ask)) for o in offers]
            return [item for item in found if item.text]
        if offer.prefetched:
            self.statistics.n_prefetched += 1
            typing.offer = offer = self._offer(ask.offset, offer.prefetched)
            self._prefetch(typing, ask)
            return [Item(offer.id, offer.text)]
        return []

    def _lacks_others(self, typing: _Typing, ask: SuggestionQuery) -> bool:
        """Whether the user, who sees an offer, wants to see what else there is."""
        offer = typing.offer
        is_wanted = not ask.is_automatic and ask.settings.alternatives > 1
        return is_wanted and offer is not None and not offer.has_others

    def _wait_s(self, typing: _Typing, ask: SuggestionQuery) -> float:
        if not ask.is_automatic:
            return 0.0
        document = ask.document
        is_line_start = not _line_before(document, ask.offset).strip()
        most_s = ask.settings.debounce_ms / 1000
        return typing.cadence.wait_s(most_s, is_line_start, self._clock())

    async def _ask(
        self,
        ask: SuggestionQuery,
        target: _Target,
        wait_s: float,
        purpose: str,
        force_base: bool = False,
    ) -> _Found:
        if wait_s:
            await asyncio.sleep(wait_s)
        settings, document = ask.settings, ask.document
        self.statistics.n_engine_requests += 1
        self._trace(f"engine.{purpose}", uri=document.uri, version=document.version)
        answer = await self.engine.complete(
            wire.Complete(
                id=0,
                document=document.uri,
                version=document.version,
                offset=target.offset,
                virtual_text=target.virtual_text,
                n_replaced=target.n_replaced,
                max_tokens=settings.max_tokens,
                multi_line=settings.multi_line,
                n_alternatives=1 if ask.is_automatic else settings.alternatives,
                deadline_ms=settings.deadline_ms,
                # who asks wants to see something
                shows_unsure=settings.show_unsure or not ask.is_automatic,
                alternatives_by=settings.alternatives_by,
                contrast=settings.contrast,
                force_base=force_base,
                max_lines=settings.max_lines,
                inside_comments=settings.inside_comments,
                inside_strings=settings.inside_strings,
            )
        )
        return _Found(answer.items, answer.is_provisional) if answer else _NOTHING_FOUND

    def _improve(self, typing: _Typing, ask: SuggestionQuery) -> None:
        """Asks the base model of a pair what it would have said, and offers that where nobody has typed meanwhile."""

        async def improve() -> None:
            found = await self._ask(ask, _Target(ask.offset), 0.0, "improve", force_base=True)
            offer = typing.offer
            if found.items and (offer is None or offer.text != found.items[0].text):
                typing.offer = _joined(self._offers(ask.offset, found.items), ask)
                self._notify_better(ask.document.uri, ask.offset)
            self._prefetch(typing, ask)

        typing.improvement = asyncio.create_task(improve())

    def _prefetch(self, typing: _Typing, ask: SuggestionQuery) -> None:
        """Asks what would follow if the rest of the offer were accepted, once the user looks at it."""
        offer = typing.offer
        if offer is None or ask.settings.mode == "onRequest":
            return
        ask = replace(ask, is_automatic=True, selected=None)

        async def fetch() -> None:
            target = _Target(offer.cursor, offer.remaining)
            found = await self._ask(ask, target, LOOKED_AT_S, "prefetch")
            current = typing.offer
            if (
                found.items
                and current is not None
                and (current.id, current.remaining) == (offer.id, offer.remaining)
            ):
                typing.offer = replace(current, prefetched=found.items[0])

        _stop_prefetch(typing)
        typing.prefetch = asyncio.create_task(fetch())


def comment_mark(language: str) -> str:
    """What begins a comment to the end of a line."""
    return "#" if language in HASH_COMMENTS else "--" if language in DASH_COMMENTS else "//"


def _target(ask: SuggestionQuery) -> _Target | None:
    """Where the completion goes; None where a selected entry is at odds with what is typed of it."""
    entry, text = ask.selected, ask.document.text
    if entry is None:
        return _Target(ask.offset)
    if not entry.start <= ask.offset <= entry.end:
        return None
    typed = text[entry.start : ask.offset]
    if not entry.text.casefold().startswith(typed.casefold()):
        return None
    # what stays the same is not given anew, for the engine has it cached
    n_same = common_prefix(typed, entry.text)
    behind = text[ask.offset : entry.end]
    offset = entry.start + n_same
    if n_same == len(typed) and entry.text[n_same:] == behind:
        # nothing changes but the cursor
        return _Target(entry.end) if behind else _Target(ask.offset)
    return _Target(offset, entry.text[n_same:], entry.end - offset)


def _entry_start(ask: SuggestionQuery) -> int:
    return ask.offset if ask.selected is None else ask.selected.start


def _behind_entry(ask: SuggestionQuery, items: list[Item]) -> list[Item]:
    """Items at the cursor, with what is typed of a selected entry in front."""
    typed = ask.document.text[_entry_start(ask) : ask.offset]
    return [Item(item.id, typed + item.text) for item in items] if typed else items


def _line_before(document: Document, offset: int) -> str:
    """The text of a line in front of an offset."""
    line = document.position_at(offset).line
    return document.text[document.line_starts[line] : offset]


def _note_accepted(typing: _Typing, before: Suggestion | None, edit: Edit) -> None:
    """Remembers a part of an offer that came at once, and forgets what was edited since."""
    moved = [after for one in typing.accepted if (after := one.follow(edit)) is not None]
    undone = [one for one in typing.accepted if one.is_undone_by(edit)]
    typing.accepted.clear()
    typing.accepted += moved
    if undone:
        typing.offer = None
    after = typing.offer
    is_insertion = edit.start == edit.end and len(edit.text) > 1
    if is_insertion and before and after and before.n_typed + len(edit.text) == after.n_typed:
        typing.accepted.append(Accepted(edit.start, edit.text))
    typing.last_undone = bool(undone)


def _note_undone(typing: _Typing, document: Document, edits: list[Edit]) -> None:
    """Remembers the place where an accepted text was undone: it is not offered there unasked."""
    if typing.last_undone and edits:
        typing.undone.append(Surroundings.of(document.text, edits[-1].start))


def _behind(lead: str, item: wire.Item) -> wire.Item:
    """An item with a text in front."""
    excluded = tuple(end + len(lead) for end in item.excluded)
    return attrs.evolve(item, text=lead + item.text, excluded=excluded)


def _is_excluded(offer: Suggestion | None, ask: SuggestionQuery) -> bool:
    """Whether the settings allow no completion at this place of the suggestion."""
    if offer is None or not offer.offset < ask.offset <= offer.offset + len(offer.text):
        return False
    # an odd number of ends before a place means that it is in a span
    return bisect_right(offer.excluded, ask.offset - offer.offset) % 2 == 1


def _joined(offers: list[Suggestion], ask: SuggestionQuery) -> Suggestion:
    """The first, with the others beside it."""
    return replace(offers[0], others=tuple(offers[1:]), has_others=not ask.is_automatic)


def _left_of(offer: Suggestion, ask: SuggestionQuery) -> str:
    """The rest of a suggestion, without the bracket that the editor added behind the cursor."""
    if not offer.is_enclosed:
        return offer.remaining
    document = ask.document
    line, remaining = _line_before(document, ask.offset), with_newlines(offer.remaining)
    rest = document.line(document.position_at(ask.offset).line)[len(line) :]
    remaining = without_rest(remaining, line, rest)
    if not rest.strip():
        remaining = remaining.rstrip()
    return with_breaks_of(document.text, ask.offset, remaining) if remaining.strip() else ""


def _supersede(typing: _Typing) -> None:
    if typing.superseded is not None and not typing.superseded.done():
        typing.superseded.set_result(None)
    typing.superseded = None


def _cancel_prefetch(typing: _Typing) -> None:
    """Gives up what is being asked beside the present offer: the text or the place is another."""
    _stop_prefetch(typing)
    if typing.improvement is not None:
        typing.improvement.cancel()
    typing.improvement = None


def _stop_prefetch(typing: _Typing) -> None:
    if typing.prefetch is not None:
        typing.prefetch.cancel()
    typing.prefetch = None


async def _unless(superseded: asyncio.Future[None], work: Coroutine[Any, Any, _Found]) -> _Found:
    """The result of the work, or nothing as soon as it is superseded; the work is then cancelled."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait((task, superseded), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else _NOTHING_FOUND
    finally:
        if not task.done():
            task.cancel()
