"""Answers that would break the syntax give way to others that do not."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from tests.support.sessions import TEXT, ask, finish
from warmline_engine.decoding.answers import syntax_repair
from warmline_engine.decoding.answers.validity import CUT
from warmline_engine.decoding.block_opening import WORDS
from warmline_engine.decoding.greedy import Decoded
from warmline_engine.decoding.hypotheses import Hypothesis
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.session import Session
from warmline_engine.syntax import tree
from warmline_engine.syntax.syntax_context import SyntaxContext
from warmline_protocol.wire import STOP_REASONS

pytestmark = pytest.mark.slow

Encode = Callable[[str], list[int]]
WHOLE = inspect.getsource(textwrap.shorten) + "\n\n" + inspect.getsource(textwrap.indent)


class Refusing:
    """A place where these texts do not fit; of each it has seen."""

    def __init__(self, *refused: str) -> None:
        self.refused, self.seen = refused, list[str]()

    def fitting(self, offered: str) -> str:
        self.seen.append(offered)
        return "" if offered in self.refused else offered

    def before_opener(self, offered: str) -> str | None:
        return None


class Nothing(Refusing):
    def fitting(self, offered: str) -> str:
        self.seen.append(offered)
        return ""


class FirstHalf(Refusing):
    def fitting(self, offered: str) -> str:
        return offered[: (len(offered) + 1) // 2]


class LacksOpeners(Nothing):
    """A place where nothing fits but lines that open blocks, `n` of them, behind the first line that is offered."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n, self.begun = n, list[str]()

    def fitting(self, offered: str) -> str:
        self.seen.append(offered)
        is_opened = len(self.begun) == self.n and offered.startswith(self.begun[-1])
        return offered if is_opened else ""

    def before_opener(self, offered: str) -> str | None:
        if len(self.begun) == self.n:
            return None
        offered = offered if self.begun else offered.partition("\n")[0]
        self.begun.append(f"{offered}\n" + "    " * (len(self.begun) + 1))
        return self.begun[-1]


def put_in(session: Session, place: Refusing | None) -> None:
    """Lets a session complete at a place in syntax of these rules."""
    surroundings, syntax = session.document.surroundings, cast(SyntaxContext | None, place)
    session.document.surroundings = lambda virtual_text: replace(
        surroundings(virtual_text), syntax=syntax
    )


def answer(model: LoadedModel, offset: int, place: Refusing | None) -> tuple[Decoded, Session]:
    session = Session(model, TEXT, offset, 4096)
    finish(session)
    said = ask(offset, max_tokens=14, multi_line=False)
    put_in(session, place)
    (item,) = session.complete(said).items
    assert item.stop in STOP_REASONS
    session.check()
    carried = session.windows.full.carried()
    assert carried == item.tokens[: len(carried)], "the sequence carries what is offered"
    return item, session


def is_same(one: Decoded, other: Decoded) -> bool:
    return (one.tokens, one.text, one.stop) == (other.tokens, other.text, other.stop)


@pytest.fixture
def offsets(model: LoadedModel) -> list[int]:
    """Places where a line ends and says something."""
    found: list[int] = []
    for offset in range(360, 900, 51):
        item, _ = answer(model, offset, None)
        if item.stop not in CUT and item.text.strip():
            found.append(offset)
    assert len(found) > 1
    return found


def test_what_fits_stays_as_it_is(model: LoadedModel, offsets: list[int]) -> None:
    for offset in offsets:
        assert is_same(answer(model, offset, Refusing())[0], answer(model, offset, None)[0])


def test_what_does_not_fit_gives_way_to_what_does(model: LoadedModel, offsets: list[int]) -> None:
    n_changed = 0
    for offset in offsets:
        greedy, _ = answer(model, offset, None)
        place = Refusing(greedy.text)
        found, session = answer(model, offset, place)
        if found.text == greedy.text:
            continue  # nothing else was over in time
        n_changed += 1
        assert place.seen[-1] == found.text
        assert found.logprob < greedy.logprob
        session.edit(offset, offset, found.text)  # and it can be accepted
        session.check()
    assert n_changed > 0


def test_where_nothing_fits_the_likeliest_stays(model: LoadedModel, offsets: list[int]) -> None:
    for offset in offsets:
        greedy, plain = answer(model, offset, None)
        found, session = answer(model, offset, Nothing())
        assert is_same(found, greedy)
        assert session.windows.full.carried() == plain.windows.full.carried()


def test_unasked_nothing_is_shown_where_nothing_fits(
    model: LoadedModel, offsets: list[int]
) -> None:
    for offset in offsets:
        session = Session(model, TEXT, offset, 4096)
        finish(session)
        put_in(session, Nothing())
        said = ask(offset, max_tokens=14, multi_line=False)
        (item,) = session.complete(replace(said, shows_unsure=False)).items
        assert (item.text, item.stop) == ("", "syntax")
        assert item.stop in STOP_REASONS
        session.check()


def open_with_if(beginning: str, encode: Encode, _: object, logprob: float) -> list[Hypothesis]:
    """What this model begins with a word seldom ends as a line that opens a block does."""
    return [Hypothesis(tuple(encode(beginning + "if x:\n")), logprob)]


