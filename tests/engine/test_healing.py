"""Token healing in sessions, against a cold read of the text without what is begun, and every token tried."""

from __future__ import annotations

import inspect
import math
import textwrap
from dataclasses import replace

import pytest
import torch

from warmline_engine.model.cold_read import ColdRead
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.query import CompletionQuery
from warmline_engine.session.session import Session
from warmline_engine.text.fim import find_template
from warmline_engine.text.tokenized_text import TokenizedText

pytestmark = pytest.mark.slow

TEXT = inspect.getsource(textwrap.wrap)
N_GENERATED = 8
PLACES = range(60, len(TEXT), len(TEXT) // 40)


def ask(offset: int, virtual_text: str = "", n_tokens: int = N_GENERATED) -> CompletionQuery:
    return CompletionQuery(offset, virtual_text, n_tokens, True, 1, None, lambda: False)


def twin(model: LoadedModel, offset: int) -> tuple[list[int], str]:
    """The tokens that a cold read chooses, all of the vocabulary tried, and the characters they begin with."""
    tokenized = TokenizedText(model.tokenizer, model.layout, TEXT, offset)
    line = TEXT[:offset].rsplit("\n", 1)[-1]
    begun = tokenized.last_piece[-4:] if line.strip() else []
    healed_text, texts = model.tokenizer.decode(begun), model.tokenizer.texts()
    end = tokenized.prefix_span[1]
    context = [*tokenized.ids[: end - len(begun)], *tokenized.ids[end:]]
    chosen: list[int] = []
    for _ in range(N_GENERATED):
        logits = ColdRead(model.transformer, [*context, *chosen], slice(-1, None)).logits[0]
        rest = healed_text[len(model.tokenizer.decode(chosen)) :]
        fits = [
            not model.suppressed_ids[token]
            and (not rest or (t := texts.get(token, "\0")).startswith(rest) or rest.startswith(t))
            for token in range(len(logits))
        ]
        token = int(logits.masked_fill(~torch.tensor(fits), float("-inf")).argmax())
        if token in model.layout.stop_ids:
            break
        chosen.append(token)
    return chosen, healed_text


@pytest.mark.parametrize("is_suffix_first", [False, True], ids=["prefix first", "suffix first"])
def test_a_completion_is_that_of_a_cold_read_which_spells_what_is_begun(
    is_suffix_first: bool, model: LoadedModel
) -> None:
    model = replace(model, layout=find_template(model.tokenizer, is_suffix_first))
    n_healed = 0
    for offset in PLACES[::2]:
        expected, healed_text = twin(model, offset)
        session = Session(model, TEXT, offset, 4096)
        tokens = session.complete(ask(offset)).items[0].tokens
        assert tokens == expected[: len(tokens)]
        # a rule may have ended it, the text alone does not
        assert tokens or not expected
        session.check()
        n_healed += bool(healed_text)
    assert n_healed > 12


def test_what_is_offered_goes_on_from_the_cursor(model: LoadedModel) -> None:
    for offset in PLACES:
        session = Session(model, TEXT, offset, 4096)
        item = session.complete(ask(offset)).items[0]
        spelled, healed_text = (
            model.tokenizer.decode(t) for t in (item.tokens, session.windows.full.healed_ids())
        )
        assert spelled.startswith(healed_text) or healed_text.startswith(spelled)
        assert spelled[len(healed_text) :].startswith(item.text)


def test_alternatives_spell_what_is_begun_too(model: LoadedModel) -> None:
    """Also where fewer tokens do than answers are asked for: then others leave the first one later."""
    text = TEXT + "\nx~"
    session = Session(model, text, len(text), 4096)
    assert model.tokenizer.decode(session.windows.full.healed_ids()) == "~"
    assert len(model.spellings.prefix_compatible("~")) < 5
    items = session.complete(replace(ask(len(text)), n_alternatives=5)).items
    assert 1 < len(items) <= 5
    assert len({item.text for item in items}) == len(items)
    for item in items:
        assert model.tokenizer.decode(item.tokens).startswith("~")
        assert math.isfinite(item.logprob)
    session.check()


def test_an_accept_takes_the_healed_tokens_over(model: LoadedModel) -> None:
    """Those that the text has in the same places are moved, not encoded."""
    n_moved = 0
    for offset in PLACES:
        session = Session(model, TEXT, offset, 4096)
        offered = session.complete(ask(offset)).items[0].text
        session.edit(offset, offset, offered)
        session.check()
        accepted = session.windows.full.accepted
        n_moved += accepted[1] - accepted[0] if accepted else 0
        session.repair_some(64)
        session.check()
    assert n_moved > len(PLACES)


def test_what_is_begun_is_not_encoded_ahead(model: LoadedModel) -> None:
    offset = TEXT.index("width=") + 3
    session = Session(model, TEXT, offset, 4096)
    while session.encode_some(64):
        pass
    assert session.n_pending == 0
    assert session.windows.full.sequence.n_pending == len(session.windows.full.healed_ids()) > 0


@pytest.mark.parametrize("is_suffix_first", [False, True], ids=["prefix first", "suffix first"])
def test_what_was_offered_is_assumed_without_encoding_it_again(
    is_suffix_first: bool, model: LoadedModel
) -> None:
    model = replace(model, layout=find_template(model.tokenizer, is_suffix_first))
    n_respelled, n_encoded = 0, 0
    for offset in PLACES:
        session = Session(model, TEXT, offset, 4096)
        offered = session.complete(ask(offset)).items[0].text
        more = session.complete(ask(offset, offered, 1))
        session.check()
        n_encoded += more.n_encoded
        n_respelled += session.windows.full.n_respelled > 0
        session.edit(offset, offset, offered)
        session.check()
    assert n_respelled > 15
    # the last generated token was never encoded, nor were those of a piece that is chosen anew
    assert n_encoded <= 3 * len(PLACES)


def test_an_assumed_word_is_chosen_anew_too(model: LoadedModel) -> None:
    offset = TEXT.index("\n", 400) + 1
    session = Session(model, TEXT, offset, 4096)
    item = session.complete(ask(offset, virtual_text="    return wid")).items[0]
    spelled = model.tokenizer.decode(item.tokens)
    assert spelled.startswith(" wid")
    assert not item.text.startswith(" wid")
    session.check()


def test_a_fault_while_generating_leaves_the_session_whole(model: LoadedModel) -> None:
    offset = TEXT.index("width=") + 3
    session = Session(model, TEXT, offset, 4096)
    faults = iter([False, False, True])

    def is_cancelled() -> bool:
        if next(faults):
            raise RuntimeError("a fault")
        return False

    for virtual_text in ("", "th=wid"):
        faults = iter([False, False, True])
        with pytest.raises(RuntimeError):
            session.complete(replace(ask(offset, virtual_text), is_cancelled=is_cancelled))
        session.check()
    again = session.complete(ask(offset)).items[0]
    expected, _ = twin(model, offset)
    assert again.tokens == expected[: len(again.tokens)]


def test_a_text_that_is_nothing_but_begun_is_left_as_it_is(model: LoadedModel) -> None:
    """Left to right without a first token, nothing would be left to read."""
    plain = replace(model.layout, front=(), between=(), behind=(), has_suffix=False)
    session = Session(replace(model, layout=plain), "ret", 3, 4096)
    session.complete(ask(3))
    assert session.windows.full.healed_ids() == []
    session.check()


def test_what_was_taken_out_comes_back_pending(model: LoadedModel) -> None:
    offset = TEXT.index("width=") + 3
    window = Session(model, TEXT, offset, 4096).windows.full
    n_before, n_begun = len(window.sequence), len(window.healed_ids())
    while window.sequence.encode_pending(64):
        pass
    with window.without(n_begun):
        assert len(window.sequence) == n_before - n_begun
    assert window.sequence.tokens == window.tokenized.ids
    assert window.sequence.n_pending == n_begun > 0
    window.sequence.check()
