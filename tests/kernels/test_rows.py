"""Kernels of rows and of logits: Triton's against the twins, the twins against double precision.

Without a GPU the Triton kernels run in Triton's interpreter; with one, the same tests run there.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from warmline_kernels import nibbles, reference
from warmline_kernels.native.blocks import GROUP

pytest.importorskip("triton")

from warmline_kernels import triton_kernels, triton_logits, triton_products

pytestmark = pytest.mark.slow

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bf16"])


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


@DTYPES
@pytest.mark.parametrize("scale", [None, 1.0, 0.22])
@pytest.mark.parametrize("width", [16, 192, 576, 1000])
@pytest.mark.parametrize("n", [0, 1, 9])
def test_norms(n: int, width: int, scale: float | None, dtype: torch.dtype) -> None:
    # rows of a wider matrix, as a part of it is
    x, more = (5 * drawn(seed, n, width + 3).to(dtype)[:, :width] for seed in (1, 2))
    weight = drawn(3, width).to(dtype)
    added = None if scale is None else more
    total, found = triton_kernels.add_rms_norm(x, added, scale or 1.0, weight, 1e-6)
    whole = x.double() + (0 if added is None else added.double() * (scale or 1.0))
    size = (whole.square().mean(1, keepdim=True) + 1e-6).sqrt()
    expected = whole / size * weight.double()
    for sums, norms in (
        (total, found),
        reference.add_rms_norm(x, added, scale or 1.0, weight, 1e-6),
    ):
        assert sums.dtype == norms.dtype == dtype
        tolerance = 2 * TOLERANCE[dtype]
        torch.testing.assert_close(sums.double(), whole, atol=tolerance, rtol=tolerance)
        torch.testing.assert_close(norms.double(), expected, atol=tolerance, rtol=tolerance)


SIZES = [(1, 32), (31, 96), (32, 128), (100, 160), (64, 608)]


def weights_of(bits: int, n_out: int, n_in: int) -> tuple[tuple[Tensor, ...], Tensor]:
    """What a product of so many bits takes, and the weights in double precision."""
    random = torch.Generator().manual_seed(n_out)
    if bits == 8:
        codes = torch.randint(-127, 128, (n_out, n_in), generator=random).to(DEVICE, torch.int8)
        scales = drawn(n_in, n_out).abs() / 100
        return (codes, scales), codes.double() * scales.double()[:, None]
    codes = torch.randint(0, 16, (n_out, n_in), generator=random).to(DEVICE, torch.int8)
    scales, zeros = (drawn(seed, n_out, n_in // GROUP).bfloat16() for seed in (4, 5))
    groups = (codes.double() - 8).unflatten(1, (-1, GROUP))
    weight = groups * scales.double()[:, :, None] + zeros.double()[:, :, None]
    return (nibbles.packed(codes), scales, zeros), weight.flatten(1)


PRODUCTS = {
    8: (triton_products.int8_matmul, reference.int8_matmul),
    4: (triton_products.int4_matmul, reference.int4_matmul),
}


@DTYPES
@pytest.mark.parametrize("n_processors", [1, 132])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("n", [0, 1, 10, 16, 17])
@pytest.mark.parametrize("bits", PRODUCTS)
def test_products(
    bits: int,
    n: int,
    size: tuple[int, int],
    n_processors: int,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(triton_products, "processors_of", lambda _: n_processors)
    given, weight = weights_of(bits, *size)
    x = drawn(n, n, size[1] + 1).to(dtype)[:, :-1]
    tolerance = TOLERANCE[dtype]
    size_of_sums = float(weight.abs().max()) * size[1] ** 0.5
    for product in PRODUCTS[bits]:
        found = product(x, *given)
        assert found.dtype == dtype
        torch.testing.assert_close(
            found.double(), x.double() @ weight.T, atol=tolerance * size_of_sums, rtol=tolerance
        )


@pytest.mark.parametrize("n_processors", [1, 132])
def test_a_row_has_the_same_product_beside_any_others(
    n_processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit: a draft is judged by what decodes without it."""
    monkeypatch.setattr(triton_products, "processors_of", lambda _: n_processors)
    x = drawn(1, 10, 608).bfloat16()
    for bits, (product, _) in PRODUCTS.items():
        given, _ = weights_of(bits, 50, 608)
        together = product(x, *given)
        for row in range(10):
            assert torch.equal(product(x[row : row + 1], *given)[0], together[row])