@pytest.mark.parametrize("is_asked", [True, False])
def test_what_says_a_line_beside_it_again_gives_way(model: LoadedModel, is_asked: bool) -> None:
    """Also in a language without grammar."""
    n_changed = 0
    for start in [k + 1 for k, character in enumerate(TEXT) if character == "\n"][5:40:3]:

        def completed(text: str, start: int = start) -> tuple[Decoded, Session]:
            session = Session(model, text, start, 4096)
            finish(session)
            said = replace(ask(start, max_tokens=14, multi_line=False), shows_unsure=is_asked)
            (item,) = session.complete(said).items
            session.check()
            return item, session

        greedy, _ = completed(TEXT)
        if greedy.stop in CUT or not any(map(str.isalpha, greedy.text)) or "\n" in greedy.text:
            continue
        # with what the model says there below the cursor, it may say it again
        text = f"{TEXT[:start]}\n{greedy.text}\n{TEXT[start:]}"
        item, session = completed(text)
        n_changed += item.text != greedy.text
        if item.text == greedy.text:
            assert is_asked, "unasked nothing is shown that stands there"
        if item.stop == "repeat" and not is_asked:
            assert item.text == ""
        session.edit(start, start, item.text)
        session.check()
    assert n_changed > 0


@pytest.mark.parametrize("n", [1, 2])
def test_what_a_block_below_lacks_is_opened(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    if n > 1:
        monkeypatch.setattr(syntax_repair, "openers", open_with_if)
    n_opened = 0
    for offset in range(20, len(TEXT), 131):
        line = TEXT.rfind("\n", 0, offset) + 1
        session = Session(model, TEXT, line, 4096)
        finish(session)
        place = LacksOpeners(n)
        put_in(session, place)
        (item,) = session.complete(ask(line, max_tokens=20, multi_line=True)).items
        if len(place.begun) == n and item.text.startswith(place.begun[-1]):
            n_opened += 1
            words = [line.strip() for line in item.text[len(place.begun[0]) :].split("\n")]
            assert words[0].startswith(WORDS)
        session.check()
        carried = session.windows.full.carried()
        assert carried == item.tokens[: len(carried)], "the sequence carries what is offered"
        session.edit(line, line, item.text)
        session.check()
    assert n_opened > 0


def test_what_fits_of_an_answer_is_offered(model: LoadedModel) -> None:
    n_cut = 0
    for offset in range(20, len(TEXT), 93):
        greedy, _ = answer(model, offset, None)
        if not greedy.text.strip():
            continue
        found, session = answer(model, offset, FirstHalf())
        assert found.text == FirstHalf().fitting(greedy.text)
        n_cut += found.text != greedy.text
        session.edit(offset, offset, found.text)
        session.check()
    assert n_cut > 0


def test_the_syntax_is_followed_when_nothing_else_is_to_do(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(model, WHOLE, 40, 4096, language="python")
    assert session.syntax is not None
    parsed: list[int] = []
    real = tree.parse
    monkeypatch.setattr(tree, "parse", lambda *a: parsed.append(len(a[1])) or real(*a))
    finish(session)
    while session.refresh_some(512):
        pass
    assert parsed == [len(WHOLE)]
    context = SyntaxContext(session.syntax, 40)
    assert context.fits("")
    assert parsed == [len(WHOLE)], "the text itself was parsed before"
    assert not context.fits(")")
    assert len(parsed) == 2, "the text with a completion is parsed once"


def test_a_session_mends_by_the_syntax_of_its_document(model: LoadedModel) -> None:
    """What comes out is whole, or nothing that was tried is: by the document's own tree, edits included."""

    def edited(offset: int, language: str) -> tuple[Decoded, Session]:
        session = Session(model, WHOLE, 0, 4096, language=language)
        assert (session.syntax is not None) == bool(language)
        for start, end, added in ((offset, offset, "é"), (offset, offset + 1, "")):
            if session.syntax:
                SyntaxContext(session.syntax, offset).fits("")  # there is a tree that has to follow
            session.edit(start, end, added)
        finish(session)
        (item,) = session.complete(ask(offset, max_tokens=14, multi_line=False)).items
        return item, session

    n_broken = 0
    for offset in range(40, len(WHOLE), 29):
        item, session = edited(offset, "python")
        greedy, _ = edited(offset, "")
        assert session.syntax is not None
        place = SyntaxContext(session.syntax, offset)
        if not place.is_decidable or greedy.stop in CUT or not greedy.text.strip():
            continue
        n_broken += not place.fits(greedy.text)
        assert place.fits(item.text) or is_same(item, greedy)
        assert is_same(item, greedy) or not place.fits(greedy.text)
    assert n_broken > 0


def test_a_block_that_was_cut_ends_with_a_whole_line(model: LoadedModel) -> None:
    offset = TEXT.index("    ") + 4
    for n_tokens in (3, 9, 17, 30):
        session = Session(model, TEXT, offset, 4096)
        finish(session)
        (item,) = session.complete(ask(offset, max_tokens=n_tokens, multi_line=True)).items
        whole = model.tokenizer.decode(item.tokens)
        if item.stop in CUT and "\n" in whole.strip():
            assert whole.startswith(item.text + "\n")
