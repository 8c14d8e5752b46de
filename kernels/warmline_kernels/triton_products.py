"""Products of few rows with weights in 8 or 4 bits, in Triton, with the signatures of the functions in `reference`.

Memory is the limit, so all that counts is that each weight is read once. Always sixteen rows go through, those that are
not there as zeros, and how a sum is split depends on the weights alone: a row's result is the same to the bit
however many others there are.
"""

# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportPossiblyUnboundVariable=false, reportGeneralTypeIssues=false
# as in triton_kernels; triton's ranges are no iterators to the types

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import reference
from .native.blocks import GROUP
from .nibbles import RUN
from .triton_kernels import factor_of, processors_of

MAX_ROWS = 16  # what a tensor core multiplies at least; more are worth unpacking the weights for
BLOCK_OUT = 32  # outputs of a program
PROGRAMS_A_PROCESSOR = 4  # while one loads, others multiply


@triton.jit
def _inputs(x, rows, n_rows, ins, n_in, x_t):
    is_there = (rows < n_rows)[:, None] & (ins < n_in)[None, :]
    return tl.load(x + rows[:, None] * x_t + ins[None, :], mask=is_there, other=0.0)


@triton.jit
def _keep(sums, out, rows, n_rows, outs, n_out, split):
    place = (split * n_rows + rows[:, None]).to(tl.int64) * n_out + outs[None, :]
    is_there = (rows < n_rows)[:, None] & (outs < n_out)[None, :]
    tl.store(out + place, sums.to(out.dtype.element_ty), mask=is_there)


@triton.jit(do_not_specialize=["n_rows"])
def _product_8(
    x, codes, scales, out, n_rows, n_in, n_out, split_in, x_t,
    ROWS: tl.constexpr, OUT: tl.constexpr, IN: tl.constexpr, FACTOR: tl.constexpr,
):  # fmt: skip
    split = tl.program_id(1)
    outs, rows = tl.program_id(0) * OUT + tl.arange(0, OUT), tl.arange(0, ROWS)
    is_out = outs < n_out
    first = split * split_in
    sums = tl.zeros((ROWS, OUT), tl.float32)
    for start in range(first, tl.minimum(first + split_in, n_in), IN):
        ins = start + tl.arange(0, IN)
        code = codes + outs.to(tl.int64)[None, :] * n_in + ins[:, None]
        weights = tl.load(code, mask=is_out[None, :] & (ins < n_in)[:, None], other=0)
        given = _inputs(x, rows, n_rows, ins, n_in, x_t).to(FACTOR)
        # whole numbers up to 127 are exact in bf16
        sums = tl.dot(given, weights.to(FACTOR), acc=sums, input_precision="ieee")
    scale = tl.load(scales + outs, mask=is_out, other=0.0).to(tl.float32)
    _keep(sums * scale[None, :], out, rows, n_rows, outs, n_out, split)


