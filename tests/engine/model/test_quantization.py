"""Weights with few bits: what is stored is what is read, and anything else is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from warmline_engine.errors import CheckpointError, ConfigError
from warmline_engine.model import checkpoint, random_checkpoint
from warmline_engine.model.cold_read import ColdRead
from warmline_engine.model.quant.quantization import Scheme, pack, rounded

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 64,
    "vocab_size": 50,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}


def one_by_one(weight: torch.Tensor, scheme: Scheme) -> torch.Tensor:
    """The slow twin: a group at a time, in Python's numbers."""
    lowest = -(2 ** (scheme.bits - 1))

    def nearest(value: float, scale: float) -> int:
        return max(lowest, min(-lowest - 1, round(value / scale)))

    def stored(scale: float) -> float:
        return float(torch.tensor(scale).half()) or 2.0**-24

    found: list[float] = []
    for row in weight.tolist():
        for begin in range(0, len(row), scheme.group_size):
            group = row[begin : begin + scheme.group_size]
            first = stored(max(group, key=abs) / lowest)
            codes = [nearest(value, first) for value in group]
            square = sum(code * code for code in codes)
            product = sum(code * value for code, value in zip(codes, group, strict=True))
            scale = stored(product / square) if square else 2.0**-24
            found += [nearest(value, scale) * scale for value in group]
    return torch.tensor(found).view_as(weight)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group_size", [2, 16, 32])
@pytest.mark.parametrize("spread", [0.02, 3.0])
def test_packing_equals_its_reference(bits: int, group_size: int, spread: float) -> None:
    weight = torch.randn(7, 64, generator=torch.Generator().manual_seed(bits)) * spread
    weight[0] = 0
    weight[1, :40] = 0
    scheme = Scheme(bits, group_size)
    expected = one_by_one(weight, scheme)
    # float32 sums round otherwise than Python's: a scale may be the next float16
    step = weight.abs().amax() * 2.0**-9
    assert float((pack(weight, scheme).unpacked() - expected).abs().max()) < step


@given(seed=st.integers(0, 1000), bits=st.sampled_from([4, 8]))
def test_training_sees_what_is_stored(seed: int, bits: int) -> None:
    weight = torch.randn(5, 32, generator=torch.Generator().manual_seed(seed)) ** 3
    scheme = Scheme(bits, 16)
    packed = pack(weight, scheme)
    assert torch.equal(packed.unpacked(), rounded(weight, scheme))
    assert packed.codes.dtype == (torch.uint8 if bits == 4 else torch.int8)
    # no weight is further from its code than half a step, or than what the clamped end costs
    distance = (packed.unpacked() - weight).abs().unflatten(1, (-1, 16))
    assert bool((distance <= packed.scales.float().abs()[:, :, None] * 1.01).all())


def write(folder: Path, scheme: Scheme | None) -> None:
    """A random model, plain or stored with a scheme what the plain one becomes by it."""
    random_checkpoint.write(CONFIG, folder, std=0.1)
    if scheme is None:
        return
    tensors: dict[str, torch.Tensor] = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        tensors |= scheme.stored(name, weight)
    save_file(tensors, folder / "model.safetensors")
    config = CONFIG | {"quantization_config": scheme.describe()}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("scheme", [Scheme(4, 16), Scheme(4, 32), Scheme(8, 32)])
def test_a_packed_model_is_the_rounded_one(scheme: Scheme, tmp_path: Path) -> None:
    write(tmp_path / "packed", scheme)
    write(tmp_path / "plain", None)
    path = tmp_path / "plain/model.safetensors"
    weights = load_file(path)
    save_file(
        {
            n: rounded(w, scheme) if w.ndim == 2 else w.bfloat16().float()
            for n, w in weights.items()
        },
        path,
    )
    ours, expected = (
        ColdRead(checkpoint.load(tmp_path / name), list(range(30)), slice(None)).logits
        for name in ("packed", "plain")
    )
    assert torch.equal(ours, expected)
    read = checkpoint.read_weights(tmp_path / "packed")
    for name, weight in load_file(path).items():
        assert torch.equal(read[name], weight), name
    size = (tmp_path / "packed/model.safetensors").stat().st_size
    assert size < path.stat().st_size * (scheme.bits + 16 / scheme.group_size) / 32 + 6000


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"quant_method": "gptq", "bits": 4}, "'gptq' is not supported"),
        ("int4", "'int4' is not supported"),
        ({"quant_method": "warmline", "bits": 3, "group_size": 16}, "4 or 8, got 3"),
        ({"quant_method": "warmline", "bits": 4}, "even number, got None"),
        ({"quant_method": "warmline", "bits": 4, "group_size": 15}, "even number, got 15"),
        ({"quant_method": "warmline", "bits": 4, "group_size": 24}, "do not divide"),
    ],
)
def test_a_quantization_that_is_not_served(entry: object, words: str, tmp_path: Path) -> None:
    write(tmp_path, Scheme(4, 16))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"quantization_config": entry}))
    with pytest.raises(ConfigError, match=words):
        checkpoint.load(tmp_path)


def test_all_that_is_wrong_in_a_packed_file_is_listed(tmp_path: Path) -> None:
    write(tmp_path, Scheme(4, 16))
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.embed_tokens.weight.scales"]
    name = "model.layers.0.mlp.down_proj.weight.codes"
    tensors[name] = tensors[name].to(torch.int8)
    name = "model.layers.1.mlp.down_proj.weight.codes"
    tensors[name] = tensors[name][:, :8].contiguous()
    save_file(tensors, path)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(tmp_path)
    for words in (
        "3 tensors",
        "embed_tokens.weight.scales is missing",
        "0.mlp.down_proj.weight.codes is I8, expected U8",
        "1.mlp.down_proj.weight.codes is [32, 8], expected [32, 32]",
    ):
        assert words in str(caught.value)


def test_plain_weights_where_packed_ones_are_said(tmp_path: Path) -> None:
    write(tmp_path, None)
    config = CONFIG | {"quantization_config": Scheme(8, 16).describe()}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"weight\.codes is missing"):
        checkpoint.load(tmp_path)
