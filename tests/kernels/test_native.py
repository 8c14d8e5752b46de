"""The compiled kernels against loops in double precision, for each kind of processor that the machine also is."""

from __future__ import annotations

import ctypes
import math
import platform
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support.examples import examples
from warmline_kernels.decoder import LayerParts, NativeDecoder, NativePass, NativeShape, Product
from warmline_kernels.native import build
from warmline_kernels.native.blocks import (
    BLOCK,
    GROUP,
    Blocks,
    blocks_of_4_bits,
    blocks_of_8_bits,
    rescore,
)
from warmline_kernels.native.library import Library, library, load
from warmline_kernels.native.processors import NEEDED, best, processor_flags
from warmline_kernels.reference import apply_rotary
from warmline_kernels.view import UNSEEN, AttentionMetadata, cos_sin

IS_SERVED = sys.platform == "linux" and platform.machine() == "x86_64"
pytestmark = pytest.mark.skipif(not IS_SERVED, reason="the kernels are for Linux on x86-64")


def kernels(processor: str) -> Library:
    found = load(build.path_of(processor))
    assert found is not None, "pip install --editable . compiles the kernels"
    return found


PROCESSORS = [name for name, needed in NEEDED.items() if needed <= processor_flags()]


def test_the_package_has_kernels_for_this_machine() -> None:
    found = library()
    assert found is not None
    assert found.path == build.path_of(PROCESSORS[0])


def test_without_flags_or_files_there_are_none(tmp_path: Path) -> None:
    assert best(frozenset(), build.FOLDER) is None
    assert best(NEEDED["avx512"], tmp_path) is None
    for processor, needed in NEEDED.items():
        assert best(needed, build.FOLDER) == build.path_of(processor)
    assert processor_flags(tmp_path / "cpuinfo") == frozenset()
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags\t\t: fpu avx2 fma\nbogomips : 5\n")
    assert processor_flags(tmp_path / "cpuinfo") == {"fpu", "avx2", "fma"}


def test_a_file_that_is_no_library_leaves_torch(tmp_path: Path) -> None:
    (tmp_path / "kernels-avx2.so").write_bytes(b"no library")
    assert load(tmp_path / "kernels-avx2.so") is None


def test_the_library_is_made_of_all_c_files_of_the_folder() -> None:
    """The Makefile compiles anew when one of `*.[ch]` in the folder changes: all must be there, and be used."""
    included, pending = set[Path](), [build.SOURCE]
    while pending:
        path = pending.pop()
        if path not in included:
            included.add(path)
            names = re.findall(r'^#include "(.+)"$', path.read_text(), re.MULTILINE)
            pending += [path.parent / name for name in names]
    assert included == set(build.FOLDER.glob("*.[ch]"))
    assert included == {path for path in build.FOLDER.rglob("*") if path.suffix in (".c", ".h")}


