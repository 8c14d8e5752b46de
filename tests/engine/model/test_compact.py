"""Weights in 8 and 4 bits: products against the unpacked matrix, and which rows they serve."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from warmline_engine.cache.arena import Arena, RowShape
from warmline_engine.cache.sequence import KVSequence
from warmline_engine.model import checkpoint, random_checkpoint
from warmline_engine.model.quant.compact import (
    FORMATS,
    GROUP,
    RUN,
    Int4,
    Int8,
    Rescored,
    compact,
    highest_of,
)
from warmline_engine.model.quant.compact_gpu import OnGpu
from warmline_engine.model.quant.linear import EVERY_ROW, FEW_ROWS, Linear, compact_rows, linear
from warmline_engine.model.quant.rounding import N_AT_ONCE, quantize_int4, quantize_int8, unpacked
from warmline_kernels.choose import of_triton
from warmline_kernels.native.library import library

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

SHAPE = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 211,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}


@settings(max_examples=examples(40), deadline=None)
@given(
    n_rows=st.integers(1, FEW_ROWS),
    n_in=st.sampled_from([32, 96]),
    n_out=st.integers(1, 70),
    has_bias=st.booleans(),
)
def test_a_product_with_eight_bits_is_within_their_rounding(
    n_rows: int, n_in: int, n_out: int, has_bias: bool
) -> None:
    x, weight = torch.randn(n_rows, n_in).bfloat16(), torch.randn(n_out, n_in).bfloat16()
    bias = torch.randn(n_out).bfloat16() if has_bias else None
    exact = x.double() @ weight.double().T
    if bias is not None:
        exact += bias.double()
    found = Linear(weight, bias, Int8.of(weight))(x)
    step = weight.double().abs().amax(1) / 127
    most = x.double().abs().sum(1)[:, None] * step * 0.51 + exact.abs() * 2**-6 + 0.05
    assert bool(((found.double() - exact).abs() <= most).all())


@settings(max_examples=examples(40), deadline=None)
@given(
    n_rows=st.integers(1, 40),
    n_in=st.sampled_from([32, 96, 256]),
    n_out=st.sampled_from([16, 48, 64, 144]),
    scale=st.sampled_from([1e-3, 1.0, 50.0]),
)
def test_a_product_with_four_bits_is_that_of_the_unpacked_matrix(
    n_rows: int, n_in: int, n_out: int, scale: float
) -> None:
    x, weight = torch.randn(n_rows, n_in).bfloat16(), (scale * torch.randn(n_out, n_in)).bfloat16()
    packed = Int4.of(weight)
    assert packed is not None
    twin = unpacked(*quantize_int4(weight.float()))
    exact = x.double() @ twin.double().T
    # sums are in float32 and the result is rounded once
    most = exact.abs() * 2**-8 + 1e-5 * x.double().abs() @ twin.double().abs().T
    assert bool(((packed.product(x).double() - exact).abs() <= most).all())


@settings(max_examples=examples(60), deadline=None)
@given(
    values=st.lists(st.floats(-100, 100, width=32), min_size=GROUP, max_size=GROUP),
    n_same=st.integers(0, GROUP),
)
def test_four_bits_are_within_a_step_of_any_weights(values: list[float], n_same: int) -> None:
    weight = torch.tensor([values])
    weight[:, :n_same] = weight[0, 0]
    codes, scales, zeros = quantize_int4(weight)
    assert bool(((codes >= 0) & (codes <= 15)).all())
    spread = float(weight.max() - weight.min())
    # the range in 15 steps and what bf16 rounds off; the fit makes the sum of squares less, not the largest error
    error = (unpacked(codes, scales, zeros) - weight).square().mean().sqrt()
    assert float(error) <= spread / 15 + 2**-8 * float(weight.abs().max())


def test_the_fit_loses_less_than_the_range_alone() -> None:
    weight = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    groups = weight.unflatten(1, (-1, GROUP))
    low, high = groups.aminmax(dim=2, keepdim=True)
    step = (high - low) / 15
    plain = ((groups - low) / step).round() * step + low
    lost = (unpacked(*quantize_int4(weight)) - weight).square().sum()
    assert float(lost) < 0.92 * float((plain - groups).square().sum())


def test_a_matrix_is_packed_in_pieces_as_it_is_whole() -> None:
    weight = torch.randn(2 * N_AT_ONCE // 512 + 80, 512).bfloat16()
    packed = Int4.of(weight)
    assert packed is not None
    codes = quantize_int4(weight.float())[0]
    assert torch.equal(packed.codes, torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 2))


@pytest.mark.parametrize("is_ours", [True, False])
@pytest.mark.parametrize("name", [*FORMATS, "head"])
@pytest.mark.parametrize(("n_in", "n_out"), [(64, 48), (896, 1152), (1024, 896)])
def test_a_row_is_the_same_beside_any_others(
    name: str, n_in: int, n_out: int, is_ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a drafted pass would choose other tokens than passes of one row."""
    if not is_ours:
        monkeypatch.setattr("warmline_engine.model.quant.compact.library", lambda: None)
    x, weight = torch.randn(40, n_in).bfloat16(), torch.randn(n_out, n_in).bfloat16()
    copy = Rescored.of(weight) if name == "head" else compact(weight, name)
    assert copy is not None
    alone = torch.cat([copy.product(row[None]) for row in x])
    for n_rows in (2, 3, 5, FEW_ROWS, 17, 40):
        assert torch.equal(copy.product(x[:n_rows]), alone[:n_rows])


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_head_has_its_highest_logits_exact_and_the_others_roughly(
    is_ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_ours:
        monkeypatch.setattr("warmline_engine.model.quant.compact.library", lambda: None)
    monkeypatch.setattr("warmline_engine.model.quant.compact.N_RESCORED", 16)
    torch.manual_seed(0)
    x, weight = torch.randn(64, 64).bfloat16(), torch.randn(1024, 64).bfloat16()
    head = Rescored.of(weight)
    assert head is not None
    # torch's products take bf16, ours give float32, in which no two are equal
    rough = head.rough.product(x.float() if is_ours else x)
    found, exact = head.product(x), x.float() @ weight.float().T
    for row in range(len(x)):
        highest = rough[row].topk(16).indices
        torch.testing.assert_close(found[row, highest], exact[row, highest].bfloat16())
        is_other = torch.ones(1024, dtype=torch.bool).index_fill(0, highest, False)
        assert torch.equal(found[row, is_other], rough[row, is_other].bfloat16())
    assert not torch.equal(found.argmax(1), rough.bfloat16().argmax(1)), (
        "4 bits alone choose others"
    )
    assert torch.equal(found.argmax(1), exact.bfloat16().argmax(1))


@settings(max_examples=examples(30), deadline=None)
@given(
    n=st.integers(1, 40),
    n_runs=st.integers(1, 300),
    rest=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_the_highest_are_found_by_runs(n: int, n_runs: int, rest: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    n_logits = max(n, n_runs * RUN + rest)
    logits = torch.randperm(n_logits, generator=random).float().roll(seed)[None].repeat(2, 1)
    logits[1] = -logits[1]
    found = logits.gather(1, highest_of(logits, n)).sort(1, descending=True).values
    assert torch.equal(found, logits.topk(n).values)


def test_a_head_has_few_logits_where_there_are_few_tokens() -> None:
    weight, x = torch.randn(48, 64).bfloat16(), torch.randn(2, 64).bfloat16()
    head = Rescored.of(weight)
    assert head is not None
    torch.testing.assert_close(head.product(x), x @ weight.T)


@pytest.mark.parametrize(("is_tied", "is_alone"), [(True, True), (True, False), (False, False)])
def test_a_large_head_is_in_four_bits_where_its_weights_stay(
    is_tied: bool, is_alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = SHAPE | {"vocab_size": 208, "tie_word_embeddings": is_tied}
    random_checkpoint.write(shape, tmp_path, dtype=torch.bfloat16)
    monkeypatch.setattr(checkpoint, "LARGE_HEAD", 208 * 64)
    model = checkpoint.load(
        tmp_path, dtype=torch.bfloat16, decode_format="int4", is_few_alone=is_alone
    )
    assert isinstance(model.head.decode_weights, Rescored)
    assert (model.head.weight is None) == is_alone
    monkeypatch.setattr(checkpoint, "LARGE_HEAD", 208 * 64 + 1)
    smaller = checkpoint.load(tmp_path, dtype=torch.bfloat16, decode_format="int4")
    assert smaller.head.decode_weights is not None
    assert smaller.head.decode_weights.bits == 8


def test_a_head_of_its_own_is_in_eight_bits_where_they_are_all_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "LARGE_HEAD", 1)
    random_checkpoint.write(SHAPE | {"tie_word_embeddings": False}, tmp_path, dtype=torch.bfloat16)
    model = checkpoint.load(tmp_path, dtype=torch.bfloat16, decode_format="int4", is_few_alone=True)
    assert model.head.decode_weights is not None
    assert model.head.decode_weights.bits == 8


def test_where_there_is_no_such_product_there_are_no_such_weights() -> None:
    assert compact(torch.randn(16, 32), "int4") is None, "float32"
    assert compact(torch.randn(16, 33).bfloat16(), "int4") is None, "inputs that are no multiple"
    assert isinstance(compact(torch.randn(8, 32).bfloat16(), "int4"), Int8), "outputs likewise"


@pytest.mark.parametrize(("name", "kind"), [("int8", Int8), ("int4", Int4)])
def test_torchs_products_serve_where_ours_are_missing(
    name: str, kind: type[Int8 | Int4], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmline_engine.model.quant.compact.library", lambda: None)
    x, weight = torch.randn(3, 64).bfloat16(), torch.randn(48, 64).bfloat16()
    copy, expected = compact(weight, name), kind.of(weight)
    assert isinstance(copy, kind)
    assert expected is not None
    assert torch.equal(copy.product(x), expected.product(x))
    assert copy.product(x.float()).dtype == torch.float32


@pytest.mark.parametrize(("n_rows", "is_few"), [(1, True), (FEW_ROWS, True), (200, False)])
def test_many_rows_take_the_weights_as_they_are(n_rows: int, is_few: bool) -> None:
    weight, x = torch.randn(48, 64).bfloat16(), torch.randn(n_rows, 64).bfloat16()
    few = Int4.of(weight)
    assert few is not None
    expected = few.product(x) if is_few else linear(x, weight)
    assert torch.equal(Linear(weight, None, few)(x), expected)
    assert torch.equal(Linear(None, None, few)(x), few.product(x)), "the only copy serves all"


@pytest.mark.parametrize(("has_bfloat16", "is_own"), [(True, True), (False, True), (False, False)])
def test_own_products_serve_every_row_where_the_processor_has_no_bf16(
    has_bfloat16: bool, is_own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_own and library() is None:
        pytest.skip("the kernels are for Linux on x86-64")
    if not is_own:
        monkeypatch.setattr("warmline_engine.model.quant.compact.library", lambda: None)
    monkeypatch.setattr("warmline_kernels.cpu.has_bfloat16", lambda: has_bfloat16)
    weight = torch.randn(64, 64).bfloat16()
    parts = [Linear(weight, None, compact(weight, "int8"))]
    expected = EVERY_ROW if is_own and not has_bfloat16 else FEW_ROWS
    assert compact_rows(parts) == expected
    assert compact_rows([*parts, Linear(weight, None, None)]) == FEW_ROWS


@pytest.fixture(params=["int8", "int4"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("is_alone", [False, True])
def test_drafted_rows_choose_the_tokens_of_single_rows(
    name: str, is_alone: bool, tmp_path: Path
) -> None:
    random_checkpoint.write(SHAPE, tmp_path, dtype=torch.bfloat16)
    model = checkpoint.load(
        tmp_path, dtype=torch.bfloat16, decode_format=name, is_few_alone=is_alone
    )
    shape = RowShape(3, 2, 16, torch.bfloat16, torch.device("cpu"))
    prompt = torch.randint(0, 211, (60,), generator=torch.Generator().manual_seed(1)).tolist()
    logits: list[torch.Tensor] = []
    for is_drafted in (False, True):
        sequence = KVSequence(model, Arena(shape, 1 << 26))
        sequence.splice(0, 0, prompt)
        while sequence.encode_pending(64):
            pass
        tokens = prompt[: FEW_ROWS - 1]
        rows = [sequence.append(token) for token in tokens] if not is_drafted else []
        logits.append(torch.stack(rows) if rows else sequence.extend(tokens))
    if model.supports_fused(FEW_ROWS):
        assert torch.equal(logits[0], logits[1])
    else:
        # torch's attention rounds its weights to bf16, in another order where there are more rows
        assert float((logits[0] - logits[1]).abs().max() / logits[0].std()) < 0.06


def test_a_model_in_one_format_has_its_matrices_once(name: str, tmp_path: Path) -> None:
    random_checkpoint.write(SHAPE | {"vocab_size": 208}, tmp_path, dtype=torch.bfloat16)
    model = checkpoint.load(tmp_path, dtype=torch.bfloat16, decode_format=name, is_few_alone=True)
    assert all(part.weight is None and part.decode_weights is not None for part in model.parts())
    whole = checkpoint.load(tmp_path, dtype=torch.bfloat16)
    assert model.n_weights == whole.n_weights
    bits = {"int8": (8, 9), "int4": (5, 5)}[name]
    for part in model.parts():
        assert part.decode_weights is not None
        assert bits[0] <= 8 * part.decode_weights.n_bytes / part.n_weights <= bits[1]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(
    "names", [frozenset(), frozenset({"int8_matmul", "int4_matmul"})], ids=["twins", "triton"]
)
def test_weights_on_a_gpu_are_those_on_a_cpu(bits: int, names: frozenset[str]) -> None:
    if names:
        pytest.importorskip("triton")
    weight = torch.randn(40, 256, generator=torch.Generator().manual_seed(bits)).bfloat16()
    made = OnGpu.of(weight.to(DEVICE), bits, of_triton(names))
    one = torch.eye(256, dtype=torch.bfloat16, device=DEVICE)
    found = torch.cat([made.product(rows) for rows in one.split(16)]).T.float().cpu()
    if bits == 8:
        codes, scales = quantize_int8(weight.float())
        twin = codes.float() * scales[:, None]
    else:
        twin = unpacked(*quantize_int4(weight.float()))
    torch.testing.assert_close(
        found, twin, atol=1e-6, rtol=2**-7
    )  # bf16, which the interpreter cuts off
    assert (made.bits, made.n_weights) == (bits, weight.numel())
    assert made.n_bytes < weight.nbytes * (bits + 2) / 16