@pytest.mark.parametrize("n_out", [1, 31, 896, 151_936])
@pytest.mark.parametrize("n_in", [32, 128, 160, 4864])
@pytest.mark.parametrize("n_processors", [1, 132])
def test_splits_of_a_sum_hold_all_of_it_and_none_is_empty(
    n_out: int, n_in: int, n_processors: int
) -> None:
    n_splits, split_in = triton_products._split(n_out, n_in, n_processors)
    assert split_in % nibbles.RUN == 0
    assert (n_splits - 1) * split_in < n_in <= n_splits * split_in


@given(st.integers(1, 5), st.integers(1, 300), st.integers(0, 2**31))
@settings(deadline=None)
def test_what_was_packed_unpacks(n_out: int, n_in: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 16, (n_out, n_in), generator=random).to(torch.int8)
    made = nibbles.packed(codes)
    assert made.shape == (n_out, -(-n_in // nibbles.RUN) * nibbles.RUN // 2)
    assert torch.equal(nibbles.unpacked(made, n_in), codes)


def plain_statistics(logits: Tensor) -> list[float]:
    """One logit at a time, in double precision."""
    values = logits.double().tolist()
    most = max(values)
    total = most + math.log(sum(math.exp(value - most) for value in values))
    shares = [math.exp(value - total) for value in values]
    nats = -sum(share * math.log(share) for share in shares if share)
    order = sorted(range(len(values)), key=lambda k: (-values[k], k))
    squares = sum(share * share for share in shares)
    return [total, nats, squares, values[order[0]], values[order[1]], order[0], order[1]]


@pytest.mark.parametrize("n", [2, 5, 4095, 4096, 4097, 12_288, 20_000])
@pytest.mark.parametrize("spread", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("n_impossible", [0, 4, 11_000])
def test_statistics(n: int, spread: float, n_impossible: int) -> None:
    logits = spread * drawn(n, n)
    logits[: min(n_impossible, n - 2)] = float("-inf")
    expected = torch.tensor(plain_statistics(logits.cpu()), dtype=torch.float64)
    for statistics in (triton_logits.statistics, reference.statistics):
        found = statistics(logits).double().cpu()
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=2e-5)


@pytest.mark.parametrize("at", [(0, 1), (4095, 4096), (3, 9000), (9999, 3)])
def test_the_two_greatest_are_found_wherever_they_stand(at: tuple[int, int]) -> None:
    logits = drawn(1, 10_000)
    logits[at[0]], logits[at[1]] = 20.0, 19.0
    for statistics in (triton_logits.statistics, reference.statistics):
        assert statistics(logits)[3:].tolist() == [20.0, 19.0, *at]


def test_statistics_of_what_is_certain() -> None:
    logits = torch.full((9000,), float("-inf"), device=DEVICE)
    logits[8500] = 3.0
    for statistics in (triton_logits.statistics, reference.statistics):
        assert statistics(logits)[:6].tolist() == [3.0, 0.0, 1.0, 3.0, float("-inf"), 8500]


@pytest.mark.parametrize("n", [2, 4097, 12_288])
@pytest.mark.parametrize("is_ratio", [True, False])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_contrast(n: int, is_ratio: bool, strength: float) -> None:
    logits, negative_logits = 3 * drawn(n, n), 3 * drawn(n + 1, n)
    negative_logits[0] = float("-inf")
    expected, anyway = logits.double().softmax(0), negative_logits.double().softmax(0)
    if is_ratio:
        scores = expected.log() - strength * anyway.log().clamp(min=reference.MIN_LOGPROB)
    else:
        scores = (expected - strength * anyway).clamp(min=0).log()
    scores = scores.masked_fill(expected < 0.1 * expected.max(), float("-inf"))
    for kernels in (triton_logits, reference):
        numbers = reference.statistics(logits), reference.statistics(negative_logits)
        found = kernels.contrasted(logits, negative_logits, *numbers, is_ratio, strength, 0.1)
        torch.testing.assert_close(found.double(), scores, atol=1e-3, rtol=1e-3)
