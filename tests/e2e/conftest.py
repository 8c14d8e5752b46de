"""A real server on standard input and output, and a real engine behind it."""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.editor import (
    Opener,
    editor,
    home_in,
)
from warmline_engine.model import random_checkpoint
from warmline_lab.data import tokenizer as own


@pytest.fixture(scope="session")
def loud_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with a real tokenizer; it says nonsense, and says it always."""
    return _model(tmp_path_factory.mktemp("loud"), "loud", 3)


@pytest.fixture(scope="session")
def little_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smaller one that reads the same tokens."""
    return _model(tmp_path_factory.mktemp("little"), "little", 1)


def _model(folder: Path, name: str, n_layers: int) -> Path:
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": n_layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 96,
        "vocab_size": 500,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
    }
    random_checkpoint.write(config, folder, std=0.2)
    sample = inspect.getsource(textwrap) + inspect.getsource(json.decoder)
    own.save(own.train([sample], 500), folder)
    (folder / "card.toml").write_text(f'name = "{name}"\nlanguages = ["python"]\nlicence = "MIT"\n')
    return folder


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An environment for one test."""
    with home_in(tmp_path_factory.mktemp("h")) as environment:
        yield environment


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An environment, and so an engine, for all tests of a file."""
    with home_in(tmp_path_factory.mktemp("h")) as environment:
        yield environment


def _opener(home: dict[str, str], model: Path) -> Opener:
    def open_window(
        ready: str = "ready", *, client: dict[str, Any] | None = None, **options: Any
    ) -> Any:
        return editor(home, {"model": str(model), **options}, ready, **(client or {}))

    return open_window


@pytest.fixture
def window(shared_home: dict[str, str], loud_model: Path) -> Opener:
    """Opens editor windows; their engine is shared with other tests."""
    return _opener(shared_home, loud_model)


@pytest.fixture
def lone_window(home: dict[str, str], loud_model: Path) -> Opener:
    """Opens editor windows that share an engine of their own."""
    return _opener(home, loud_model)
