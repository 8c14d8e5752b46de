"""A checkpoint's config.json, checked once and translated to ModelConfig.

Each number is checked before it sizes anything. `checkpoint.py` compares the config with the headers of the weight
files before it reads any weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from warmline_engine.errors import ConfigError
from warmline_engine.model.hub.reading import shown

from .rope import Rope

# far above any model that is served
MAX_LAYERS = 1024
MAX_HEADS = 4096
MAX_HEAD_SIZE = 2048
MAX_WIDTH = 1 << 18  # of the hidden state, of the MLP, and of all heads together
MAX_VOCABULARY = 1 << 22
MAX_POSITIONS = 1 << 30
FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "starcoder2", "granite")


@dataclass(frozen=True, eq=False)
class ModelConfig:
    """A decoder of one of FAMILIES. `windows` has the sliding window of each layer, None for full attention."""

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

        Raises: ConfigError, which names the unsupported feature.
        """
        family = config.get("model_type")
        if not isinstance(family, str) or family not in FAMILIES:
            raise ConfigError(
                f"model type {shown(family)} is not supported; supported: {', '.join(FAMILIES)}"
            )
        take = _Reader(config)
        n_heads = take.count("num_attention_heads", MAX_HEADS)
        width = take.count("hidden_size", MAX_WIDTH)
        head_size = take.count_or("head_dim", MAX_HEAD_SIZE, width // n_heads)
        n_layers = take.count("num_hidden_layers", MAX_LAYERS)
        n_kv_heads = take.count_or("num_key_value_heads", MAX_HEADS, n_heads)
        if not 1 <= head_size <= MAX_HEAD_SIZE or head_size % 2 or n_heads * head_size > MAX_WIDTH:
            raise ConfigError(
                f"config.json: {n_heads} heads of size {head_size} in a width of {width}; expected an even size "
                f"up to {MAX_HEAD_SIZE}, {MAX_WIDTH} in all heads"
            )
        is_starcoder, is_granite = family == "starcoder2", family == "granite"
        activation = config.get("hidden_act", "silu")
        if activation not in ("silu", "gelu_pytorch_tanh", "gelu"):
            raise ConfigError(
                f"activation {shown(activation)} is not supported; supported: silu, gelu"
            )
        has_bias = take.flag("attention_bias", False)
        starcoder_bias = is_starcoder and take.flag("use_bias", True)
        if n_heads % n_kv_heads:
            raise ConfigError(
                f"{n_heads} query heads cannot share {n_kv_heads} key/value heads evenly"
            )

        def granite(name: str) -> float:
            return take.positive(name, 1.0) if is_granite else 1.0

        return cls(
            family=family,
            n_layers=n_layers,
            width=width,
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            head_size=head_size,
            mlp_width=take.count("intermediate_size", MAX_WIDTH),
            n_vocabulary=take.count("vocab_size", MAX_VOCABULARY),
            max_context=take.count("max_position_embeddings", MAX_POSITIONS),
            norm="layer" if is_starcoder else "rms",
            norm_eps=take.positive(
                *(("norm_epsilon", 1e-5) if is_starcoder else ("rms_norm_eps", 1e-6))
            ),
            activation=activation,
            is_gated=not is_starcoder,
            has_qkv_bias=family == "qwen2" or has_bias or starcoder_bias,
            has_out_bias=has_bias or starcoder_bias,
            has_mlp_bias=take.flag("mlp_bias", False) or starcoder_bias,
            has_qk_norm=family == "qwen3",
            is_head_tied=take.flag("tie_word_embeddings", _TIED_BY_DEFAULT.get(family, False)),
            embedding_multiplier=granite("embedding_multiplier"),
            residual_multiplier=granite("residual_multiplier"),
            logits_divisor=granite("logits_scaling"),
            attention_scale=granite("attention_multiplier") if is_granite else head_size**-0.5,
            windows=_windows(take, family, n_layers),
            rope=Rope.from_hugging_face(config, head_size),
        )

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
    """Takes numbers of a config.json.

    Raises, all methods: ConfigError.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def count(self, name: str, most: int) -> int:
        value = self.config.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise ConfigError(
                f"config.json: {name} must be a positive whole number up to {most}, got {shown(value)}"
            )
        return value

    def count_or(self, name: str, most: int, default: int) -> int:
        """The default if the value is missing, null or 0."""
        value = self.config.get(name)
        is_given = value is not None and (isinstance(value, bool) or value != 0)
        return self.count(name, most) if is_given else default

    def flag(self, name: str, default: bool) -> bool:
        value = self.config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise ConfigError(f"config.json: {name} must be true or false, got {shown(value)}")
        return value

    def positive(self, name: str, default: float) -> float:
        value = self.config.get(name, default)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and 0 < value < 1e9:  # NaN is not
            return float(value)
        raise ConfigError(f"config.json: {name} must be a positive number, got {shown(value)}")


def _windows(take: _Reader, family: str, n_layers: int) -> tuple[int | None, ...]:
    window = take.count_or("sliding_window", MAX_POSITIONS, 0)
    if family not in ("qwen2", "qwen3", "mistral", "starcoder2") or not window:
        return (None,) * n_layers
    kinds = take.config.get("layer_types")
    if kinds is not None and family.startswith("qwen"):
        if not isinstance(kinds, list) or len(kinds) != n_layers:
            raise ConfigError(f"config.json: layer_types must be a list of {n_layers} entries")
        return tuple(window if kind == "sliding_attention" else None for kind in kinds)
    if family in ("mistral", "starcoder2"):
        return (window,) * n_layers
    if not take.flag("use_sliding_window", False):
        return (None,) * n_layers
    first = take.config.get("max_window_layers", 28)
    if not isinstance(first, int) or isinstance(first, bool) or first < 0:
        raise ConfigError(
            f"config.json: max_window_layers must be a whole number, got {shown(first)}"
        )
    return tuple(window if first <= layer else None for layer in range(n_layers))
