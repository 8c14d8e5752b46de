"""The search for a small model's shape: what is listed fits and could not be deeper, and what is tried is measured."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.training import ROOT
from warmline_engine.model.hub.sources import EMBEDDED
from warmline_engine.model.quant.quantization import Scheme
from warmline_lab.train import shapes, train
from warmline_lab.train.decoder import ModelShape


@pytest.fixture
def small() -> ModelShape:
    return ModelShape(**tomllib.loads((ROOT / "lab/training/small.toml").read_text())["shape"])


@pytest.mark.parametrize("most_bytes", [2_000_000, shapes.MAX_BYTES, 10_000_000])
def test_candidates_fit_and_could_not_be_deeper(small: ModelShape, most_bytes: int) -> None:
    storage = Scheme(4, 16)
    found = list(shapes.candidates(small, storage, most_bytes))
    assert found
    for tried in found:
        deeper = replace(tried.shape, n_layers=tried.shape.n_layers + 1)
        assert tried.n_bytes <= most_bytes
        is_deepest = tried.shape.n_layers == shapes.MAX_LAYERS
        assert is_deepest or most_bytes < shapes.n_bytes_of(deeper, storage)
        assert tried.shape.n_heads % tried.shape.n_kv_heads == 0
        assert tried.shape.max_context == small.max_context
    widths = [tried.shape.width for tried in found]
    assert widths == sorted(widths)


def test_the_shape_that_ships_is_a_candidate_and_counted_as_its_file(small: ModelShape) -> None:
    found = {tried.shape: tried for tried in shapes.candidates(small, Scheme(4, 16))}
    file = EMBEDDED / "small/model.safetensors"
    assert found[small].n_bytes == pytest.approx(file.stat().st_size, rel=0.01)


def test_a_shape_is_tried(work: Path) -> None:
    config = tomllib.loads((work / "tiny.toml").read_text())
    config["storage"] = {"bits": 4, "group_size": 4}
    like = ModelShape(**config["shape"])
    # twice: the same tokens for each
    one, other = (
        shapes.trained(shapes.described(shape, Scheme(4, 4)), config, train.Texts.of(work), 3)
        for shape in (like, replace(like, n_layers=3))
    )
    assert one.n_tokens == other.n_tokens > 0
    assert one.n_products < other.n_products
    for tried in (one, other):
        assert min(tried.bits_per_byte, tried.spm_bits_per_byte, tried.token_ms) > 0
