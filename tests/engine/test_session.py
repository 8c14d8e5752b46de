"""A document's life in the engine, against reading its text anew."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.sessions import TEXT, ask, finish
from warmline_engine.errors import OutOfSync
from warmline_engine.model.cold_read import ColdRead
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.session import Session
from warmline_engine.session.window import MAX_HEALED, N_REPAIRED
from warmline_engine.text.fim import find_template
from warmline_engine.text.tokenized_text import TokenizedText
from warmline_engine.text.tokenizer import Encoded, Tokenizer


def cold_answer(model: LoadedModel, session: Session) -> torch.Tensor:
    tokens = TokenizedText(model.tokenizer, model.layout, session.text, session.cursor).ids
    return ColdRead(model.transformer, tokens, slice(-1, None)).logits[0]


pieces = st.sampled_from(
    ["x", "    ", "\n", "def f(a):\n", "# é 𝒳\n", "return x", "(", "<|fim_middle|>", "\r\n"]
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.floats(0, 1), st.integers(0, 40), pieces),
        st.tuples(st.just("type"), pieces),
        st.tuples(st.just("jump"), st.floats(0, 1)),
        st.tuples(st.just("complete"), st.floats(0, 1)),
        st.tuples(st.just("accept")),
        st.tuples(st.just("idle"), st.integers(1, 60)),
        st.tuples(st.just("bind"), st.lists(pieces, max_size=3)),
    ),
    max_size=14,
)  # fmt: skip


@pytest.mark.parametrize("is_suffix_first", [False, True], ids=["prefix first", "suffix first"])
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=steps)
@example(steps=[("complete", 0.5)])
@example(steps=[("edit", 0.0, 2, "x"), ("complete", 0.5)])
def test_any_session_then_refresh_answers_as_a_cold_read(
    is_suffix_first: bool, steps: list[tuple], model: LoadedModel
) -> None:
    model = replace(model, layout=find_template(model.tokenizer, is_suffix_first))
    session, text = Session(model, TEXT, 0, 4096), TEXT
    offered = ""
    for step in steps:
        n = len(text)
        match step:
            case ("edit", at, length, new):
                start = int(at * n)
                end = min(n, start + length)
                session.edit(start, end, new)
                text = text[:start] + new + text[end:]
            case ("type", new):
                at = session.cursor
                session.edit(at, at, new)
                text = text[:at] + new + text[at:]
            case ("jump", at):
                session.move_cursor(int(at * n))
            case ("complete", at):
                offered = session.complete(ask(int(at * n))).items[0].text
            case ("accept",):
                at = session.cursor
                session.edit(at, at, offered)
                text = text[:at] + offered + text[at:]
            case ("idle", limit):
                session.encode_some(limit)
                session.repair_some(limit)
                session.refresh_some(limit)
            case ("bind", texts):
                session.bind(texts)
        session.check()
        assert session.text == text
    session.bind([])  # what was bound has left nothing behind that a refresh does not make good
    session.move_cursor(len(text) // 2)
    finish(session)
    assert session.n_fresh == session.n_tokens
    expected = cold_answer(model, session)
    # not behind what a completion at this very place may have left there
    found = session.logits_at(session.cursor)
    assert float((found - expected).abs().max()) < 2e-4


def test_the_completion_after_refresh_is_the_cold_one(model: LoadedModel) -> None:
    edited, offset = Session(model, TEXT, 0, 4096), len(TEXT) // 2
    edited.edit(10, 20, "something else\n")
    edited.move_cursor(offset)
    finish(edited)
    anew = Session(model, edited.text, offset, 4096)
    finish(anew)
    assert (
        edited.complete(ask(offset)).items[0].tokens == anew.complete(ask(offset)).items[0].tokens
    )


def test_typing_at_the_cursor_encodes_a_few_tokens(model: LoadedModel) -> None:
    session = Session(model, TEXT, len(TEXT) // 2, 4096)
    finish(session)
    at, before_all, typed = session.cursor, session.n_encoded, "result = f"
    for character in typed:
        before = session.n_encoded
        session.edit(at, at, character)
        at += 1
        session.complete(ask(at, max_tokens=1))
        # the marker <mid>, what the letter changed, and the tokens of a word that has ended: those of a word
        # that goes on are chosen anew, not encoded
        assert session.n_encoded - before <= 4 + MAX_HEALED
    assert session.n_encoded - before_all <= 4 * len(typed)


def test_a_long_file_is_served_from_near_the_cursor_at_once(model: LoadedModel) -> None:
    text = "\n\n".join([TEXT] * 9)
    session = Session(model, text, None, 8192)
    offset = text.rindex("\n", 0, -200) + 1
    answer = session.complete(ask(offset))
    assert answer.n_tokens < 1500 < session.n_tokens
    finish(session)
    after = session.complete(ask(offset))
    assert after.n_tokens == session.n_tokens
    assert after.n_fresh == after.n_tokens


def test_a_file_beyond_the_context_slides(model: LoadedModel) -> None:
    text = "\n\n".join([TEXT] * 8)
    session = Session(model, text, 0, 1500)
    finish(session)
    for offset in (len(text) // 3, len(text) // 2, len(text), 50, len(text) // 2):
        session.move_cursor(offset)
        session.check()
        assert session.n_tokens <= 1500
        answer = session.complete(ask(offset, max_tokens=2))
        assert answer.n_tokens > 100
        finish(session)
        assert session.n_fresh == session.n_tokens


def test_an_accept_moves_tokens_and_repairs_them(model: LoadedModel) -> None:
    session = Session(model, TEXT, len(TEXT) // 2, 4096)
    finish(session)
    offered = "\n    chunks = self._split(text)\n    return chunks"
    session.complete(ask(session.cursor, virtual_text=offered, max_tokens=1))
    before = session.n_encoded
    session.edit(session.cursor, session.cursor, offered)
    session.encode_some(100)
    assert session.n_encoded - before <= 4
    session.check()
    moved = session.windows.full.accepted
    assert moved is not None
    assert session.repair_some(100)
    assert session.n_encoded - before <= 4 + moved[1] - moved[0]
    session.check()


def test_assumed_text_continues_without_encoding_it_again(model: LoadedModel) -> None:
    session = Session(model, TEXT, TEXT.index("\n", len(TEXT) // 2) + 1, 4096)
    finish(session)
    first = session.complete(ask(session.cursor, max_tokens=6))
    more = session.complete(ask(session.cursor, virtual_text=first.items[0].text, max_tokens=3))
    assert more.n_encoded <= 4
    session.check()


def test_a_cancelled_completion_stops_at_a_token(model: LoadedModel) -> None:
    session = Session(model, TEXT, 100, 4096)
    asked = iter([False, False, True])
    answer = session.complete(ask(100, is_cancelled=lambda: next(asked)))
    assert answer.stop == "cancelled"
    assert len(answer.items[0].tokens) == 2


@pytest.mark.parametrize("span", [(-1, 2), (5, 4), (0, 10**6)])
def test_an_edit_outside_the_text_is_refused(span: tuple[int, int], model: LoadedModel) -> None:
    session = Session(model, "x = 1\n", 0, 4096)
    with pytest.raises(OutOfSync):
        session.edit(*span, "y")
    assert session.text == "x = 1\n"


def test_a_dropped_cache_is_read_again(model: LoadedModel) -> None:
    session = Session(model, TEXT, 100, 4096)
    finish(session)
    before = session.complete(ask(100)).items[0].tokens
    session.drop_cache()
    assert model.arena.used_bytes == 0
    session.move_cursor(100)
    finish(session)
    assert session.complete(ask(100)).items[0].tokens == before


def test_unpaired_surrogates_become_replacement_characters(model: LoadedModel) -> None:
    session = Session(model, "a\ud800b", 0, 4096)
    assert session.text == "a\ufffdb"


def test_a_completion_is_cancelled_between_two_chunks(model: LoadedModel) -> None:
    session = Session(model, TEXT, 0, 4096)
    asked: list[int] = []

    def is_cancelled() -> bool:
        asked.append(session.n_encoded)
        return len(asked) == 3

    answer = session.complete(ask(len(TEXT) - 5, is_cancelled=is_cancelled, chunk_tokens=16))
    assert (answer.items, answer.stop, answer.n_encoded) == ([], "cancelled", 32)
    session.check()
    assert session.complete(ask(len(TEXT) - 5)).stop != "cancelled"


@pytest.mark.parametrize("at", [0, 50, len(TEXT)], ids=["start", "middle", "end"])
def test_a_huge_paste_is_not_tokenized_whole(
    at: int, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(model, TEXT, at, 1500)
    finish(session)
    pasted = "value = other + 1\n" * 20_000
    longest = 0
    encode = type(model.tokenizer).encode

    def watched(self: Tokenizer, text: str) -> Encoded:
        nonlocal longest
        longest = max(longest, len(text))
        return encode(self, text)

    monkeypatch.setattr(type(model.tokenizer), "encode", watched)
    session.edit(at, at, pasted)
    session.check()
    assert longest < len(pasted) // 10
    assert session.text == TEXT[:at] + pasted + TEXT[at:]
    assert session.cursor == at + len(pasted)
    assert session.complete(ask(session.cursor)).n_tokens > 100
    session.edit(at, at + len(pasted), "")
    session.check()
    assert session.text == TEXT


def test_a_released_session_gives_its_memory_back_even_with_broken_books(
    model: LoadedModel,
) -> None:
    session = Session(model, TEXT, 0, 4096)
    finish(session)
    session.windows.full.sequence._slots.n_used = 3
    session.release()
    assert model.arena.used_bytes == 0


def test_where_an_edit_took_text_away_behind_the_cursor_the_answer_is_near_the_cold_one(
    model: LoadedModel,
) -> None:
    """Suffix first, tokens before the cursor have seen what is gone: the nearest are encoded again, once."""
    model = replace(model, layout=find_template(model.tokenizer, suffix_first=True))
    offset = TEXT.index("\n", len(TEXT) // 2)
    session = Session(model, TEXT, offset, 4096)
    finish(session)
    session.edit(offset, offset + 60, "")
    assert len(session.windows.full.to_repair()) == N_REPAIRED
    before = session.complete(ask(offset, max_tokens=1)).n_encoded
    assert N_REPAIRED <= before <= N_REPAIRED + 4
    session.check()
    # typing goes on as ever
    session.edit(offset, offset, "x")
    assert len(session.windows.full.to_repair()) == 0
    assert session.complete(ask(offset + 1, max_tokens=1)).n_encoded <= 4


@pytest.mark.parametrize("is_suffix_first", [False, True])
def test_neither_typing_nor_a_jump_repairs(is_suffix_first: bool, model: LoadedModel) -> None:
    model = replace(model, layout=find_template(model.tokenizer, is_suffix_first))
    session = Session(model, TEXT, len(TEXT) // 2, 4096)
    finish(session)
    session.edit(session.cursor, session.cursor, "x = 1\n")
    session.move_cursor(len(TEXT) // 4)
    assert len(session.windows.full.to_repair()) == 0
    session.edit(len(TEXT) // 3, len(TEXT) // 3 + 9, "")
    session.check()
    if not is_suffix_first:
        assert len(session.windows.full.to_repair()) == 0
