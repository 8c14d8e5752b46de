"""Logits of each family against transformers, on small random checkpoints that are loud enough to hear a fault."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from warmline_engine.model import checkpoint, random_checkpoint
from warmline_engine.model.cold_read import ColdRead

pytestmark = pytest.mark.oracle

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 211,
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}

CASES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama"},
    "llama-tied-biased": {"model_type": "llama", "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True},
    "llama-head-size": {"model_type": "llama", "head_dim": 32},
    "llama-linear": {"model_type": "llama", "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "llama-llama3": {
        "model_type": "llama",
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "qwen2": {"model_type": "qwen2"},
    "qwen2-yarn": {
        "model_type": "qwen2",
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
    },
    "qwen2-window": {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 8,
        "max_window_layers": 1,
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 16},
    "mistral": {"model_type": "mistral", "sliding_window": None},
    "mistral-window": {"model_type": "mistral", "sliding_window": 9},
    "starcoder2": {"model_type": "starcoder2", "sliding_window": None, "use_bias": True},
    "starcoder2-window-tied": {
        "model_type": "starcoder2",
        "sliding_window": 9,
        "use_bias": True,
        "tie_word_embeddings": True,
    },
    "granite": {
        "model_type": "granite",
        "embedding_multiplier": 3.0,
        "attention_multiplier": 0.2,
        "residual_multiplier": 0.3,
        "logits_scaling": 4.0,
    },
}  # fmt: skip

# bf16 keeps 8 bits; attention that rounds its weights (theirs) and one that does not (ours) end up this far
# apart at worst, as a share of the logits' spread
BF16_TOLERANCE = 0.3


def both(
    tmp_path: Path, case: dict[str, Any], dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    from transformers import AutoModelForCausalLM

    config = SMALL | case
    if config["model_type"] == "starcoder2":
        config = config | {"hidden_act": "gelu_pytorch_tanh", "norm_epsilon": 1e-5}
    random_checkpoint.write(config, tmp_path, std=0.2)
    tokens = torch.randint(0, 211, (90,), generator=torch.Generator().manual_seed(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = AutoModelForCausalLM.from_pretrained(
            tmp_path, dtype=dtype, attn_implementation="eager"
        )
    with torch.inference_mode():
        expected = oracle(tokens[None]).logits[0].float()
    model = checkpoint.load(tmp_path, dtype=dtype)
    return ColdRead(model, tokens.tolist(), slice(None)).logits, expected


@pytest.mark.parametrize("name", CASES)
def test_logits_equal_transformers(name: str, tmp_path: Path) -> None:
    ours, expected = both(tmp_path, CASES[name], torch.float32)
    assert float((ours - expected).abs().max()) < 1e-4
    assert torch.equal(ours.argmax(-1), expected.argmax(-1))


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "mistral", "starcoder2", "granite"])
def test_logits_equal_transformers_in_bf16(name: str, tmp_path: Path) -> None:
    ours, expected = both(tmp_path, CASES[name], torch.bfloat16)
    assert float((ours - expected).abs().max() / expected.std()) < BF16_TOLERANCE


def test_partial_rotary_turns_only_its_share() -> None:
    from warmline_engine.model.rope import Rope

    rope = Rope.from_hugging_face({"rope_theta": 10000.0, "partial_rotary_factor": 0.5}, 64)
    assert rope.inverse_frequencies.shape == (16,)


def test_sharded_weights_are_the_same_model(tmp_path: Path) -> None:
    config = SMALL | CASES["qwen2"]
    random_checkpoint.write(config, tmp_path / "one")
    random_checkpoint.write(config, tmp_path / "many", shards=3)
    tokens = list(range(20))
    logits = [
        ColdRead(checkpoint.load(tmp_path / name), tokens, slice(None)).logits
        for name in ("one", "many")
    ]
    assert torch.equal(*logits)


def test_the_written_config_is_what_was_asked_for(tmp_path: Path) -> None:
    random_checkpoint.write(SMALL | CASES["granite"], tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["logits_scaling"] == 4.0
