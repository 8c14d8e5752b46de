"""Random models with a real tokenizer, for the engine's tests and those of the laboratory."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from warmline_engine.cache.arena import Arena
from warmline_engine.cache.chunk_cache import ChunkCache
from warmline_engine.decoding.speculative.drafts import DraftCostModel
from warmline_engine.model import random_checkpoint
from warmline_engine.session import loaded_model
from warmline_engine.session.loaded_model import LoadedModel
from warmline_lab.data import tokenizer as own

N_TOKENS = 500
CACHE_BYTES = 2**30
WITHIN_S = 300  # an engine that ends, on a machine that does much else


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
    own.save(
        own.train([inspect.getsource(textwrap) + inspect.getsource(json.decoder)], N_TOKENS), folder
    )
    (folder / "card.toml").write_text('name = "loud"\nlanguages = ["python"]\nlicence = "MIT"\n')
    return folder


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Path:
    """A smaller model that reads the same tokens; its embedding is padded otherwise."""
    folder = tmp_path_factory.mktemp("little")
    config = json.loads((model_folder / "config.json").read_text())
    config |= {"num_hidden_layers": 1, "vocab_size": N_TOKENS + 9}
    random_checkpoint.write(config, folder, seed=5, std=0.2)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model_folder / name, folder)
    (folder / "card.toml").write_text('name = "little"\nlanguages = ["python"]\nlicence = "MIT"\n')
    return folder


@pytest.fixture(scope="session")
def loaded_model_once(model_folder: Path) -> LoadedModel:
    return loaded_model.load(str(model_folder), device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def loaded_small_model_once(small_folder: Path) -> LoadedModel:
    return loaded_model.load(str(small_folder), device="cpu", dtype="float32")


@pytest.fixture
def model(loaded_model_once: LoadedModel) -> LoadedModel:
    """The weights that all tests share, with a cache and draft costs for this test alone."""
    return _with_empty_cache(loaded_model_once)


@pytest.fixture
def small_model(loaded_small_model_once: LoadedModel) -> LoadedModel:
    """As `model`, of the smaller one."""
    return _with_empty_cache(loaded_small_model_once)


def _with_empty_cache(model: LoadedModel) -> LoadedModel:
    arena = Arena(model.arena.shape, CACHE_BYTES)
    chunks = ChunkCache(loaded_model.KEPT_MEBIBYTES * 2**20)
    return replace(model, arena=arena, draft_costs=DraftCostModel(), kept=chunks)


@pytest.fixture(scope="module")
def shared_engine(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Iterator[Path]:
    """An engine that the tests of a module share; it must be alive when they are done."""
    path = tmp_path_factory.mktemp("engine") / "engine.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "warmline_engine.process.service", "--socket", str(path), "--model",
         str(model_folder), "--threads", "1"],
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    while b"listening" not in (line := process.stderr.readline()):
        assert line, "the engine ended"
    drain = threading.Thread(target=process.stderr.read, daemon=True)
    drain.start()
    yield path
    assert process.poll() is None, "the engine died"
    process.terminate()
    process.wait(WITHIN_S)
    drain.join(WITHIN_S)
    process.stderr.close()
