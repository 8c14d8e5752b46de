"""Model folders that somebody made to do harm, or that are damaged: refused with a sentence, before memory grows."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from warmline_engine.errors import (
    CheckpointError,
    ConfigError,
    ModelError,
    SourceError,
    TokenizerError,
)
from warmline_engine.model import checkpoint, random_checkpoint
from warmline_engine.model.config import ModelConfig
from warmline_engine.model.hub import library, sources
from warmline_engine.text import tokenizer as tokenizers
from warmline_engine.text.tokenizer import Tokenizer
from warmline_engine.text.tokenizer_check import is_explosive

MEBIBYTE = 2**20
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
YARN = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
NO_NUMBERS: list[Any] = [
    "big",
    None,
    [],
    {},
    True,
    1.5,
    -1,
    10**9,
    10**400,
    float("nan"),
    float("inf"),
]

COUNTS = [
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
]  # fmt: skip
CONFIGS: list[dict[str, Any]] = [
    *({name: value} for name in COUNTS for value in NO_NUMBERS),
    *({"max_position_embeddings": value} for value in NO_NUMBERS if value != 10**9),
    *({name: value} for name in ("head_dim", "num_key_value_heads") for value in ("2", [], True, -2, 10**10, 1.5)),
    {"head_dim": 7},
    {"hidden_size": 2, "num_attention_heads": 4, "num_key_value_heads": 4},
    {"num_attention_heads": 4096, "num_key_value_heads": 4096, "head_dim": 2048},
    {"rms_norm_eps": "small"}, {"rms_norm_eps": float("nan")}, {"rms_norm_eps": -1.0}, {"rms_norm_eps": []},
    {"attention_bias": "no"}, {"mlp_bias": 1}, {"tie_word_embeddings": "false"},
    {"hidden_act": ["silu"]}, {"hidden_act": {}}, {"model_type": ["llama"]}, {"model_type": {}},
    {"model_type": "x" * 10**5},
    {"model_type": "mistral", "sliding_window": -1}, {"model_type": "mistral", "sliding_window": "8"},
    {"model_type": "mistral", "sliding_window": 1.5}, {"model_type": "mistral", "sliding_window": [8]},
    {"model_type": "qwen2", "sliding_window": 8, "layer_types": "full"},
    {"model_type": "qwen2", "sliding_window": 8, "layer_types": ["sliding_attention"] * 3},
    {"model_type": "qwen2", "sliding_window": 8, "use_sliding_window": "yes"},
    {"model_type": "qwen2", "sliding_window": 8, "use_sliding_window": True, "max_window_layers": []},
    *({"model_type": "granite", name: value} for name in
      ("embedding_multiplier", "residual_multiplier", "logits_scaling", "attention_multiplier")
      for value in (0, "1", float("inf"), float("nan"), [], 10**400)),
    {"rope_theta": "far"}, {"rope_theta": 0}, {"rope_theta": -1.0}, {"rope_theta": float("nan")},
    {"rope_theta": 10**400},
    {"partial_rotary_factor": 0}, {"partial_rotary_factor": 1e9}, {"partial_rotary_factor": -1},
    {"partial_rotary_factor": "half"}, {"partial_rotary_factor": 0.01},
    {"rope_scaling": "yarn"}, {"rope_scaling": []}, {"rope_parameters": 3},
    {"rope_scaling": {"rope_type": ["yarn"]}},
    {"rope_scaling": {"rope_type": "linear", "factor": 0}},
    {"rope_scaling": {"rope_type": "linear", "factor": float("nan")}},
    *({"rope_scaling": YARN | change} for change in
      ({"factor": "2"}, {"factor": -1}, {"original_max_position_embeddings": -4}, {"beta_fast": "x"},
       {"mscale": "x", "mscale_all_dim": 1}, {"attention_factor": [1]}, {"beta_slow": -1})),
    *({"rope_scaling": LLAMA3 | change} for change in
      ({"factor": 0}, {"low_freq_factor": 4.0}, {"high_freq_factor": "x"})),
]  # fmt: skip


def peak_of_refusal(folder: Path, wrong: type[ModelError]) -> tuple[str, int]:
    """What is said of a model, and the most bytes that were taken meanwhile."""
    tracemalloc.start()
    try:
        with pytest.raises(wrong) as caught:
            checkpoint.load(folder)
        return str(caught.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("change", CONFIGS, ids=lambda change: str(change)[:60])
def test_a_hostile_config_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SMALL | change))
    message, peak = peak_of_refusal(tmp_path, ConfigError)
    assert len(message) < 600
    assert peak < 2 * MEBIBYTE


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
names = st.sampled_from([
    *COUNTS, "max_position_embeddings", "head_dim", "num_key_value_heads", "rms_norm_eps", "rope_theta",
    "rope_scaling", "rope_parameters", "sliding_window", "layer_types", "use_sliding_window", "hidden_act",
    "partial_rotary_factor", "attention_bias", "tie_word_embeddings", "logits_scaling", "max_window_layers",
])  # fmt: skip
families = st.sampled_from(["llama", "qwen2", "qwen3", "mistral", "starcoder2", "granite"])


@given(families, st.dictionaries(names, json_values, max_size=3))
def test_any_config_is_one_or_is_refused(family: str, change: dict[str, Any]) -> None:
    try:
        config = ModelConfig.from_hugging_face(SMALL | {"model_type": family} | change)
    except ConfigError:
        return
    assert len(config.windows) == config.n_layers
    assert bool(torch.isfinite(config.rope.inverse_frequencies).all())


# ---- weights


def header(entries: dict[str, Any], n_bytes: int = 0) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(n_bytes)


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


NAME = "model.embed_tokens.weight"
WEIGHTS: dict[str, bytes] = {
    "empty": b"",
    "a part of the length": b"\x01\x02",
    "a length beyond the file": struct.pack("<Q", 10**6) + b"{}",
    "a length of 2**63": struct.pack("<Q", 2**63) + b"{}",
    "no JSON": header({})[:8] + b"xx",
    "a list": struct.pack("<Q", 2) + b"[]",
    "an offset beyond the file": header({NAME: entry([11, 16], 0, 704)}, 10),
    "a shape that does not fit its bytes": header({NAME: entry([10**9, 10**9], 0, 4)}, 4),
    "a shape that overflows": header({NAME: entry([2**40, 2**40], 0, 4)}, 4),
    "a negative shape": header({NAME: entry([-1, 4], 0, 4)}, 4),
    "an end before its begin": header({NAME: entry([1], 4, 0)}, 4),
    "tensors that overlap": header({NAME: entry([1], 0, 4), "b": entry([1], 2, 6)}, 6),
    "a hole": header({NAME: entry([1], 0, 4), "b": entry([1], 8, 12)}, 12),
    "another dtype than its bytes": header({NAME: entry([11, 16], 0, 704, "F64")}, 704),
    "an unknown dtype": header({NAME: entry([1], 0, 4, "F99")}, 4),
    "an honest file of other tensors": header({"b": entry([1], 0, 4)}, 4),
    "whole numbers for weights": header({NAME: entry([11, 16], 0, 704, "I32")}, 704),
    "nested": struct.pack("<Q", 20_000) + b"[" * 20_000,
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_hostile_weights_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS[name])
    message, peak = peak_of_refusal(tmp_path, CheckpointError)
    assert len(message) < 3000
    assert peak < 2 * MEBIBYTE


def test_weights_of_whole_numbers_are_refused(tmp_path: Path) -> None:
    random_checkpoint.write(SMALL, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"].to(torch.int32)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight is I32"):
        checkpoint.load(tmp_path)


def test_a_header_over_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    length = checkpoint.MAX_HEADER_BYTES + 1
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", length))
        file.truncate(length + 100)
    message, peak = peak_of_refusal(tmp_path, CheckpointError)
    assert "a header of" in message
    assert peak < MEBIBYTE


def test_a_config_larger_than_its_weights_takes_no_memory(tmp_path: Path) -> None:
    random_checkpoint.write(SMALL, tmp_path)
    large = SMALL | {"num_hidden_layers": 1000, "hidden_size": 2**17, "head_dim": 64}
    (tmp_path / "config.json").write_text(json.dumps(large))
    message, peak = peak_of_refusal(tmp_path, CheckpointError)
    assert "and 8983 more" in message
    assert len(message) < 3000
    assert peak < 16 * MEBIBYTE


INDEXES: list[Any] = [
    "../elsewhere/model.safetensors", "/etc/passwd", "..", ".", "", "a/../b.safetensors", "a\\b.safetensors",
    "C:model.safetensors", "a\0.safetensors", "config.json", "model.bin", 5, None, [], {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_names_safetensors_files_of_its_folder(name: Any, tmp_path: Path) -> None:
    random_checkpoint.write(SMALL, tmp_path / "elsewhere")
    random_checkpoint.write(SMALL, tmp_path / "model", shards=2)
    index = tmp_path / "model/model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": name}}))
    with pytest.raises(CheckpointError, match=r"lacks|names 0 files"):
        checkpoint.load(tmp_path / "model")


@pytest.mark.parametrize(
    "index", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', "[" * 10**5, "{"]
)
def test_an_index_that_is_none(index: str, tmp_path: Path) -> None:
    random_checkpoint.write(SMALL, tmp_path, shards=2)
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ModelError):
        checkpoint.load(tmp_path)


def test_thousands_of_shards_are_refused_before_one_is_opened(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    shards = {str(k): f"model-{k}.safetensors" for k in range(checkpoint.MAX_SHARDS + 1)}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(CheckpointError, match="1001 files"):
        checkpoint.load(tmp_path)


# ---- files that are none

FILES = {
    "config.json": ConfigError,
    "model.safetensors": CheckpointError,
    "tokenizer.json": TokenizerError,
    "card.toml": SourceError,
}


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there are no devices")
@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_regular_file_is_refused(name: str, kind: str, tmp_path: Path) -> None:
    random_checkpoint.write(SMALL, tmp_path)
    path = tmp_path / name
    path.unlink(missing_ok=True)
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(FILES[name], match="regular"):
        read(name, tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "card.toml"])
def test_a_file_of_a_size_beyond_reason_is_not_read(name: str, tmp_path: Path) -> None:
    random_checkpoint.write(SMALL, tmp_path)
    with (tmp_path / name).open("wb") as file:
        file.truncate(2**34)
    tracemalloc.start()
    with pytest.raises(FILES[name], match="at most"):
        read(name, tmp_path)
    assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
    tracemalloc.stop()


def read(name: str, folder: Path) -> None:
    if name == "tokenizer.json":
        Tokenizer.load(folder)
    elif name == "card.toml":
        sources.read_card(folder)
    else:
        checkpoint.load(folder)


@pytest.mark.parametrize(
    "content",
    [
        'languages = "python"',
        "languages = [1]",
        "a = " + "[" * 10**4,
        'layout = ["prefix-first"]',
        "\udcff",
    ],
)
def test_a_hostile_card_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(SourceError):
        sources.read_card(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        {"num_attention_heads": 0, "hidden_size": 1},
        {"num_attention_heads": 1, "hidden_size": "x"},
        [],
        {},
    ],
)
def test_a_config_of_no_use_has_no_memory_need(config: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert library._cache_bytes(tmp_path) == 0


# ---- tokenizers


def description(**more: Any) -> dict[str, Any]:
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
    return {"version": "1.0", "added_tokens": [], "model": model, **more}


def bpe(**more: Any) -> dict[str, Any]:
    return description(model=description()["model"] | more)


def test_the_plain_description_is_taken() -> None:
    found = Tokenizer(description())
    assert (found.encode("ab").ids, found.n_vocabulary) == ([2], 3)


def split(pattern: str) -> dict[str, Any]:
    step = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return description(pre_tokenizer=step)


def replacing(n: int) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": "a"}, "content": "b" * n}


NO_TOKENIZERS: list[dict[str, Any]] = [
    bpe(type="Nope"), bpe(vocab=[]), bpe(vocab={"a": -1}), bpe(vocab={"a": "0"}), bpe(vocab={"a": True}),
    bpe(vocab={"a": 2**31}), bpe(vocab={"a": 2**70}), bpe(merges=["x y z"]), bpe(merges=5), bpe(dropout=0.5),
    bpe(merges=["q r"]),
    description(model=None), description(model=[]), description(model={}),
    description(added_tokens={"a": 1}), description(added_tokens=[5]), description(added_tokens=[{"id": 1}]),
    description(added_tokens=[{"id": -1, "content": "x"}]), description(added_tokens=[{"id": "1", "content": "x"}]),
    description(added_tokens=[{"id": 2**40, "content": "x"}]), description(added_tokens=[{"id": 1, "content": 2}]),
    description(normalizer="NFC"), description(normalizer={}), description(normalizer={"type": 5}),
    description(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    description(normalizer=replacing(1000)),
    description(normalizer={"type": "Prepend", "prepend": "x" * 10**6}),
    description(normalizer={"type": "Sequence", "normalizers": [replacing(2)] * 100}),
    description(normalizer={"type": "Sequence", "normalizers": {"a": 1}}),
    description(decoder=replacing(10**6)), description(decoder=[]), description(decoder={"type": "Nope"}),
    description(pre_tokenizer="ByteLevel"), description(pre_tokenizer={}), description(pre_tokenizer={"type": "Nope"}),
    description(pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": []}]}),
    split("(a+)+b"), split("(?:a|a)*b"), split("(("), split("["), split("a" * 10**5), split("(?P<x"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(NO_TOKENIZERS)))
def test_a_hostile_tokenizer_is_refused(number: int, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(NO_TOKENIZERS[number]))
    with pytest.raises(TokenizerError) as caught:
        Tokenizer.load(tmp_path)
    assert len(str(caught.value)) < 400


def test_the_number_of_tokens_counts_gaps() -> None:
    """An id beyond the embedding would read memory that is not the model's."""
    assert Tokenizer(bpe(vocab={"a": 0, "b": 1, "ab": 5000})).n_vocabulary == 5001


