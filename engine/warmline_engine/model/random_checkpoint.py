"""Random checkpoints of a true shape: stand-ins for big models in benchmarks and tests.

`python -m warmline_engine.model.random_checkpoint qwen2.5-coder-0.5b OUT`
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from .config import ModelConfig
from .hub.sources import EMBEDDED

SHAPES: dict[str, dict[str, Any]] = {
    "qwen2.5-coder-0.5b": {
        "model_type": "qwen2",
        "hidden_size": 896,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "intermediate_size": 4864,
        "vocab_size": 151936,
        "max_position_embeddings": 32768,
        "rope_theta": 1000000.0,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
    }
}


def write(
    config: dict[str, Any],
    folder: Path,
    std: float = 0.2,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    shards: int = 1,
) -> None:
    """Writes config.json and random weights; norms are near 1, so that no signal dies or explodes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    random = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for name, shape in ModelConfig.from_hugging_face(config).tensor_shapes().items():
        value = torch.randn(shape, generator=random, dtype=torch.float32) * std
        is_norm = "norm" in name and name.endswith("weight")
        tensors[name] = (1 + value if is_norm else value).to(dtype)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(tensors)
    weight_map: dict[str, str] = {}
    for k in range(shards):
        file = f"model-{k + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[k::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    write(SHAPES[arguments.shape], arguments.out, std=0.03, dtype=torch.bfloat16)
    # its own tokenizer cannot be had here; the embedded one makes tokens of code as well
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (arguments.out / name).write_bytes((EMBEDDED / "small" / name).read_bytes())


if __name__ == "__main__":
    main()
