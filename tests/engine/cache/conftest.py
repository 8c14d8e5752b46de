from __future__ import annotations

import pytest
import torch

from tests.support.sequences import DEVICE, SHAPE
from warmline_engine.cache.arena import Arena, RowShape
from warmline_engine.cache.sequence import KVSequence
from warmline_engine.model import checkpoint, random_checkpoint
from warmline_engine.model.transformer import Transformer


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    """A random model, loud enough that a wrong key is heard."""
    folder = tmp_path_factory.mktemp("model")
    random_checkpoint.write(SHAPE, folder, std=0.2)
    return checkpoint.load(folder, DEVICE)


@pytest.fixture
def arena(model: Transformer) -> Arena:
    config = model.config
    shape = RowShape(config.n_layers, config.n_kv_heads, config.head_size, torch.float32, DEVICE)
    return Arena(shape, 256 * 2**20)


@pytest.fixture
def sequence(model: Transformer, arena: Arena) -> KVSequence:
    return KVSequence(model, arena)