@dataclass(frozen=True)
class Dense:
    """Weights as the kernels have them, and what they stand for. Shape: matrix [out, in] float64."""

    blocks: Blocks
    matrix: Tensor

    @classmethod
    def random(cls, of: Library, n_out: int, n_in: int, bits: int) -> Dense:
        if bits == 4:
            codes = torch.randint(0, 16, (n_out, n_in))
            scales, zeros = (
                (torch.randn(n_out, n_in // GROUP) * size).bfloat16() for size in (0.02, 0.1)
            )
            matrix = (codes.double() - 8).unflatten(1, (-1, GROUP)) * scales.double()[:, :, None]
            matrix += zeros.double()[:, :, None]
            packed = blocks_of_4_bits(codes, scales, zeros)
            return cls(Blocks(of, packed, n_in, 4), matrix.flatten(1))
        codes, scales = torch.randint(-127, 128, (n_out, n_in)), torch.rand(n_out) * 0.002
        packed = blocks_of_8_bits(codes, scales)
        return cls(Blocks(of, packed, n_in, 8), codes.double() * scales.double()[:, None])

    def product(self, x: Tensor) -> Tensor:
        return rounded(x) @ self.matrix.T


def rounded(x: Tensor) -> Tensor:
    """Rows as the kernels round them. Shapes: [n, in] → [n, in] float64."""
    groups = x.float().unflatten(1, (-1, GROUP))
    largest = groups.abs().amax(2, keepdim=True)
    # `127 / largest` would be 127 times a reciprocal
    inverse = torch.where(largest > 1e-30, torch.full_like(largest, 127) / largest, 0)
    codes = (
        groups.double() * inverse.double()
    ).round()  # the kernels' product is rounded once, with what is added
    return (codes * largest.double() / 127).flatten(1)


@pytest.mark.parametrize("processor", PROCESSORS)
@settings(max_examples=examples(40), deadline=None)
@given(
    n_rows=st.integers(1, 11),
    n_in=st.sampled_from([32, 96, 640]),
    n_out=st.sampled_from([16, 48, 272]),
    bits=st.sampled_from([4, 8]),
    size=st.sampled_from([0.0, 1e-38, 1e-3, 1.0, 1e4]),
    n_threads=st.integers(1, 2),
)
def test_a_product_is_that_of_the_dense_matrix(
    processor: str, n_rows: int, n_in: int, n_out: int, bits: int, size: float, n_threads: int
) -> None:
    weights, x = (
        Dense.random(kernels(processor), n_out, n_in, bits),
        torch.randn(n_rows, n_in) * size,
    )
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        found = weights.blocks.product(x)
    finally:
        torch.set_num_threads(before)
    most = 1e-6 * x.double().abs() @ weights.matrix.abs().T + 1e-12
    assert bool(((found.double() - weights.product(x)).abs() <= most).all())
    alone = torch.cat([weights.blocks.product(row[None]) for row in x])
    assert torch.equal(found, alone), "a row is the same beside any others"


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("bits", [4, 8])
def test_the_largest_numbers_do_not_overflow(processor: str, bits: int) -> None:
    codes = torch.full((BLOCK, 4096), 15 if bits == 4 else -127)
    packed = (
        blocks_of_4_bits(codes, torch.ones(BLOCK, 128), torch.zeros(BLOCK, 128))
        if bits == 4
        else blocks_of_8_bits(codes, torch.ones(BLOCK))
    )
    x = torch.ones(1, 4096)
    found = Blocks(kernels(processor), packed, 4096, bits).product(x)
    torch.testing.assert_close(found, torch.full((1, BLOCK), 4096.0 * (7 if bits == 4 else -127)))


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number_changes_no_other_row(processor: str, bits: int, bad: float) -> None:
    torch.manual_seed(0)
    weights, x = Dense.random(kernels(processor), 48, 96, bits).blocks, torch.randn(5, 96)
    expected = weights.product(x)
    x[2, [3, 4, 40]] = bad
    found = weights.product(x)
    others = [0, 1, 3, 4]
    assert torch.equal(found[others], expected[others])
    if math.isnan(bad):  # counts as 0
        assert torch.equal(found[2], weights.product(x.nan_to_num())[2])
    else:
        assert not bool(found[2].isfinite().any())


@pytest.mark.parametrize("processor", PROCESSORS)
@settings(max_examples=examples(60), deadline=None)
@given(
    n_rows=st.integers(1, 5),
    n_in=st.sampled_from([32, 96, 896]),
    n_out=st.integers(1, 40).map(lambda n: 16 * n),
    n_highest=st.integers(1, 300),
    is_sorted=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_highest_logits_are_made_exact_and_no_others(
    processor: str, n_rows: int, n_in: int, n_out: int, n_highest: int, is_sorted: bool, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    rough = torch.randn(n_rows, n_out, generator=random)
    if is_sorted:  # each one that is met replaces another, or none does
        rough = rough.sort(1, descending=bool(seed % 2)).values
    weight = torch.randn(n_out, n_in, generator=random).bfloat16()
    x = torch.randn(n_rows, n_in, generator=random)
    n_highest = min(n_highest, n_out)
    highest = rough.topk(n_highest).indices
    exact = x.double() @ weight.double().T
    expected = rough.double().scatter(1, highest, exact.gather(1, highest))
    found = rough.clone()
    rescore(kernels(processor), found, weight, x, n_highest)
    most = 1e-6 * x.double().abs() @ weight.double().abs().T + 1e-12
    assert bool(((found.double() - expected).abs() <= most).all())
    others = torch.ones_like(rough, dtype=torch.bool).scatter(1, highest, False)
    assert torch.equal(found[others], rough[others])


def test_logits_that_are_no_numbers_end_nothing() -> None:
    logits = torch.full((1, 640), torch.nan)
    rescore(kernels(PROCESSORS[0]), logits, torch.ones(640, 32).bfloat16(), torch.ones(1, 32), 40)
    assert int((logits == 32).sum()) == 40


@dataclass(frozen=True)
class Twin:
    """A layer in double precision."""

    parts: LayerParts
    dense: dict[str, Dense]

    @classmethod
    def random(cls, of: Library, shape: NativeShape, width: int, n_mlp: int, bits: int, is_full: bool,
               window: int | None) -> Twin:  # fmt: skip
        n_seen, size = shape.n_heads * shape.head_size, shape.head_size
        sizes = {
            "qkv": (n_seen + 2 * shape.n_kv_heads * size, width),
            "out": (width, n_seen),
            "up": (2 * n_mlp, width),
            "down": (width, n_mlp),
        }
        dense = {name: Dense.random(of, *sizes[name], bits) for name in sizes}
        products = {
            name: Product(d.blocks, torch.randn(d.blocks.n_out).bfloat16() if is_full else None)
            for name, d in dense.items()
        }
        norms = [torch.randn(n).bfloat16() for n in (width, width, size, size)]
        parts = LayerParts(
            **products,
            norm_in=norms[0],
            norm_mlp=norms[1],
            query_norm=norms[2] if is_full else None,
            key_norm=norms[3] if is_full else None,
            window=window,
        )
        return cls(parts, dense)

    def product(self, name: str, x: Tensor) -> Tensor:
        bias = getattr(self.parts, name).bias
        found = self.dense[name].product(x)
        return found if bias is None else found + bias.double()


def normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    x = x.double()
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight.double()


def run_twin(
    twins: list[Twin], shape: NativeShape, norm: Tensor, x: Tensor, step: NativePass
) -> Tensor:
    """`NativeDecoder.run`, a head, a row and a slot at a time. Modifies: the step's rows. Shape: [T, width] float64."""
    view, (unrotated, rotated, values) = step.view, step.rows
    x, n_shared = x.double(), shape.n_heads // shape.n_kv_heads
    slots = step.slots
    for layer, twin in enumerate(twins):
        parts = twin.parts
        heads = twin.product("qkv", normed(x, parts.norm_in, shape.norm_eps))
        heads = heads.view(len(x), -1, shape.head_size)
        q, k, v = heads.split((shape.n_heads, shape.n_kv_heads, shape.n_kv_heads), dim=1)
        if parts.query_norm is not None and parts.key_norm is not None:
            q = normed(q, parts.query_norm, shape.norm_eps)
            k = normed(k, parts.key_norm, shape.norm_eps)
        cos, sin = (angles[:, None] for angles in step.key_angles)
        unrotated[layer][:, slots] = k.transpose(0, 1).bfloat16()
        rotated[layer][:, slots] = apply_rotary(k.float(), cos, sin).transpose(0, 1).bfloat16()
        values[layer][:, slots] = v.transpose(0, 1).bfloat16()
        mask = view.mask(parts.window)
        seen = torch.zeros(len(x), shape.n_heads, shape.head_size, dtype=torch.float64)
        for row in range(len(x)):
            visible = [s for s in range(len(view.key_positions)) if mask is None or mask[row, s]]
            at = view.query_positions[row] - view.offsets[visible]
            angles = cos_sin(at, view.inverse_frequencies, view.attention_factor)
            for head in range(shape.n_heads if visible else 0):
                query = apply_rotary(
                    q[row, head].float().expand(len(visible), -1), *angles
                ).double()
                keys = rotated[layer, head // n_shared, visible].double()
                weights = ((query * keys).sum(1) * shape.attention_scale).softmax(0)
                seen[row, head] = weights @ values[layer, head // n_shared, visible].double()
        x = x + twin.product("out", seen.flatten(1)) * shape.residual_multiplier
        gates, ups = twin.product("up", normed(x, parts.norm_mlp, shape.norm_eps)).chunk(2, dim=1)
        let_through = torch.nn.functional.silu(gates) * ups
        x = x + twin.product("down", let_through) * shape.residual_multiplier
    return normed(x, norm, shape.norm_eps)


@pytest.mark.parametrize("processor", PROCESSORS)
@settings(max_examples=examples(40), deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_rows=st.integers(1, 9),
    n_slots=st.integers(1, 45),
    n_kv_heads=st.integers(1, 3),
    n_shared=st.integers(1, 5),
    head_size=st.sampled_from([16, 32, 64, 128]),
    n_offsets=st.integers(1, 3),
    bits=st.sampled_from([4, 8]),
    is_full=st.booleans(),
    window=st.sampled_from([None, 1, 7]),
)
def test_a_pass_is_that_of_the_twin(
    processor: str, seed: int, n_rows: int, n_slots: int, n_kv_heads: int, n_shared: int,
    head_size: int, n_offsets: int, bits: int, is_full: bool, window: int | None,
) -> None:  # fmt: skip
    torch.manual_seed(seed)
    assume(n_kv_heads * n_shared * head_size % GROUP == 0)
    kernel, n_slots = kernels(processor), max(n_slots, n_rows)
    rotary_dim = head_size // 2 if is_full else head_size
    shape = NativeShape(
        n_kv_heads * n_shared, n_kv_heads, head_size, rotary_dim, 1e-5, 0.7, head_size**-0.5
    )
    width = 64
    twins = [
        Twin.random(kernel, shape, width, 96, bits, is_full, window if layer else None)
        for layer in range(2)
    ]
    norm = torch.randn(width).bfloat16()
    decoder = NativeDecoder(kernel, shape, [twin.parts for twin in twins], norm)
    # the slots of the rows, some keys before, between and behind them, some that nobody sees
    slots = torch.randperm(n_slots)[:n_rows]
    positions = torch.randperm(3 * n_slots)[:n_slots]
    positions[slots] = positions[slots].sort().values
    standing = positions.clone()
    standing[torch.rand(n_slots) < 0.2] = UNSEEN
    standing[slots] = positions[slots]
    rotated_at = positions - torch.randint(0, n_offsets, (n_slots,))
    rotated_at[slots] = positions[slots]
    frequencies = torch.rand(rotary_dim // 2)
    view = AttentionMetadata(
        positions[slots], standing, rotated_at, frequencies, 1.1, shape.attention_scale
    )
    rows = [torch.randn(2, n_kv_heads, n_slots + 5, head_size).bfloat16() for _ in range(3)]
    key_angles = cos_sin(positions[slots], frequencies, 1.1)
    x = torch.randn(n_rows, width)
    copies = (rows[0].clone(), rows[1].clone(), rows[2].clone())
    expected = run_twin(twins, shape, norm, x, NativePass(copies, slots, view, key_angles))
    step = NativePass((rows[0], rows[1], rows[2]), slots, view, key_angles)
    decoder.run(x, step)
    # a number in the middle of two of 8 bits may become either, which a few narrow layers enlarge
    assert float((x - expected).norm() / expected.norm()) < 0.05
    for found, twin in zip(rows, copies, strict=True):
        assert float((found.double() - twin.double()).norm() / twin.double().norm()) < 0.05
        others = torch.ones(n_slots + 5, dtype=torch.bool).index_fill(0, slots, False)
        assert torch.equal(found[:, :, others], twin[:, :, others]), "no other slot is written"


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("size", [1.0, 30.0, 1000.0])
def test_gates_may_be_as_far_from_0_as_they_like(processor: str, size: float) -> None:
    """e to the x is made of whole powers of 2, of which float32 has not enough beyond 88."""
    torch.manual_seed(0)
    kernel, shape, width = kernels(processor), NativeShape(1, 1, 32, 32, 1e-5, 1.0, 0.2), 64
    twin = Twin.random(kernel, shape, width, 512, 8, False, None)
    norm_mlp = torch.full((width,), size).bfloat16()
    twin = replace(twin, parts=replace(twin.parts, norm_mlp=norm_mlp))
    decoder = NativeDecoder(kernel, shape, [twin.parts], torch.ones(width).bfloat16())
    at, angles = torch.tensor([5]), cos_sin(torch.tensor([5]), torch.rand(16), 1.0)
    view = AttentionMetadata(at, at, at, torch.rand(16), 1.0, 0.2)
    rows = [torch.zeros(1, 1, 1, 32).bfloat16() for _ in range(3)]
    step = NativePass((rows[0], rows[1], rows[2]), torch.tensor([0]), view, angles)
    x = torch.randn(1, width)
    expected = run_twin([twin], shape, torch.ones(width).bfloat16(), x, step)
    gates = twin.product("up", normed(torch.randn(1, width), norm_mlp, 1e-5))[:, :512]
    assert size < 1000 or bool((gates < -100).any())
    decoder.run(x, step)
    assert float((x - expected).norm() / expected.norm()) < 0.05


def test_a_row_that_sees_nothing_gives_no_number_that_is_none() -> None:
    kernel = kernels(PROCESSORS[0])
    shape = NativeShape(2, 1, 32, 32, 1e-5, 1.0, 0.2)
    twin = Twin.random(kernel, shape, 64, 96, 4, False, None)
    decoder = NativeDecoder(kernel, shape, [twin.parts], torch.ones(64).bfloat16())
    unseen = torch.full((3,), UNSEEN)
    view = AttentionMetadata(
        torch.tensor([5]), unseen, torch.zeros(3, dtype=torch.int64), torch.rand(16), 1.0, 0.2
    )
    rows = (*(torch.zeros(1, 1, 8, 32).bfloat16() for _ in range(3)),)
    x = torch.randn(1, 64)
    angles = cos_sin(torch.tensor([5]), torch.rand(16), 1.0)
    decoder.run(x, NativePass((rows[0], rows[1], rows[2]), torch.tensor([2]), view, angles))
    assert bool(x.isfinite().all())


@pytest.mark.parametrize(("measured", "expected"), [(None, 5), (2, 2), (9, 5)])
def test_a_kernel_runs_on_as_many_threads_as_were_measured(
    measured: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def kernel(n_threads: ctypes.c_int, _: ctypes.c_void_p) -> int:
        asked.append(n_threads.value)
        return 0

    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    functions: Any = SimpleNamespace(kernel=kernel)
    Library(Path(), functions, ctypes.c_void_p(), measured).run("kernel")
    assert asked == [expected]
