"""Vectors against sums by hand; the encoder that ships, and files that are not one."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from warmline_engine.errors import CheckpointError
from warmline_engine.model import checkpoint
from warmline_engine.model.hub.sources import EMBEDDED, ENCODER
from warmline_engine.retrieval.index import encoder_file
from warmline_engine.retrieval.index.encoder import Bags, WordEncoder
from warmline_engine.retrieval.index.words import words_of
from warmline_engine.text.tokenizer import Tokenizer

SMALL = EMBEDDED / "small"
TOKENIZER = Tokenizer.load(SMALL)
TABLE = np.random.default_rng(1).normal(size=(TOKENIZER.n_vocabulary, 5)).astype(np.float32)


def slow_vector(text: str) -> list[float]:
    counts: dict[int, int] = {}
    name = ""
    for character in f"{text} ":
        if character.isalnum() or character == "_":
            name += character
            continue
        name = name.lstrip("0123456789")
        if name:
            found = words_of(name)
            for part in found[1:] if len(found) > 1 else found:
                for token in TOKENIZER.encode(f" {part}").ids:
                    counts[token] = counts.get(token, 0) + 1
        name = ""
    total = [0.0] * 5
    for token, count in counts.items():
        for k in range(5):
            total[k] += math.log(1 + count) * float(TABLE[token, k])
    length = math.sqrt(sum(x * x for x in total))
    return [x / length for x in total] if length else total


@given(st.lists(st.text("aB_1 .\n(é", max_size=30), max_size=4))
def test_a_vector_is_the_sum_of_its_words(texts: list[str]) -> None:
    found = WordEncoder(TABLE, TOKENIZER, "test").encode(texts)
    assert found.shape == (len(texts), 5)
    assert found.dtype == np.float32
    for vector, text in zip(found, texts, strict=True):
        assert np.allclose(vector, slow_vector(text), atol=1e-5)


def test_spelling_does_not_matter() -> None:
    bags = Bags(TOKENIZER)
    one, other = bags.of("read_config = readConfig"), bags.of("ReadConfig READ config")
    assert one[0].tolist() == other[0].tolist()
    assert one[1].tolist() == other[1].tolist()


def test_the_one_that_ships_knows_what_belongs_together() -> None:
    encoder = encoder_file.load()
    assert encoder is not None
    assert (SMALL / ENCODER).stat().st_size < 200_000
    asked, near, far = encoder.encode(
        [
            "Removes a folder with everything in it.",
            "def rmtree(path):\n    for entry in os.scandir(path):\n        os.unlink(entry.path)\n",
            "def mean(values):\n    return sum(values) / len(values)\n",
        ]
    )
    assert np.linalg.norm(asked) == pytest.approx(1, abs=1e-5)
    assert asked @ near > asked @ far + 0.1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        shutil.copyfile(SMALL / name, tmp_path / name)
    return tmp_path


def test_other_weights_have_no_encoder(folder: Path) -> None:
    tensors = {"weights": torch.zeros(12288), "projection": torch.zeros(192, 4)}
    save_file(tensors, folder / ENCODER, {"model": "of another model"})
    assert encoder_file.load(folder) is None
    # it is not one of the model's weights
    assert checkpoint.fingerprint(folder) == checkpoint.fingerprint(SMALL)


@pytest.mark.parametrize(
    ("weights", "projection", "words"),
    [((12288,), (191, 4), "fit it anew"), ((3,), (192, 4), "fit it anew"), ((1, 2), (3, 4), "a vector and a matrix")],
)  # fmt: skip
def test_shapes_that_do_not_fit(
    folder: Path, weights: tuple[int, ...], projection: tuple[int, ...], words: str
) -> None:
    tensors = {"weights": torch.zeros(weights), "projection": torch.zeros(projection)}
    save_file(tensors, folder / ENCODER, {"model": checkpoint.fingerprint(folder)})
    with pytest.raises(CheckpointError, match=words):
        encoder_file.load(folder)


@pytest.mark.parametrize("content", [None, b"", b"\x10" * 40])
def test_a_file_that_cannot_be_read(folder: Path, content: bytes | None) -> None:
    if content is not None:
        (folder / ENCODER).write_bytes(content)
    with pytest.raises(CheckpointError, match="install warmline again"):
        encoder_file.load(folder)
