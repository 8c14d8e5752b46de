"""An encoder of the user's own against transformers, one text at a time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from warmline_engine.errors import CheckpointError
from warmline_engine.retrieval import search_command
from warmline_engine.retrieval.index.hidden_encoder import MODE, HiddenEncoder

TEXTS = [
    "def parse(text): return text",
    "class Reader:\n    pass\n",
    "x = 1",
    "return sum(one.size for one in parts) " * 6,
]
MARKS = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>",
         "unk_token": "<unk>"}  # fmt: skip


def write_encoder(folder: Path, with_mode: bool = False, safe: bool = True) -> Path:
    """A random model of RoBERTa's shape that reads 32 tokens, as a folder of transformers."""
    # slow to import: not where every worker collects the tests
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    torch.manual_seed(3)
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    special = ["<s>", "<pad>", "</s>", "<unk>", *([MODE] if with_mode else [])]
    trainer: Any = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **MARKS).save_pretrained(folder)
    shape = RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=34, pad_token_id=1,
    )  # fmt: skip
    model = RobertaModel(shape)
    if safe:
        model.save_pretrained(folder)
    else:
        shape.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def slow_vector(folder: Path, text: str, with_mode: bool) -> np.ndarray:
    """By hand: blocks of 32 tokens that overlap by half, means of their states, one block after the other."""
    from transformers import PreTrainedTokenizerFast, RobertaModel

    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder)
    model: Any = RobertaModel.from_pretrained(folder).eval()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    room = 28 if with_mode else 30
    total, begin = np.zeros(24), 0
    while True:
        before = [0, tokenizer.convert_tokens_to_ids(MODE), 2] if with_mode else [0]
        block = [*before, *ids[begin : begin + room], 2]
        with torch.inference_mode():
            states = model(input_ids=torch.tensor([block])).last_hidden_state[0]
        mean = states.double().mean(0).numpy()
        total += mean / np.linalg.norm(mean)
        if begin + room >= len(ids):
            return total / np.linalg.norm(total)
        begin += room // 2


@pytest.mark.parametrize("with_mode", [False, True])
def test_a_vector_is_the_mean_of_its_blocks_whatever_stands_beside_it(
    with_mode: bool, tmp_path: Path
) -> None:
    encoder = HiddenEncoder(write_encoder(tmp_path, with_mode))
    assert encoder.n_dimensions == 24
    found = encoder.encode([*TEXTS, ""])
    assert found.shape == (5, 24)
    for text, vector in zip(TEXTS, found[:4], strict=True):
        assert np.allclose(vector, slow_vector(tmp_path, text, with_mode), atol=1e-5), text
        assert np.allclose(vector, encoder.encode([text])[0], atol=1e-5), text
    assert not found[4].any(), "there is nothing in it"


def test_the_end_of_a_long_text_is_not_cut_off(tmp_path: Path) -> None:
    encoder = HiddenEncoder(write_encoder(tmp_path))
    long = TEXTS[3]
    one, other = encoder.encode([long, long[:-4] + "list"])
    assert not np.allclose(one, other, atol=1e-4)


def test_two_encoders_are_told_apart(tmp_path: Path) -> None:
    one = HiddenEncoder(write_encoder(tmp_path / "one"))
    other = HiddenEncoder(write_encoder(tmp_path / "other", with_mode=True))
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint == HiddenEncoder(tmp_path / "one").fingerprint


def test_pickles_and_other_folders_are_no_encoders(tmp_path: Path) -> None:
    for folder in (write_encoder(tmp_path / "pickled", safe=False), tmp_path):
        with pytest.raises(CheckpointError, match="safetensors"):
            HiddenEncoder(folder)


def test_without_transformers_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(CheckpointError, match="pip install transformers"):
        HiddenEncoder(tmp_path)


def test_a_search_takes_an_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    project = tmp_path / "project"
    project.mkdir()
    (project / "reader.py").write_text("def parse(text):\n    return text.split()\n")
    encoder = write_encoder(tmp_path / "encoder")
    options = ["parse", "--path", str(project), "--encoder"]
    assert search_command.main([*options, str(encoder)]) == 0
    assert "reader.py:1" in capsys.readouterr().out
    assert search_command.main([*options, str(tmp_path)]) == 1
    assert "is not a readable encoder" in capsys.readouterr().err
