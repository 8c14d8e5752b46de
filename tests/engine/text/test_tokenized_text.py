"""Incremental tokens against a full tokenization, for the shapes of tokenizers that code models have."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.tokenizer_families import NAMES, SAMPLE, load
from warmline_engine.text.changes import Move, Splice
from warmline_engine.text.fim import find_template
from warmline_engine.text.token_identity import Tokens, identify, shared_run
from warmline_engine.text.tokenized_text import TokenizedText
from warmline_engine.text.tokenizer import Tokenizer

pieces = st.one_of(
    st.sampled_from(
        ["def ", "return", "self.", "    ", "\n", "\r\n", "\r", "\t", "\f", "  \n", "\n\n", "x", "12", "3.14",
         "é", "e\u0301", "\u0301", "\u0327\u0301", "Å", "𝒳", "👩‍💻", "漢字", "\0", "'s", "'", "don't", "<|fim_prefix|>",
         "<|endoftext|>", " ", "   ", "(", ")", ":\n", "_", "__init__", "\u00a0", "\u2028", "가", "ᄀ", "ᅡ"]
    ),
    st.text(max_size=4),
)  # fmt: skip
texts = st.lists(pieces, max_size=25).map("".join)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.floats(0, 1), st.floats(0, 0.3), st.lists(pieces, max_size=3).map("".join)),
        st.tuples(st.just("type"), pieces),
        st.tuples(st.just("jump"), st.floats(0, 1)),
        st.tuples(st.just("accept"), texts, st.floats(0, 1)),
    ),
    max_size=8,
)  # fmt: skip


def expected_ids(tokenizer: Tokenizer, suffix_first: bool, text: str, cursor: int) -> list[int]:
    layout = find_template(tokenizer, suffix_first)
    prefix, suffix = tokenizer.encode(text[:cursor]).ids, tokenizer.encode(text[cursor:]).ids
    first, second = (suffix, prefix) if suffix_first else (prefix, suffix)
    return [*layout.front, *first, *layout.between, *second, *layout.behind]


def replay(mirror: list[int], changes: list[Splice | Move]) -> None:
    for change in changes:
        if isinstance(change, Splice):
            assert change.tokens or change.start < change.end, "an empty splice"
            mirror[change.start : change.end] = change.tokens
        else:
            run = mirror[change.start : change.end]
            del mirror[change.start : change.end]
            mirror[change.to : change.to] = run


@pytest.mark.parametrize("suffix_first", [False, True])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=examples(150), deadline=None)
@given(text=texts, at=st.floats(0, 1), actions=actions)
def test_tokens_equal_a_full_tokenization(
    name: str, suffix_first: bool, text: str, at: float, actions: list[tuple]
) -> None:
    tokenizer = load(name)
    tokenized = TokenizedText(
        tokenizer, find_template(tokenizer, suffix_first), text, int(at * len(text))
    )
    mirror = tokenized.ids
    assert mirror == expected_ids(tokenizer, suffix_first, text, tokenized.cursor)
    for action in actions:
        n, tail = len(tokenized.text), ()
        start = end = tokenized.cursor
        new = ""
        match action:
            case ("edit", start_at, share, new):
                start = int(start_at * n)
                end = min(n, start + int(share * n))
            case ("type", new):
                pass
            case ("accept", new, share):
                offered = tokenizer.encode(new)
                keys = zip(offered.starts.tolist(), offered.ids, strict=True)
                tail = tuple(keys)[: 1 + int(share * len(offered.ids))]
            case ("jump", to):
                replay(mirror, tokenized.move_cursor(int(to * n)))
                start = end = tokenized.cursor
            case _:
                raise AssertionError(action)
        expected = tokenized.text[:start] + new + tokenized.text[end:]
        if action[0] != "jump":
            mirror += [token for _, token in tail]
            replay(mirror, tokenized.edit(start, end, new, tail))
            del mirror[len(tokenized.ids) :]
        assert tokenized.text == expected
        assert tokenized.ids == expected_ids(tokenizer, suffix_first, expected, tokenized.cursor)
        assert mirror == tokenized.ids


@pytest.mark.parametrize("suffix_first", [False, True])
@pytest.mark.parametrize("name", ["own", "qwen", "starcoder", "deepseek"])
def test_an_edit_reads_little_and_splices_less(name: str, suffix_first: bool) -> None:
    tokenizer = load(name)
    text = SAMPLE
    layout = find_template(tokenizer, suffix_first)
    tokenized = TokenizedText(tokenizer, layout, text, len(text) // 2)
    before = tokenized.n_characters_read
    changes = tokenized.edit(1000, 1000, "z")
    assert tokenized.n_characters_read - before < 400
    assert sum(len(change.tokens) for change in changes if isinstance(change, Splice)) <= 12
    for cursor in (200, len(text) - 200):
        before = tokenized.n_characters_read
        changes = tokenized.move_cursor(cursor)
        assert tokenized.n_characters_read - before < 800, "the text in between is not tokenized"
        new = sum(len(change.tokens) for change in changes if isinstance(change, Splice))
        assert new <= 12, "a jump encodes its marker and what stands at the two cursors"


@pytest.mark.parametrize("suffix_first", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.8, 1.0])
def test_a_jump_keeps_the_tokens_that_are_passed(suffix_first: bool, share: float) -> None:
    """Also from and to the ends of the text, where one of the segments is empty."""
    tokenizer = load("own")
    for start in (0, len(SAMPLE) // 2, len(SAMPLE)):
        tokenized = TokenizedText(tokenizer, find_template(tokenizer, suffix_first), SAMPLE, start)
        before, cursor = tokenized.ids, int(share * len(SAMPLE))
        changes = tokenized.move_cursor(cursor)
        new = sum(len(change.tokens) for change in changes if isinstance(change, Splice))
        assert new <= 12, (start, cursor)
        moved = sum(change.end - change.start for change in changes if isinstance(change, Move))
        assert (moved > 0) == (suffix_first and cursor != start)
        replay(before, changes)
        assert before == tokenized.ids


token_lists = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=12).map(sorted)


@settings(max_examples=500, deadline=None)
@given(old=token_lists, new=token_lists)
def test_the_shared_run_is_the_longest(
    old: list[tuple[int, int]], new: list[tuple[int, int]]
) -> None:
    parts = [([c for c, _ in tokens], [id for _, id in tokens]) for tokens in (old, new)]
    one, other = (identify(*part) for part in parts)
    lengths = [
        next(
            (n for n, (a, b) in enumerate(zip(one[i:], other[k:], strict=False)) if a != b),
            min(len(one) - i, len(other) - k),
        )
        for i, k in product(range(len(one)), range(len(other)))
    ]
    arrays = [Tokens.of(ids, np.array(starts, np.int64)) for starts, ids in parts]
    at_old, at_new, n = shared_run(*arrays)
    assert n == max(lengths, default=0)
    assert one[at_old : at_old + n] == other[at_new : at_new + n]
    assert [part.identities() for part in arrays] == [one, other]


def test_an_accepted_completion_is_moved() -> None:
    tokenizer = load("own")
    for text, offered in (("x =\ny = 2\n", " self.value"), ("x = \ny = 2\n", "self.value")):
        tokenized = TokenizedText(tokenizer, find_template(tokenizer), text, text.index("\n"))
        encoded = tokenizer.encode(offered)
        tail = tuple(zip(encoded.starts.tolist(), encoded.ids, strict=True))
        changes = tokenized.edit(tokenized.cursor, tokenized.cursor, offered, tail)
        moved = sum(change.end - change.start for change in changes if isinstance(change, Move))
        assert len(tail) - 1 <= moved, "all but a token that merges with what stood before"


def test_text_that_looks_like_a_control_token_is_text() -> None:
    tokenizer = load("qwen")
    ids = tokenizer.encode("<|fim_prefix|>").ids
    assert len(ids) > 1
    assert not tokenizer.control_ids & set(ids)
    assert tokenizer.decode(ids) == "<|fim_prefix|>"


@pytest.mark.parametrize("name", NAMES)
@given(text=texts)
def test_tokens_of_what_is_in_normal_form_decode_to_it(name: str, text: str) -> None:
    tokenizer = load(name)
    if tokenizer.is_local and name != "qwen":
        assert tokenizer.decode(tokenizer.encode(text).ids) == text.rstrip("\ufffd")
