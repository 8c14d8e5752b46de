"""Describes a model to the compiled kernels, which run a few rows through all layers in one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from warmline_kernels.decoder import MAX_MASKS, LayerParts, NativeDecoder, NativeShape, Product
from warmline_kernels.native.blocks import Blocks

from .config import ModelConfig
from .layers import Layer, Norm
from .quant.linear import Linear


def decoder_for(config: ModelConfig, layers: Sequence[Layer], norm: Norm) -> NativeDecoder | None:
    """None if the family's layers are not supported or a weight has no copy for the compiled kernels."""
    shape = NativeShape(
        n_heads=config.n_heads,
        n_kv_heads=config.n_kv_heads,
        head_size=config.head_size,
        rotary_dim=2 * len(config.rope.inverse_frequencies),
        norm_eps=config.norm_eps,
        residual_multiplier=config.residual_multiplier,
        attention_scale=config.attention_scale,
    )
    is_known = config.norm == "rms" and config.activation == "silu" and config.is_gated
    if not is_known or not shape.is_served or len(set(config.windows)) > MAX_MASKS:
        return None
    parts = [_parts(layer, window) for layer, window in zip(layers, config.windows, strict=True)]
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    return NativeDecoder(known[0].qkv.weights.library, shape, known, norm.weight)


def _parts(layer: Layer, window: int | None) -> LayerParts | None:
    products = [_product(part) for part in (layer.qkv, layer.out, layer.up, layer.down)]
    if any(product is None for product in products) or layer.norm_in.weight.dtype != torch.bfloat16:
        return None
    qkv, out, up, down = (product for product in products if product is not None)
    return LayerParts(
        qkv,
        out,
        up,
        down,
        norm_in=layer.norm_in.weight,
        norm_mlp=layer.norm_mlp.weight,
        query_norm=layer.query_norm.weight if layer.query_norm else None,
        key_norm=layer.key_norm.weight if layer.key_norm else None,
        window=window,
    )


def _product(part: Linear) -> Product | None:
    return (
        Product(part.decode_weights, part.bias) if isinstance(part.decode_weights, Blocks) else None
    )
