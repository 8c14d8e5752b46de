"""The decoder's forward pass, for every family served, over one sequence.

It computes queries, keys and values and leaves what is seen to `attend`, which stores keys and values
where it wants. Queries and keys are handed over unrotated: a position is no business of a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from warmline_kernels.choose import kernels_for
from warmline_kernels.decoder import MAX_ROWS, NativeDecoder, NativePass

from .config import ModelConfig
from .fused_layers import decoder_for
from .layers import Layer, Norm
from .quant.linear import Linear

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""attend(layer, queries [T, Hq, D], keys [T, Hk, D], values [T, Hk, D]) -> [T, Hq, D]"""


class Transformer:
    """A loaded model. Nothing in it changes."""

    def __init__(
        self, config: ModelConfig, embedding: Tensor, layers: list[Layer], norm: Norm, head: Linear
    ) -> None:
        self.config = config
        self._embedding = embedding  # [V, width]
        self._layers = layers
        self._norm = norm
        self.head = head  # [V, width]
        self._kernels = kernels_for(embedding.device)

    @cached_property
    def _decoder(self) -> NativeDecoder | None:
        return decoder_for(self.config, self._layers, self._norm)

    @cached_property
    def _n_at_once(self) -> int:
        if self._decoder is None:
            return 0
        return min(MAX_ROWS, *(part.few_rows for part in self.parts()))

    @property
    def dtype(self) -> torch.dtype:
        return self._embedding.dtype

    @property
    def device(self) -> torch.device:
        return self._embedding.device

    @property
    def n_weights(self) -> int:
        """Weights that one pass reads."""
        return self.head.n_weights + sum(part.n_weights for part in self.parts())

    def parts(self, n_weights: int | None = None) -> list[Linear]:
        """The layers' matrices, of so many first layers as have n_weights together, of all without."""
        found: list[Linear] = []
        for layer in self._layers:
            if n_weights is not None and n_weights <= sum(part.n_weights for part in found):
                break
            found += [layer.qkv, layer.out, layer.up, layer.down]
        return found

    def with_few_rows(self, few_rows: int) -> Transformer:
        """The same model, its copies for few rows used for products of so many."""

        def part(part: Linear) -> Linear:
            return replace(part, few_rows=few_rows)

        layers = [
            replace(
                layer,
                qkv=part(layer.qkv),
                out=part(layer.out),
                up=part(layer.up),
                down=part(layer.down),
            )
            for layer in self._layers
        ]
        return Transformer(self.config, self._embedding, layers, self._norm, part(self.head))

    def supports_fused(self, n_rows: int) -> bool:
        """Whether so many rows can go through the layers in one call."""
        return n_rows <= self._n_at_once

    @torch.inference_mode()
    def forward_at_once(self, tokens: Tensor, step: NativePass, n_logits: int) -> Tensor:
        """As `forward`, in one call of the kernels, which write keys and values and attend to them.

        Shapes: tokens [T] int64 → the logits of the last n_logits [n_logits, V] float32.
        """
        assert self._decoder is not None
        x = F.embedding(tokens, self._embedding).float()
        if self.config.embedding_multiplier != 1.0:
            x *= self.config.embedding_multiplier
        self._decoder.run(x, step)
        if not n_logits:
            return torch.empty(0, self.config.n_vocabulary)
        last = x[len(x) - n_logits :]
        return self._logits(last if self.head.decode_weights is not None else last.to(self.dtype))

    @torch.inference_mode()
    def forward(self, tokens: Tensor, attend: Attend, logits_for: slice | Tensor | None) -> Tensor:
        """Runs tokens through all layers; the logits of the chosen ones, none with None.

        Shapes: tokens [T] int64 → [n, V] float32.
        """
        config = self.config
        x = F.embedding(tokens, self._embedding)
        if config.embedding_multiplier != 1.0:
            x = x * config.embedding_multiplier
        n_tokens, head_size = len(tokens), config.head_size
        n_q, n_kv = config.n_heads, config.n_kv_heads
        added: Tensor | None = None  # what the layer before adds, which goes with the next norm
        for index, layer in enumerate(self._layers):
            x, normed = self._normed(x, added, layer.norm_in)
            heads = layer.qkv(normed).view(n_tokens, -1, head_size)
            q, k, v = heads.split((n_q, n_kv, n_kv), dim=1)
            if layer.query_norm is not None and layer.key_norm is not None:
                q, k = (
                    self._normed_alone(q, layer.query_norm),
                    self._normed_alone(k, layer.key_norm),
                )
            seen = attend(index, q, k, v)
            x, normed = self._normed(x, layer.out(seen.reshape(n_tokens, -1)), layer.norm_mlp)
            added = self._mlp(normed, layer)
        if logits_for is None:
            return torch.empty(0, config.n_vocabulary)
        assert added is not None, "a model has layers"
        _, normed = self._normed(x[logits_for], added[logits_for], self._norm)
        return self._logits(normed)

    def _logits(self, x: Tensor) -> Tensor:
        logits = self.head(x).float()
        return logits / self.config.logits_divisor if self.config.logits_divisor != 1.0 else logits

    def _mlp(self, x: Tensor, layer: Layer) -> Tensor:
        up = layer.up(x)
        if not self.config.is_gated:
            return layer.down(self._activate(up))
        if self.config.activation == "silu":
            return layer.down(self._kernels.swiglu(up))
        gate, up = up.chunk(2, dim=-1)
        return layer.down(self._activate(gate) * up)

    def _activate(self, x: Tensor) -> Tensor:
        if self.config.activation == "silu":
            return F.silu(x)
        tanh = self.config.activation == "gelu_pytorch_tanh"
        return F.gelu(x, approximate="tanh" if tanh else "none")

    def _normed(self, x: Tensor, added: Tensor | None, norm: Norm) -> tuple[Tensor, Tensor]:
        """x with what is added to it, and the norm of that. Shapes: [T, width]."""
        scale = self.config.residual_multiplier
        if self.config.norm == "rms":
            return self._kernels.add_rms_norm(x, added, scale, norm.weight, self.config.norm_eps)
        if added is not None:
            x = x + added if scale == 1.0 else x + added * scale
        return x, self._normed_alone(x, norm)

    def _normed_alone(self, x: Tensor, norm: Norm) -> Tensor:
        if self.config.norm == "layer":
            return F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, self.config.norm_eps)
        return F.rms_norm(x, norm.weight.shape, norm.weight, self.config.norm_eps)
