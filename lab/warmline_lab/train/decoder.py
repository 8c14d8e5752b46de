"""The decoder as it is trained: the Llama family, lean enough that torch.compile fuses it well.

Weights are float32 and cast to the working type where they are used; their names are Hugging Face's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from warmline_kernels.cpu import has_bfloat16

# what config.json calls a shape's sizes
SHAPE_KEYS = {
    "n_tokens": "vocab_size",
    "width": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "head_size": "head_dim",
    "mlp_width": "intermediate_size",
    "rope_theta": "rope_theta",
    "max_context": "max_position_embeddings",
}


@dataclass(frozen=True)
class ModelShape:
    n_tokens: int
    width: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_size: int
    mlp_width: int
    rope_theta: float
    max_context: int

    def hugging_face(self) -> dict[str, object]:
        """The config.json that any reader of the Llama family takes."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            **{key: getattr(self, name) for name, key in SHAPE_KEYS.items()},
            "rms_norm_eps": 1e-5,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": 0,
            "torch_dtype": "bfloat16",
        }

    def describe(self) -> dict[str, object]:
        return asdict(self)


def working_type(device: torch.device) -> torch.dtype:
    """What products are made in: bf16, and float32 on a CPU that would emulate it many times slower."""
    return torch.bfloat16 if device.type != "cpu" or has_bfloat16() else torch.float32


class TrainableDecoder(nn.Module):
    """Logit losses of a batch of sequences."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        d, hd = shape.width, shape.head_size
        sizes = {
            "self_attn.q_proj": (shape.n_heads * hd, d),
            "self_attn.k_proj": (shape.n_kv_heads * hd, d),
            "self_attn.v_proj": (shape.n_kv_heads * hd, d),
            "self_attn.o_proj": (d, shape.n_heads * hd),
            "mlp.gate_proj": (shape.mlp_width, d),
            "mlp.up_proj": (shape.mlp_width, d),
            "mlp.down_proj": (d, shape.mlp_width),
        }
        self.weights: dict[str, nn.Parameter] = {}
        self._add("model.embed_tokens.weight", torch.randn(shape.n_tokens, d) * 0.02)
        for layer in range(shape.n_layers):
            root = f"model.layers.{layer}."
            for name, size in sizes.items():
                is_out = name.endswith(("o_proj", "down_proj"))
                std = 0.02 if is_out else size[1] ** -0.5
                self._add(f"{root}{name}.weight", torch.randn(size) * std)
            self._add(root + "input_layernorm.weight", torch.ones(d))
            self._add(root + "post_attention_layernorm.weight", torch.ones(d))
        self._add("model.norm.weight", torch.ones(d))
        frequencies = shape.rope_theta ** (-torch.arange(0, hd, 2).float() / hd)
        angles = torch.outer(torch.arange(shape.max_context).float(), frequencies)
        self.register_buffer("cos", angles.cos()[:, None, :], persistent=False)
        self.register_buffer("sin", angles.sin()[:, None, :], persistent=False)

    def _add(self, name: str, value: Tensor) -> None:
        parameter = nn.Parameter(value)
        self.weights[name] = parameter
        self.register_parameter(name.replace(".", "/"), parameter)

    def forward(self, tokens: Tensor, targets: Tensor, positions: Tensor | None = None) -> Tensor:
        """The loss of each target in nats, 0 where it is ignored.

        Shapes: tokens and targets [B, T], positions [T] → [B, T].
        """
        hidden = self.hidden(tokens, positions)
        embedding = self.weights["model.embed_tokens.weight"].to(hidden.dtype)
        logits = F.linear(hidden, embedding).float()
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(
            targets.shape
        )

    def hidden(self, tokens: Tensor, positions: Tensor | None = None) -> Tensor:
        """Normalised outputs of the last layer. Shapes: [B, T] → [B, T, width] in the working type."""
        shape, w = self.shape, self.weights
        n_rows, n_tokens = tokens.shape
        where = slice(n_tokens) if positions is None else positions
        cos, sin = self.get_buffer("cos")[where], self.get_buffer("sin")[where]
        embedding = w["model.embed_tokens.weight"]
        x = F.embedding(tokens, embedding).to(working_type(embedding.device))
        for layer in range(shape.n_layers):
            root = f"model.layers.{layer}."

            def linear(y: Tensor, name: str, root: str = root) -> Tensor:
                return F.linear(y, w[f"{root}{name}.weight"].to(y.dtype))

            y = norm(x, w[root + "input_layernorm.weight"])
            q = linear(y, "self_attn.q_proj").view(n_rows, n_tokens, -1, shape.head_size)
            k = linear(y, "self_attn.k_proj").view(n_rows, n_tokens, -1, shape.head_size)
            v = linear(y, "self_attn.v_proj").view(n_rows, n_tokens, -1, shape.head_size)
            q, k = turn(q, cos, sin), turn(k, cos, sin)
            shared = shape.n_heads // shape.n_kv_heads
            k, v = k.repeat_interleave(shared, 2), v.repeat_interleave(shared, 2)
            seen = F.scaled_dot_product_attention(
                q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True
            )
            x = x + linear(seen.transpose(1, 2).flatten(2), "self_attn.o_proj")
            y = norm(x, w[root + "post_attention_layernorm.weight"])
            x = x + linear(
                F.silu(linear(y, "mlp.gate_proj")) * linear(y, "mlp.up_proj"), "mlp.down_proj"
            )
        return norm(x, w["model.norm.weight"])


def norm(x: Tensor, weight: Tensor) -> Tensor:
    """RMS norm, in float32. Shapes: x [..., width], weight [width] → [..., width] in the type of x."""
    y = x.float()
    y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-5)
    return (y * weight).to(x.dtype)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Heads turned to their positions. Shapes: x [B, T, H, D], cos and sin [T, 1, D/2] → as x."""
    low, high = x.float().chunk(2, dim=-1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1).to(x.dtype)
