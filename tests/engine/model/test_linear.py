"""Products with bf16 weights, on a CPU that has instructions for them and on one that has not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from warmline_engine.model.quant.linear import MANY_ROWS, linear
from warmline_kernels import cpu


@pytest.mark.parametrize("has_bfloat16", [True, False])
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
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
