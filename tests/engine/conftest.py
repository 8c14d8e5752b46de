from __future__ import annotations

import inspect
import json
import textwrap
from pathlib import Path

import pytest

from warmline_engine import loaded_model
from warmline_engine.loaded_model import LoadedModel
from warmline_engine.model import random_checkpoint
from warmline_engine.training import tokenizer as own

N_TOKENS = 500


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model in a folder: random and loud weights, a real tokenizer with fill-in-the-middle tokens."""
    folder = tmp_path_factory.mktemp("loud")
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 96,
        "vocab_size": N_TOKENS + 4,  # padded, as many embeddings are
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
    }
    random_checkpoint.write(config, folder, std=0.2)
    own.save(own.train([inspect.getsource(textwrap) + inspect.getsource(json.decoder)], N_TOKENS), folder)
    (folder / "card.toml").write_text('name = "loud"\nlanguages = ["python"]\nlicence = "MIT"\n')
    return folder


@pytest.fixture
def model(model_folder: Path) -> LoadedModel:
    return loaded_model.load(str(model_folder), device="cpu", dtype="float32")
