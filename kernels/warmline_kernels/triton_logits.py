"""Kernels over logits in Triton, with the signatures of the functions in `reference`.

The vocabulary is split among programs, each of which reads its part once; another kernel combines their results.
"""

# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportPossiblyUnboundVariable=false
# as in triton_kernels

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .reference import MIN_LOGPROB

PART = 4096  # logits of a program
N_NUMBERS = tl.constexpr(7)
IMPOSSIBLE = tl.constexpr(float("-inf"))
LEAST = tl.constexpr(MIN_LOGPROB)


@triton.jit
def _two_greatest(logits, at):
    """The two highest logits, and the entries of `at` for them."""
    first = tl.argmax(logits, 0)
    is_first = tl.arange(0, logits.shape[0]) == first
    others = tl.where(is_first, IMPOSSIBLE, logits)
    is_second = tl.arange(0, logits.shape[0]) == tl.argmax(others, 0)
    at_first = tl.sum(tl.where(is_first, at, 0.0), 0)
    at_second = tl.sum(tl.where(is_second, at, 0.0), 0)
    return tl.max(logits, 0), tl.max(others, 0), at_first, at_second


@triton.jit
def _of_a_part(logits, found, n_logits, n_parts, PART: tl.constexpr):
    part = tl.program_id(0)
    at = part * PART + tl.arange(0, PART)
    logit = tl.load(logits + at, mask=at < n_logits, other=IMPOSSIBLE).to(tl.float32)
    best, second, at_best, at_second = _two_greatest(logit, at.to(tl.float32))
    is_possible = logit > IMPOSSIBLE
    # where nothing is possible, infinities would be taken off each other
    below = tl.where(is_possible, logit - tl.where(best > IMPOSSIBLE, best, 0.0), 0.0)
    grown = tl.where(is_possible, tl.exp(below), 0.0)
    tl.store(found + part, tl.sum(grown, 0))
    tl.store(found + n_parts + part, tl.sum(grown * below, 0))
    tl.store(found + 2 * n_parts + part, tl.sum(grown * grown, 0))
    tl.store(found + 3 * n_parts + part, best)
    tl.store(found + 4 * n_parts + part, second)
    tl.store(found + 5 * n_parts + part, at_best)
    tl.store(found + 6 * n_parts + part, at_second)


@triton.jit
def _of_all(found, out, n_parts, PARTS: tl.constexpr):
    parts = tl.arange(0, PARTS)
    is_part = parts < n_parts
    grown = tl.load(found + parts, mask=is_part, other=0.0)
    below = tl.load(found + n_parts + parts, mask=is_part, other=0.0)
    squares = tl.load(found + 2 * n_parts + parts, mask=is_part, other=0.0)
    bests = tl.load(found + 3 * n_parts + parts, mask=is_part, other=IMPOSSIBLE)
    seconds = tl.load(found + 4 * n_parts + parts, mask=is_part, other=IMPOSSIBLE)
    at_bests = tl.load(found + 5 * n_parts + parts, mask=is_part, other=0.0)
    at_seconds = tl.load(found + 6 * n_parts + parts, mask=is_part, other=0.0)
    best, second, at_best, at_second = _two_greatest(bests, at_bests)
    # the second of all is the second of its part, where no other part has a greater one
    own = tl.max(seconds, 0)
    is_own = parts == tl.argmax(seconds, 0)
    at_second = tl.where(own > second, tl.sum(tl.where(is_own, at_seconds, 0.0), 0), at_second)
    second = tl.maximum(own, second)
    lower = tl.where(grown > 0, tl.where(grown > 0, bests, 0.0) - best, 0.0)
    share = tl.where(grown > 0, tl.exp(lower), 0.0)
    total = tl.sum(grown * share, 0)
    depth = tl.sum((below + grown * lower) * share, 0) / total
    tl.store(out, best + tl.log(total))
    tl.store(out + 1, tl.log(total) - depth)
    tl.store(out + 2, tl.sum(squares * share * share, 0) / (total * total))
    tl.store(out + 3, best)
    tl.store(out + 4, second)
    tl.store(out + 5, at_best)
    tl.store(out + 6, at_second)


@triton.jit
def _contrasted(
    logits, negative_logits, numbers, negative_numbers, out, n_logits, strength, plausible,
    IS_RATIO: tl.constexpr, PART: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0) * PART + tl.arange(0, PART)
    is_there = at < n_logits
    logit = tl.load(logits + at, mask=is_there, other=IMPOSSIBLE).to(tl.float32)
    expected = logit - tl.load(numbers)
    anyway = tl.load(negative_logits + at, mask=is_there, other=0.0).to(tl.float32) - tl.load(
        negative_numbers
    )
    anyway = tl.maximum(anyway, LEAST)
    if IS_RATIO:
        scores = expected - strength * anyway
    else:
        more = tl.exp(expected) - strength * tl.exp(anyway)
        scores = tl.where(more > 0, tl.log(tl.where(more > 0, more, 1.0)), IMPOSSIBLE)
    best = tl.exp(tl.load(numbers + 3) - tl.load(numbers))
    scores = tl.where(tl.exp(expected) < plausible * best, IMPOSSIBLE, scores)
    tl.store(out + at, scores, mask=is_there)


def statistics(logits: Tensor) -> Tensor:
    """As `reference.statistics`; of equal logits the first is the greatest."""
    logits = logits.contiguous()
    n_parts = triton.cdiv(len(logits), PART)
    found = torch.empty(N_NUMBERS.value, n_parts, dtype=torch.float32, device=logits.device)
    out = torch.empty(N_NUMBERS.value, dtype=torch.float32, device=logits.device)
    _of_a_part[(n_parts,)](logits, found, len(logits), n_parts, PART=PART)
    _of_all[(1,)](found, out, n_parts, PARTS=max(2, triton.next_power_of_2(n_parts)))
    return out


def contrasted(
    logits: Tensor,
    negative_logits: Tensor,
    numbers: Tensor,
    negative_numbers: Tensor,
    is_ratio: bool,
    strength: float,
    plausible: float,
) -> Tensor:
    """As `reference.contrasted`."""
    logits, negative_logits = logits.contiguous(), negative_logits.contiguous()
    out = torch.empty(len(logits), dtype=torch.float32, device=logits.device)
    _contrasted[(triton.cdiv(len(logits), PART),)](
        logits, negative_logits, numbers, negative_numbers, out, len(logits), strength, plausible,
        IS_RATIO=is_ratio, PART=PART,
    )  # fmt: skip
    return out
