"""The slow, obvious reference for the cache: encodes all tokens in order and keeps nothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from warmline_kernels.reference import apply_rotary
from warmline_kernels.view import cos_sin

from .transformer import Transformer


class ColdRead:
    """The logits and the unrotated keys and values of a whole sequence.

    Shapes: logits [n, V], keys and values [L, T, Hk, D].
    """

    def __init__(self, model: Transformer, tokens: list[int], logits_for: slice) -> None:
        self._model = model
        positions = torch.arange(len(tokens), device=model.device)
        rope = model.config.rope
        cos, sin = cos_sin(
            positions, rope.inverse_frequencies.to(model.device), rope.attention_factor
        )
        self._angles = cos[:, None], sin[:, None]
        self._distance = positions[:, None] - positions[None, :]
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        ids = torch.tensor(tokens, dtype=torch.int64, device=model.device)
        self.logits = model.forward(ids, self._attend, logits_for)
        self.keys, self.values = torch.stack(self._keys), torch.stack(self._values)

    def _attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self._keys.append(k)
        self._values.append(v)
        window = self._model.config.windows[layer]
        mask = None if window is None else (self._distance >= 0) & (self._distance < window)
        out = F.scaled_dot_product_attention(
            apply_rotary(q, *self._angles).transpose(0, 1)[None],
            apply_rotary(k, *self._angles).transpose(0, 1)[None],
            v.transpose(0, 1)[None],
            attn_mask=mask,
            is_causal=mask is None,
            scale=self._model.config.attention_scale,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        return out[0].transpose(0, 1)