@triton.jit(do_not_specialize=["n_rows"])
def _product_4(
    x, codes, scales, zeros, out, n_rows, n_in, n_out, split_in, x_t, codes_o,
    ROWS: tl.constexpr, OUT: tl.constexpr, IN: tl.constexpr, IN_GROUP: tl.constexpr, FACTOR: tl.constexpr,
):  # fmt: skip
    half: tl.constexpr = IN // 2
    n_shared: tl.constexpr = half // IN_GROUP  # groups in a half
    split = tl.program_id(1)
    outs, rows = tl.program_id(0) * OUT + tl.arange(0, OUT), tl.arange(0, ROWS)
    is_out = (outs < n_out)[None, :]
    n_groups = n_in // IN_GROUP
    kind = x.dtype.element_ty
    code = codes + outs.to(tl.int64)[None, :] * codes_o + tl.arange(0, half)[:, None]
    group = outs.to(tl.int64)[None, :] * n_groups + tl.arange(0, n_shared)[:, None]
    first = split * split_in
    sums = tl.zeros((ROWS, OUT), tl.float32)
    for start in range(first, tl.minimum(first + split_in, n_in), IN):
        both = tl.load(code + start // 2, mask=is_out, other=0)
        for high in tl.static_range(2):
            begin = start + high * half
            nibbles = (both >> 4) if high else (both & 15)
            at = begin // IN_GROUP
            is_group = is_out & ((at + tl.arange(0, n_shared))[:, None] < n_groups)
            scale = tl.load(scales + group + at, mask=is_group, other=0.0).to(tl.float32)
            zero = tl.load(zeros + group + at, mask=is_group, other=0.0).to(tl.float32)
            scale = tl.broadcast_to(scale[:, None, :], (n_shared, IN_GROUP, OUT))
            zero = tl.broadcast_to(zero[:, None, :], (n_shared, IN_GROUP, OUT))
            weights = nibbles.to(tl.float32) - 8.0
            weights = weights * tl.reshape(scale, (half, OUT)) + tl.reshape(zero, (half, OUT))
            given = _inputs(x, rows, n_rows, begin + tl.arange(0, half), n_in, x_t).to(FACTOR)
            weights = weights.to(kind).to(FACTOR)
            sums = tl.dot(given, weights, acc=sums, input_precision="ieee")
    _keep(sums, out, rows, n_rows, outs, n_out, split)


@triton.jit(do_not_specialize=["n_splits"])
def _added_up(parts, out, n_splits, n_numbers, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_there = at < n_numbers
    total = tl.zeros((BLOCK,), tl.float32)
    for split in range(n_splits):
        total += tl.load(parts + split * n_numbers + at, mask=is_there, other=0.0)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=is_there)


def int8_matmul(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """As `reference.int8_matmul`; the weights are not rounded in between."""
    if len(x) > MAX_ROWS or len(x) == 0:
        return reference.int8_matmul(x, codes, scales)
    x = x if x.stride(1) == 1 else x.contiguous()
    n_splits, split_in = _split(len(codes), x.shape[1], processors_of(x.device))
    parts = _parts(x, n_splits, len(codes))
    _product_8[(triton.cdiv(len(codes), BLOCK_OUT), n_splits)](
        x, codes, scales, parts, len(x), x.shape[1], len(codes), split_in, x.stride(0),
        ROWS=MAX_ROWS, OUT=BLOCK_OUT, IN=RUN, FACTOR=factor_of(x),
    )  # fmt: skip
    return _whole(parts, x.dtype)


def int4_matmul(x: Tensor, codes: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    """As `reference.int4_matmul`."""
    if len(x) > MAX_ROWS or len(x) == 0:
        return reference.int4_matmul(x, codes, scales, zeros)
    x = x if x.stride(1) == 1 else x.contiguous()
    n_splits, split_in = _split(len(codes), x.shape[1], processors_of(x.device))
    parts = _parts(x, n_splits, len(codes))
    _product_4[(triton.cdiv(len(codes), BLOCK_OUT), n_splits)](
        x, codes, scales, zeros, parts, len(x), x.shape[1], len(codes), split_in, x.stride(0), codes.stride(0),
        ROWS=MAX_ROWS, OUT=BLOCK_OUT, IN=RUN, IN_GROUP=GROUP, FACTOR=factor_of(x),
    )  # fmt: skip
    return _whole(parts, x.dtype)


def _split(n_out: int, n_in: int, n_processors: int) -> tuple[int, int]:
    """Into how many splits the inputs go, so that all processors have work; and the inputs of each, whole runs."""
    n_runs = triton.cdiv(n_in, RUN)
    wanted = triton.cdiv(n_processors * PROGRAMS_A_PROCESSOR, triton.cdiv(n_out, BLOCK_OUT))
    runs = triton.cdiv(n_runs, max(1, min(wanted, n_runs)))
    return triton.cdiv(n_runs, runs), runs * RUN


def _parts(x: Tensor, n_splits: int, n_out: int) -> Tensor:
    """Where the splits' sums go; with one split, the result."""
    dtype = x.dtype if n_splits == 1 else torch.float32
    return torch.empty(n_splits, len(x), n_out, dtype=dtype, device=x.device)


def _whole(parts: Tensor, dtype: torch.dtype) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    out = torch.empty(parts.shape[1:], dtype=dtype, device=parts.device)
    block = 256
    _added_up[(triton.cdiv(out.numel(), block),)](parts, out, len(parts), out.numel(), BLOCK=block)
    return out
