"""What is measured of a completion: exact match, edit similarity, and how far one expectation is from another."""

from __future__ import annotations

import torch
from torch import Tensor

_QUOTES = ('"""', "'''")


def is_exact(offered: str, truth: str) -> bool:
    """Whether two texts have the same words, whatever the blanks between.

    Source: RepoBench (Liu et al. 2023, arXiv:2306.03091), exact match.
    """
    return offered.split() == truth.split()


def edit_similarity(offered: str, truth: str) -> int:
    """Twice the longest common subsequence over both lengths, in whole percent; 100 for two empty texts.

    Source: RepoBench's edit similarity, the ratio of the fuzzy matching packages.
    """
    total = len(offered) + len(truth)
    return 100 if total == 0 else round(200 * longest_common_subsequence(offered, truth) / total)


def longest_common_subsequence(a: str, b: str) -> int:
    """Its length.

    Source: Hyyrö 2004, bit-parallel: bit k of `row` is 0 where the length grows at a[k].
    """
    places: dict[str, int] = {}
    for k, character in enumerate(a):
        places[character] = places.get(character, 0) | 1 << k
    everywhere = (1 << len(a)) - 1
    row = everywhere
    for character in b:
        met = row & places.get(character, 0)
        row = ((row + met) | (row - met)) & everywhere
    return len(a) - row.bit_count()


def first_code_line(text: str, comment: str = "#") -> str:
    """The first line that is not blank, no comment and not within a triple-quoted string; else the first line.

    Source: RepoBench's reading of a completion.
    """
    lines = text.split("\n")
    inside = ""
    for line in lines:
        code = line.strip()
        if inside:
            inside = "" if inside in code else inside
            continue
        opened = next((quote for quote in _QUOTES if code.startswith(quote)), "")
        if opened:
            inside = "" if opened in code[3:] else opened
            continue
        if code and not code.startswith(comment):
            return line
    return lines[0]


def nats(logits: Tensor, tokens: list[int]) -> float:
    """The negative log-likelihood of tokens, each under its row. Shapes: logits [n, V], n tokens."""
    chosen = torch.tensor(tokens, device=logits.device)
    return float(torch.nn.functional.cross_entropy(logits.double(), chosen, reduction="sum"))


def divergence(reference: Tensor, other: Tensor) -> float:
    """Mean over rows of the Kullback-Leibler divergence of `other` from `reference`. Shapes: two of [n, V]."""
    p, q = reference.double().log_softmax(-1), other.double().log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).mean())


def agreement(reference: Tensor, other: Tensor) -> float:
    """The share of rows whose likeliest token is the same. Shapes: two of [n, V]."""
    return float((reference.argmax(-1) == other.argmax(-1)).double().mean())
