"""What is refused, with a sentence that says what to do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from warmline_engine.errors import CheckpointError, ConfigError, SourceError, TokenizerError
from warmline_engine.model import checkpoint, random_checkpoint
from warmline_engine.model.hub import sources
from warmline_engine.text.tokenizer import Tokenizer
from warmline_protocol.model_names import is_id, is_whole, typed

SMALL: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 8,
    "vocab_size": 11,
    "max_position_embeddings": 64,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "gpt2"}, "supported: llama, qwen2"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "change with the length"),
        (
            {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}},
            "change with the length",
        ),
        ({"rope_scaling": {"type": "strange"}}, "unknown"),
        ({"rope_scaling": {"type": "linear"}}, "needs a number for 'factor'"),
        ({"hidden_size": "big"}, "positive whole number"),
        ({"num_hidden_layers": 0}, "positive whole number"),
        ({"num_key_value_heads": 3}, "evenly"),
        ({"hidden_act": "relu"}, "not supported"),
    ],
)
def test_a_config_that_is_not_served(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SMALL | change))
    with pytest.raises(ConfigError, match=words):
        checkpoint.read_config(tmp_path)


@pytest.mark.parametrize("content", ["", "[1]", "{", "\udcff"])
def test_a_config_that_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError):
        checkpoint.read_config(tmp_path)


def test_all_wrong_tensors_are_listed(tmp_path: Path) -> None:
    random_checkpoint.write(SMALL, tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.norm.weight"], tensors["lm_head.weight"]
    tensors["model.embed_tokens.weight"] = torch.zeros(3, 16)
    save_file(tensors, path)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(tmp_path)
    for words in (
        "3 tensors",
        "model.norm.weight is missing",
        "lm_head.weight is missing",
        "[3, 16]",
    ):
        assert words in str(caught.value)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    random_checkpoint.write(SMALL, tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="never loads"):
        checkpoint.load(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    random_checkpoint.write(SMALL, tmp_path, shards=2)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="00002-of-00002"):
        checkpoint.load(tmp_path)


def test_a_shard_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    random_checkpoint.write(SMALL, tmp_path / "elsewhere")
    random_checkpoint.write(SMALL, tmp_path / "model", shards=2)
    index = tmp_path / "model" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "../elsewhere/model.safetensors"}}))
    with pytest.raises(CheckpointError, match="lacks"):
        checkpoint.load(tmp_path / "model")


def test_a_file_cut_off_is_named(tmp_path: Path) -> None:
    random_checkpoint.write(SMALL, tmp_path)
    os.truncate(tmp_path / "model.safetensors", 900)
    with pytest.raises(CheckpointError, match="cut off"):
        checkpoint.load(tmp_path)


def test_the_fingerprint_is_the_models(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        random_checkpoint.write(SMALL, tmp_path / name, seed=seed)
    a, b, c = (checkpoint.fingerprint(tmp_path / name) for name in "abc")
    assert (a == b, a == c, len(a)) == (True, False, 12)


@pytest.mark.parametrize("content", [None, "{}", "[]", "{", '{"model": {"type": "Nope"}}'])
def test_a_tokenizer_that_is_none(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    "name", ["nosuch", "/no/such/folder", "a/b/c", "..\\x", "", ".", "..", "./x", "~nobody-here/x"]
)
def test_a_model_that_is_nowhere(name: str) -> None:
    with pytest.raises(SourceError, match="neither"):
        sources.locate(name)


@pytest.mark.parametrize("name", ["owner/name", "Qwen/Qwen2.5-Coder-0.5B", "nosuch", "x", "a/b/c"])
def test_a_folder_of_the_current_one_is_no_model(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_checkpoint.write(SMALL, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    fetched: list[str] = []
    monkeypatch.setattr(sources, "fetch", lambda model, _: fetched.append(model))
    if is_id(name):
        assert sources.locate(name) is None
        assert fetched == [name]
    else:
        with pytest.raises(SourceError, match="neither"):
            sources.locate(name)
    for explicit in (f"./{name}", f"../{tmp_path.name}/{name}"):
        assert sources.locate(typed(explicit)) == tmp_path / name
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sources.locate(f"~/{name}") == tmp_path / name


@given(st.text("a./~\\ :-", max_size=8))
def test_what_somebody_typed_is_changed_only_where_it_begins_in_the_current_folder(
    text: str,
) -> None:
    begins_here = text in (".", "..") or text.startswith(("./", "../"))
    assert (typed(text) != text) == begins_here
    assert not begins_here or is_whole(typed(text))
    assert not (is_id(text) and is_whole(text))


def test_offline_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match="check the connection"):
        sources.locate("nobody-here/no-such-model")


def test_a_card_says_which_layout_serves(tmp_path: Path) -> None:
    assert sources.read_card(tmp_path).layout == "prefix-first"
    (tmp_path / "card.toml").write_text('layout = "suffix-first"')
    assert sources.read_card(tmp_path).layout == "suffix-first"


@pytest.mark.parametrize("content", ["languages = [", 'layout = "sideways"'])
def test_a_card_that_cannot_be_read(content: str, tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text(content)
    with pytest.raises(SourceError):
        sources.read_card(tmp_path)
