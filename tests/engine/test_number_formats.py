"""Which number format a model's weights get where nobody says one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from warmline_engine.model import random_checkpoint
from warmline_engine.model.hub.sources import EMBEDDED
from warmline_engine.session import loaded_model
from warmline_kernels.native.library import library

SHAPE = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 12288,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    random_checkpoint.write(SHAPE, folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((EMBEDDED / "small" / name).read_bytes())
    return folder


@pytest.mark.parametrize("has_many", [False, True])
def test_without_our_kernels_few_weights_are_exact_and_many_are_small(
    has_many: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_weights = 12288 * 32 + 4 * 32 * 32 + 3 * 32 * 64 + 3 * 32
    monkeypatch.setattr(loaded_model, "FEW_WEIGHTS", n_weights + (not has_many))
    monkeypatch.setattr(loaded_model, "library", lambda: None)
    model = loaded_model.load(str(folder), "cpu")
    found = model.transformer
    assert found.dtype == (torch.bfloat16 if has_many else torch.float32)
    assert (
        found.head.decode_weights is not None and found.head.decode_weights.bits == 8
    ) == has_many


def test_with_our_kernels_all_are_small(folder: Path) -> None:
    if library() is None:
        pytest.skip("the kernels are for Linux on x86-64")
    found = loaded_model.load(str(folder), "cpu").transformer
    assert found.dtype == torch.bfloat16
    assert found.head.decode_weights is not None
    assert found.head.decode_weights.bits == 8
    assert found.supports_fused(1)
