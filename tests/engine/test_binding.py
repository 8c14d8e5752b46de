"""Pieces of other files in a session: nobody waits for them, the file's own tokens stay as they are."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.support.sessions import TEXT, ask, finish
from warmline_engine.cache.bound_chunks import MAX_BOUND
from warmline_engine.decoding.contrast import RULES, contrasted
from warmline_engine.decoding.speculative.drafts import NOTHING_DRAFTED
from warmline_engine.session import completion, loaded_model
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.session import N_BOUND_TOKENS, Session
from warmline_engine.text.fim import find_template

PIECES = ["def first(a, b): ...\n", "class Second:\n    value = 3\n"]


@pytest.mark.parametrize("is_suffix_first", [False, True], ids=["prefix first", "suffix first"])
def test_a_piece_is_heard_and_leaves_the_file_as_it_is(
    is_suffix_first: bool, model: LoadedModel
) -> None:
    model = replace(model, layout=find_template(model.tokenizer, is_suffix_first))
    session = Session(model, TEXT, 200, 4096, binds=True)
    finish(session)
    alone = session.logits_at(200)
    finish(session)
    keys, values = session.windows.full.sequence.keys_and_values()
    n_encoded, n_fresh = session.n_encoded, session.n_fresh
    assert session.bind(PIECES) == 2
    # an answer does not wait for what is not encoded, and is what it was
    assert float((session.logits_at(200) - alone).abs().max()) < 1e-4
    finish(session)
    while session.encode_some(5):
        pass
    assert not session.is_binding
    bound = session.logits_at(200)
    assert float((bound - alone).abs().max()) > 0.01
    finish(session)
    again, others = session.windows.full.sequence.keys_and_values()
    assert float((again - keys).abs().max()) < 1e-4
    assert float((others - values).abs().max()) < 1e-4
    assert session.n_fresh == n_fresh == session.n_tokens
    # the last token only, for each answer and once more to make it fresh
    assert session.n_encoded - n_encoded <= 5
    session.bind([])
    assert float((session.logits_at(200) - alone).abs().max()) < 1e-4


def test_what_does_not_fit_is_left_out_from_the_farthest_on(model: LoadedModel) -> None:
    session = Session(model, TEXT, 200, 4096, binds=True)
    long = "x = 1\n" * N_BOUND_TOKENS
    assert session.bind([long, *PIECES]) == 2
    assert session.bind(["y\n"] * (MAX_BOUND + 5)) == MAX_BOUND
    room = model.transformer.config.max_context
    near = Session(model, TEXT * 40, 200, room, binds=True)
    assert near.n_tokens + N_BOUND_TOKENS < room


def test_pieces_follow_into_windows_that_open_later(model: LoadedModel) -> None:
    session = Session(model, TEXT * 30, 0, 4096, binds=True)
    session.bind(PIECES)
    session.move_cursor(len(session.text))
    while session.encode_some(64):
        pass
    assert session.windows.full.sequence.bound == tuple(map(tuple, session.bound))
    assert not session.is_binding
    session.drop_cache()
    assert not session.is_binding  # nobody looks at it
    session.move_cursor(100)
    assert session.is_binding
    while session.encode_some(64):
        pass
    assert not session.is_binding
    session.check()


def test_names_in_other_files_are_recalled() -> None:
    """With the embedded model: a name that stands nowhere in the file is completed from another one."""
    model = loaded_model.load("small")
    text = "from shapes import area_of_triangle\n\n\ndef total(sides):\n    return area_of_"
    piece = "# shapes.py\ndef area_of_rhombus(side, height): ...\n"
    answers: list[str] = []
    for pieces in ([], [piece]):
        session = Session(model, text.replace("area_of_triangle", "x"), len(text), 4096, binds=True)
        session.bind(pieces)
        finish(session)
        while session.encode_some(64):
            pass
        offset = len(session.text)
        answers.append(session.complete(ask(offset, max_tokens=8, multi_line=False)).items[0].text)
    assert "rhombus" not in answers[0]
    assert answers[1].startswith("rhombus(")


@pytest.mark.parametrize("form", sorted(RULES))
def test_contrast_is_with_a_session_that_has_no_pieces(form: str, model: LoadedModel) -> None:
    """Greedy with the contrast made by hand, of two sessions that read every token anew."""
    offset = TEXT.rfind("\n", 0, 200) + 1  # where nothing is healed
    rule = replace(RULES[form], below=2.0)  # uncertain of everything
    bound, plain = (Session(model, TEXT, offset, 4096, binds=True) for _ in range(2))
    bound.bind(PIECES)
    for session in (bound, plain):
        finish(session)
        while session.encode_some(100):
            pass
    asked = ask(offset, max_tokens=6)
    found = bound.complete(replace(asked, contrast=rule)).items[0].tokens
    expected: list[int] = []
    logits, negative_logits = bound.logits_at(offset), plain.logits_at(offset)
    while len(expected) < len(found):
        token = int(
            contrasted(logits, negative_logits, rule)
            .masked_fill(model.suppressed_ids, -math.inf)
            .argmax()
        )
        expected.append(token)
        logits, negative_logits = (s.windows.full.sequence.append(token) for s in (bound, plain))
    assert found == expected
    assert found != bound.complete(asked).items[0].tokens
    for session in (bound, plain):
        session.check()


def test_contrast_that_is_never_needed_changes_nothing(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is bound, or the model is never uncertain: bit for bit."""
    # how long drafts are follows the clock, and passes of other lengths round otherwise
    monkeypatch.setattr(completion, "PromptLookup", lambda *_: lambda taken: NOTHING_DRAFTED)
    for pieces, below in ((list[str](), 2.0), (PIECES, 0.0)):
        answers = [
            bound_session(model, pieces).complete(replace(ask(200, max_tokens=6), contrast=rule))
            for rule in (None, replace(RULES["ratio"], below=below))
        ]
        plain, other = (answer.items[0] for answer in answers)
        assert (plain.tokens, plain.logprob) == (other.tokens, other.logprob)


def bound_session(model: LoadedModel, pieces: list[str]) -> Session:
    session = Session(model, TEXT, 200, 4096, binds=True)
    session.bind(pieces)
    finish(session)
    while session.encode_some(100):
        pass
    return session