class Panic(BaseException):
    """As pyo3's PanicException is."""


def test_a_panic_while_a_tokenizer_is_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        @staticmethod
        def from_str(text: str) -> None:
            raise Panic("index out of bounds")

    monkeypatch.setattr(tokenizers, "HuggingFaceTokenizer", Library)
    with pytest.raises(TokenizerError, match="cannot be used"):
        Tokenizer(description())


SERVED_PATTERNS = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{M}]*[\p{Ll}\p{M}]+(?i:'s|'t|'re)?|\p{N}{1,3}", r"\p{N}{1,3}", r"\(+\)+[(+]*",
]  # fmt: skip
EXPLOSIVE = [
    "(a+)+b", "(a|a)*b", "(?:a*)*", "((a+)b?)+", r"(?:\w+\s?){2,}$", "([a-z]+)*", "(?i:(x+))+", "(?>a+)+", "(b|c)+",
    r"(\(a+)+", "([)]a+)+", "(?=(a+))*", r"(?<n>a+)*", "(a{2,})+", "(a+){,}",
]  # fmt: skip


@pytest.mark.parametrize("pattern", SERVED_PATTERNS)
def test_the_patterns_of_served_families_are_taken(pattern: str) -> None:
    assert not is_explosive(pattern)


@pytest.mark.parametrize("pattern", EXPLOSIVE)
def test_patterns_that_could_take_exponential_time_are_known(pattern: str) -> None:
    assert is_explosive(pattern)


@given(st.text(alphabet="ab()[]|+*?{},\\^-:=!<>", max_size=30))
def test_any_pattern_is_judged(pattern: str) -> None:
    is_explosive(pattern)
