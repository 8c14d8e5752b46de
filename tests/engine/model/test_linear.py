"""Products with bf16 weights, on a CPU that has instructions for them and on one that has not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warmline_engine.model.linear import FEW_ROWS, MANY_ROWS, Int8, Linear, linear
from warmline_kernels import cpu


@pytest.mark.parametrize("has_bfloat16", [True, False])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    n_rows=st.integers(1, 3 * MANY_ROWS),
    n_in=st.integers(1, 70),
    n_out=st.integers(1, 70),
    has_bias=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_a_product_is_that_of_double_precision(
    has_bfloat16: bool,
    n_rows: int,
    n_in: int,
    n_out: int,
    has_bias: bool,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: has_bfloat16)
    x, weight = torch.randn(n_rows, n_in).to(dtype), torch.randn(n_out, n_in).to(dtype)
    bias = torch.randn(n_out).to(dtype) if has_bias else None
    exact = x.double() @ weight.double().T
    if bias is not None:
        exact += bias.double()
    found = linear(x, weight, bias)
    assert found.dtype == dtype
    # eight bits of a bf16 number, of which the last is rounded
    share = 2**-8 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found.double(), exact, rtol=share, atol=share * n_in**0.5)


def test_a_wider_product_after_a_narrow_one_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: False)
    for n_in, n_out in ((8, 8), (64, 200), (8, 8)):
        x, weight = torch.ones(MANY_ROWS, n_in), torch.ones(n_out, n_in)
        found = linear(x.bfloat16(), weight.bfloat16())
        assert torch.equal(found, torch.full((MANY_ROWS, n_out), float(n_in)).bfloat16())


@settings(max_examples=40, deadline=None)
@given(
    n_rows=st.integers(1, 9),
    n_in=st.sampled_from([32, 96]),
    n_out=st.integers(1, 70),
    has_bias=st.booleans(),
)
def test_a_product_with_eight_bits_is_within_their_rounding(
    n_rows: int, n_in: int, n_out: int, has_bias: bool
) -> None:
    x, weight = torch.randn(n_rows, n_in).bfloat16(), torch.randn(n_out, n_in).bfloat16()
    bias = torch.randn(n_out).bfloat16() if has_bias else None
    few = Int8.of(weight)
    assert few is not None
    layer = Linear(weight, bias, few)
    exact = x.double() @ weight.double().T
    if bias is not None:
        exact += bias.double()
    found = layer(x) if n_rows <= FEW_ROWS else few.product(x) + (0 if bias is None else bias)
    step = weight.double().abs().amax(1) / 127
    most = x.double().abs().sum(1)[:, None] * step * 0.51 + exact.abs() * 2**-6 + 0.05
    assert bool(((found.double() - exact).abs() <= most).all())


def test_where_there_is_no_such_product_there_are_no_such_weights() -> None:
    assert Int8.of(torch.randn(8, 32)) is None, "float32"
    assert Int8.of(torch.randn(8, 33).bfloat16()) is None, "inputs that are no multiple"


@pytest.mark.parametrize(("n_rows", "is_few"), [(1, True), (200, False)])
def test_many_rows_take_the_weights_as_they_are(n_rows: int, is_few: bool) -> None:
    weight, x = torch.randn(40, 64).bfloat16(), torch.randn(n_rows, 64).bfloat16()
    few = Int8.of(weight)
    assert few is not None
    expected = few.product(x) if is_few else linear(x, weight)
    assert torch.equal(Linear(weight, None, few)(x), expected)
