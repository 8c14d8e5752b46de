"""One pass of few rows through all layers in one call, for models whose layers native/decode_pass.h supports."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from warmline_kernels.native.blocks import Blocks, Matrix
from warmline_kernels.native.library import Library
from warmline_kernels.view import AttentionMetadata

# rows of a pass: what bounds the memory for intermediate values, 20 MB for the shape of a 0.5B model
MAX_ROWS = 1024
LONG_ROWS = 16  # a pass of more rows lasts long enough that every thread helps
MAX_MASKS = 2


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, Matrix) for name in ("qkv", "out", "up", "down")),
        *((name, ctypes.c_void_p) for name in ("norm_in", "norm_mlp", "query_norm", "key_norm")),
        ("mask", ctypes.c_int32),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        ("layers", ctypes.POINTER(_Layer)),
        ("norm", ctypes.c_void_p),
        *(
            (name, ctypes.c_int32)
            for name in ("n_layers", "width", "n_heads", "n_kv_heads", "head_size", "n_mlp", "rotary_dim")
        ),
        *((name, ctypes.c_float) for name in ("norm_eps", "residual_multiplier", "attention_scale")),
    )  # fmt: skip


class _Pass(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("x", "unrotated", "rotated", "values", "slots")),
        *((name, ctypes.c_void_p) for name in ("key_cos", "key_sin", "query_cos", "query_sin")),
        ("offset_of", ctypes.c_void_p),
        ("masks", ctypes.c_void_p * MAX_MASKS),
        *((name, ctypes.c_int64) for name in ("n_rows", "n_slots", "slot_capacity", "n_offsets")),
    )  # fmt: skip


@dataclass(frozen=True)
class Product:
    weights: Blocks
    bias: Tensor | None  # [out] bf16


@dataclass(frozen=True)
class LayerParts:
    """Shapes: as warmline_engine.model.transformer.Layer; norms [width] or [head size] bf16."""

    qkv: Product
    out: Product
    up: Product  # gates and what they let through
    down: Product
    norm_in: Tensor
    norm_mlp: Tensor
    query_norm: Tensor | None
    key_norm: Tensor | None
    window: int | None


@dataclass(frozen=True)
class NativeShape:
    n_heads: int
    n_kv_heads: int
    head_size: int
    rotary_dim: int  # of a head's dimensions, how many the rotary factor turns
    norm_eps: float
    residual_multiplier: float
    attention_scale: float

    @property
    def is_served(self) -> bool:
        """Whether a head fills whole registers of all supported processors."""
        return self.head_size % 16 == 0 and self.rotary_dim % 2 == 0


@dataclass(frozen=True)
class NativePass:
    """The positions and slots of a pass's tokens, and what they attend to. The view's slots are the first of `rows`.

    Shapes: rows are unrotated and rotated keys, and values, [L, Hk, slots, D] bf16; slots [T] int64; key_angles are
    cosines and sines [T, R/2] float32.
    """

    rows: tuple[Tensor, Tensor, Tensor]
    slots: Tensor
    view: AttentionMetadata
    key_angles: tuple[Tensor, Tensor]


class NativeDecoder:
    """The layers and the final norm of a model with SwiGLU and RMS norms. Immutable."""

    def __init__(
        self, library: Library, shape: NativeShape, layers: Sequence[LayerParts], norm: Tensor
    ) -> None:
        windows = list(dict.fromkeys(layer.window for layer in layers))
        assert shape.is_served, shape
        assert len(windows) <= MAX_MASKS, windows
        self._library = library
        self._windows = windows
        self._kept = (layers, norm)  # what the addresses below lead to
        self._layers = (_Layer * len(layers))(
            *(_described(layer, windows.index(layer.window)) for layer in layers)
        )
        first = layers[0]
        self._model = _Model(
            layers=self._layers,
            norm=norm.data_ptr(),
            n_layers=len(layers),
            width=first.qkv.weights.n_in,
            n_heads=shape.n_heads,
            n_kv_heads=shape.n_kv_heads,
            head_size=shape.head_size,
            n_mlp=first.down.weights.n_in,
            rotary_dim=shape.rotary_dim,
            norm_eps=shape.norm_eps,
            residual_multiplier=shape.residual_multiplier,
            attention_scale=shape.attention_scale,
        )
        sizes = (ctypes.c_int * 4)()
        library.functions.warmline_sizes(sizes)
        ours = [ctypes.sizeof(each) for each in (Matrix, _Layer, _Model, _Pass)]
        assert list(sizes) == ours, (list(sizes), ours)

    def run(self, x: Tensor, step: NativePass) -> None:
        """Runs embedded tokens through all layers, and writes their keys and values into their slots.

        Shapes: x [T, width] float32.
        Modifies: x, which becomes the normed output of the last layer, and the step's rows.
        """
        assert x.is_contiguous()
        assert all(part.is_contiguous() and part.dtype == torch.bfloat16 for part in step.rows)
        unrotated, rotated, values = step.rows
        view = step.view
        query_cos, query_sin = (angles.contiguous() for angles in view.query_angles)
        key_cos, key_sin = (angles.contiguous() for angles in step.key_angles)
        n_offsets = len(query_cos)
        offset_of = view.group_of.contiguous() if n_offsets > 1 else None
        masks = [view.mask(window) for window in self._windows]
        addresses = (None if mask is None else mask.data_ptr() for mask in masks)
        call = _Pass(
            x=x.data_ptr(),
            unrotated=unrotated.data_ptr(),
            rotated=rotated.data_ptr(),
            values=values.data_ptr(),
            slots=step.slots.data_ptr(),
            key_cos=key_cos.data_ptr(),
            key_sin=key_sin.data_ptr(),
            query_cos=query_cos.data_ptr(),
            query_sin=query_sin.data_ptr(),
            offset_of=None if offset_of is None else offset_of.data_ptr(),
            masks=(ctypes.c_void_p * MAX_MASKS)(*addresses),
            n_rows=len(x),
            n_slots=len(view.key_positions),
            slot_capacity=values.shape[2],
            n_offsets=n_offsets,
        )
        is_long = len(x) > LONG_ROWS
        self._library.run(
            "warmline_pass", ctypes.byref(self._model), ctypes.byref(call), is_long=is_long
        )


def _described(layer: LayerParts, mask: int) -> _Layer:
    def address(weight: Tensor | None) -> int | None:
        return None if weight is None else weight.data_ptr()

    return _Layer(
        qkv=layer.qkv.weights.matrix(layer.qkv.bias),
        out=layer.out.weights.matrix(layer.out.bias),
        up=layer.up.weights.matrix(layer.up.bias),
        down=layer.down.weights.matrix(layer.down.bias),
        norm_in=address(layer.norm_in),
        norm_mlp=address(layer.norm_mlp),
        query_norm=address(layer.query_norm),
        key_norm=address(layer.key_norm),
        mask=mask,
    )
