"""Which number format a model's weights get where nobody says one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from warmline_engine import loaded_model
from warmline_engine.model import random_checkpoint
from warmline_engine.model.sources import EMBEDDED

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
def test_few_weights_are_exact_and_many_are_small(
    has_many: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_weights = 12288 * 32 + 4 * 32 * 32 + 3 * 32 * 64 + 3 * 32
    monkeypatch.setattr(loaded_model, "FEW_WEIGHTS", n_weights + (not has_many))
    model = loaded_model.load(str(folder), "cpu")
    found = model.transformer
    assert found.dtype == (torch.bfloat16 if has_many else torch.float32)
    assert (found.head.few is not None and found.head.few.bits == 8) == has_many


@pytest.mark.parametrize(("few", "bits"), [("", 8), ("int4", 4)])
def test_a_card_may_name_the_format_that_decodes(
    few: str, bits: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_model, "FEW_WEIGHTS", 0)
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model/card.toml").write_text(f'few = "{few}"')
    model = loaded_model.load(str(tmp_path / "model"), "cpu")
    few_of_first = model.transformer.parts()[0].few
    assert few_of_first is not None
    assert few_of_first.bits == bits
