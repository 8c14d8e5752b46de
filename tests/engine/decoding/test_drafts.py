"""Speculation against adding one token at a time, and drafts against what the text says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from warmline_engine.decoding.agreement import Around
from warmline_engine.decoding.drafts import LONGEST_DRAFT, Speculation, copying, draft_length

N_TOKENS = 7
NOTHING_BARRED = torch.zeros(N_TOKENS, dtype=torch.bool)
RUNS = st.lists(st.integers(0, N_TOKENS - 1), max_size=40)


class Counted:
    """A sequence whose logits name the tokens it carries, so that a wrong context shows."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def truncate(self, n_tokens: int) -> None:
        del self.tokens[n_tokens:]

    def extend(self, tokens: Sequence[int]) -> Tensor:
        rows: list[Tensor] = []
        for token in tokens:
            self.tokens.append(token)
            rows.append(logits_of(self.tokens))
        return torch.stack(rows)


def logits_of(tokens: Sequence[int]) -> Tensor:
    seed = hash(tuple(tokens)) % 2**31
    return torch.randn(N_TOKENS, generator=torch.Generator().manual_seed(seed))


@given(context=RUNS, taken=RUNS, drafts=st.lists(RUNS, min_size=41, max_size=41))
def test_any_drafts_give_the_logits_of_one_token_at_a_time(
    context: list[int], taken: list[int], drafts: list[list[int]]
) -> None:
    sequence = Counted(context)
    speculation = Speculation(sequence, lambda so_far: drafts[len(so_far) - 1])
    for n, token in enumerate(taken, 1):
        assert torch.equal(speculation.append(token), logits_of([*context, *taken[:n]]))
    speculation.close()
    assert sequence.tokens == [*context, *taken]


@given(context=RUNS, suffix=RUNS, n=st.integers(1, 20))
def test_greedy_with_drafts_is_greedy_without(
    context: list[int], suffix: list[int], n: int
) -> None:
    plain = Counted([*context, 0])
    for _ in range(n):
        plain.extend([int(logits_of(plain.tokens).argmax())])
    sequence = Counted([*context, 0])
    around = Around([*context, 0], suffix, NOTHING_BARRED)
    speculation = Speculation(sequence, copying(around))
    logits = logits_of(sequence.tokens)
    for _ in range(n):
        logits = speculation.append(int(logits.argmax()))
    speculation.close()
    assert sequence.tokens == plain.tokens


def test_text_that_repeats_takes_few_passes() -> None:
    line = [1, 2, 3, 4, 5, 6]
    around = Around([*line, 0, *line, 0], [], NOTHING_BARRED)
    speculation = Speculation(Counted([]), copying(around))
    for token in line:
        speculation.append(token)
    assert speculation.n_passes <= 2


@pytest.mark.parametrize(
    ("prefix", "suffix", "generated", "expected"),
    [
        ([1, 2, 3, 0, 1, 2], [], [], [3, 0, 1, 2]),
        ([1, 2, 3, 0, 1, 2, 4, 0, 1], [], [2], [4, 0, 1, 2]),  # the nearest place before the cursor
        ([0, 1], [1, 2, 3], [], [2, 3]),  # what stands behind the cursor, up to its end
        ([1, 2], [3, 4], [], []),
        ([], [], [], []),
    ],
)
def test_drafts_are_copied(
    prefix: list[int], suffix: list[int], generated: list[int], expected: list[int]
) -> None:
    draft = copying(Around(prefix, suffix, NOTHING_BARRED))(generated)
    assert draft == expected[: len(draft)]
    assert bool(draft) == bool(expected)


def test_longer_agreement_makes_longer_drafts() -> None:
    lengths = [draft_length(n) for n in range(1, 13)]
    assert lengths == sorted(lengths)
    assert lengths[0] > 0
    assert lengths[-1] <= LONGEST_DRAFT


def test_what_is_barred_is_not_drafted() -> None:
    barred: Callable[[int], Tensor] = lambda token: torch.arange(N_TOKENS) == token  # noqa: E731
    assert copying(Around([1, 2, 0, 1], [], barred(2)))([]) == []
