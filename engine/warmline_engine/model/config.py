"""What a checkpoint's config.json says, checked once, in our words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from warmline_engine.errors import ConfigError

from .rope import Rope

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "starcoder2", "granite")


@dataclass(frozen=True, eq=False)
class ModelConfig:
    """A decoder of one of FAMILIES. `windows` holds a layer's sliding window, None where it sees all."""

    family: str
    n_layers: int
    width: int
    n_heads: int
    n_kv_heads: int
    head_size: int
    mlp_width: int
    n_vocabulary: int
    max_context: int
    norm: Literal["rms", "layer"]
    norm_eps: float
    activation: str
    is_gated: bool
    has_qkv_bias: bool
    has_out_bias: bool
    has_mlp_bias: bool
    has_qk_norm: bool
    is_head_tied: bool
    embedding_multiplier: float
    residual_multiplier: float
    logits_divisor: float
    attention_scale: float
    windows: tuple[int | None, ...]
    rope: Rope

    @classmethod
    def from_hugging_face(cls, config: dict[str, Any]) -> ModelConfig:
        """Reads a config.json.

        Raises: ConfigError, saying what is not served.
        """
        family = config.get("model_type")
        if family not in FAMILIES:
            raise ConfigError(
                f"model type {family!r} is not served; served are {', '.join(FAMILIES)}"
            )
        take = _Reader(config)
        n_heads, width = take.count("num_attention_heads"), take.count("hidden_size")
        head_size = config.get("head_dim") or width // n_heads
        n_layers = take.count("num_hidden_layers")
        is_starcoder, is_granite = family == "starcoder2", family == "granite"
        activation = config.get("hidden_act", "silu")
        if activation not in ("silu", "gelu_pytorch_tanh", "gelu"):
            raise ConfigError(f"activation {activation!r} is not served; served are silu and gelu")
        has_bias = bool(config.get("attention_bias", False))
        starcoder_bias = is_starcoder and bool(config.get("use_bias", True))
        n_kv_heads = config.get("num_key_value_heads") or n_heads
        if n_heads % n_kv_heads:
            raise ConfigError(
                f"{n_heads} query heads cannot share {n_kv_heads} key/value heads evenly"
            )
        return cls(
            family=family,
            n_layers=n_layers,
            width=width,
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            head_size=head_size,
            mlp_width=take.count("intermediate_size"),
            n_vocabulary=take.count("vocab_size"),
            max_context=take.count("max_position_embeddings"),
            norm="layer" if is_starcoder else "rms",
            norm_eps=_norm_eps(config, is_starcoder),
            activation=activation,
            is_gated=not is_starcoder,
            has_qkv_bias=family == "qwen2" or has_bias or starcoder_bias,
            has_out_bias=has_bias or starcoder_bias,
            has_mlp_bias=bool(config.get("mlp_bias", False)) or starcoder_bias,
            has_qk_norm=family == "qwen3",
            is_head_tied=bool(config.get("tie_word_embeddings", _TIED_BY_DEFAULT.get(family, False))),
            embedding_multiplier=float(config.get("embedding_multiplier", 1.0)) if is_granite else 1.0,
            residual_multiplier=float(config.get("residual_multiplier", 1.0)) if is_granite else 1.0,
            logits_divisor=float(config.get("logits_scaling", 1.0)) if is_granite else 1.0,
            attention_scale=float(config.get("attention_multiplier", 1.0)) if is_granite else head_size**-0.5,
            windows=_windows(config, family, n_layers),
            rope=Rope.from_hugging_face(config, head_size),
        )  # fmt: skip

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """The tensors that a checkpoint of this config has, by their Hugging Face names."""
        d, m = self.width, self.mlp_width
        q, kv = self.n_heads * self.head_size, self.n_kv_heads * self.head_size
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.n_vocabulary, d)}
        norm = ("weight", "bias") if self.norm == "layer" else ("weight",)
        mlp = {"gate_proj": (m, d), "up_proj": (m, d), "down_proj": (d, m)}
        if not self.is_gated:
            mlp = {"c_fc": (m, d), "c_proj": (d, m)}
        for layer in range(self.n_layers):
            root = f"model.layers.{layer}."
            for name, rows, columns, has_bias in (
                ("q_proj", q, d, self.has_qkv_bias),
                ("k_proj", kv, d, self.has_qkv_bias),
                ("v_proj", kv, d, self.has_qkv_bias),
                ("o_proj", d, q, self.has_out_bias),
            ):
                shapes[f"{root}self_attn.{name}.weight"] = (rows, columns)
                if has_bias:
                    shapes[f"{root}self_attn.{name}.bias"] = (rows,)
            for name, shape in mlp.items():
                shapes[f"{root}mlp.{name}.weight"] = shape
                if self.has_mlp_bias:
                    shapes[f"{root}mlp.{name}.bias"] = shape[:1]
            for part in norm:
                shapes[f"{root}input_layernorm.{part}"] = (d,)
                shapes[f"{root}post_attention_layernorm.{part}"] = (d,)
            if self.has_qk_norm:
                shapes[f"{root}self_attn.q_norm.weight"] = (self.head_size,)
                shapes[f"{root}self_attn.k_norm.weight"] = (self.head_size,)
        for part in norm:
            shapes[f"model.norm.{part}"] = (d,)
        if not self.is_head_tied:
            shapes["lm_head.weight"] = (self.n_vocabulary, d)
        return shapes


# what transformers assumes where a config.json is silent
_TIED_BY_DEFAULT = {"starcoder2": True}


class _Reader:
    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    def count(self, name: str) -> int:
        value = self._config.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"config.json: {name} must be a positive whole number, got {value!r}")
        return value


def _norm_eps(config: dict[str, Any], is_starcoder: bool) -> float:
    return float(
        config.get("norm_epsilon", 1e-5) if is_starcoder else config.get("rms_norm_eps", 1e-6)
    )


def _windows(config: dict[str, Any], family: str, n_layers: int) -> tuple[int | None, ...]:
    window = config.get("sliding_window")
    if family not in ("qwen2", "qwen3", "mistral", "starcoder2") or not window:
        return (None,) * n_layers
    kinds = config.get("layer_types")
    if kinds is not None and family.startswith("qwen"):
        return tuple(window if kind == "sliding_attention" else None for kind in kinds)
    if family in ("mistral", "starcoder2"):
        return (window,) * n_layers
    if not config.get("use_sliding_window", False):
        return (None,) * n_layers
    first = config.get("max_window_layers", 28)
    return tuple(window if first <= layer else None for layer in range(n_layers))
