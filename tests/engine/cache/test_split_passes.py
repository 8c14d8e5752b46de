"""How a prompt is split into passes changes no answer.

On processors without bf16 instructions the compiled pass serves every number of rows, and the result is the same to the
bit. Elsewhere long passes are computed in bf16, and the distributions stay close: the contract is the margin below.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from warmline_engine.cache.arena import Arena, RowShape
from warmline_engine.cache.sequence import KVSequence
from warmline_engine.model import checkpoint, random_checkpoint
from warmline_engine.model.quant.linear import EVERY_ROW, FEW_ROWS
from warmline_engine.model.transformer import Transformer
from warmline_kernels.native.library import library

pytestmark = pytest.mark.skipif(library() is None, reason="the kernels are for Linux on x86-64")

VOCABULARY = 208
# heads of 16 have no tile of their own size, heads of 32 and 64 have
HEADS = {16: (4, 2), 32: (3, 1), 64: (2, 1), 48: (2, 2)}
# mean KL in nats between a prompt read in passes of 10 tokens and of 512, where long passes use other arithmetic
MARGIN = 0.02


def make(folder: Path, head_size: int, **more: object) -> Transformer:
    n_heads, n_kv_heads = HEADS[head_size]
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": n_heads,
        "num_key_value_heads": n_kv_heads,
        "head_dim": head_size,
        "intermediate_size": 96,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
    }
    random_checkpoint.write(config | more, folder, dtype=torch.bfloat16, std=0.2)
    return checkpoint.load(folder, dtype=torch.bfloat16, decode_format="int8").with_few_rows(
        EVERY_ROW
    )


def read(model: Transformer, prompt: list[int], sizes: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits behind the prompt, and all keys and values, after passes of the given sizes in turn."""
    config = model.config
    shape = RowShape(
        config.n_layers, config.n_kv_heads, config.head_size, model.dtype, model.device
    )
    sequence = KVSequence(model, Arena(shape, 1 << 26))
    sequence.splice(0, 0, prompt)
    turn = 0
    while sequence.encode_pending(sizes[turn % len(sizes)], len(prompt) - 1):
        turn += 1
    logits = sequence.next_logits()
    return logits, *sequence.keys_and_values()


def prompt_of(n_tokens: int) -> list[int]:
    return np.random.default_rng(n_tokens).integers(0, VOCABULARY, n_tokens).tolist()


@pytest.fixture(scope="module", params=HEADS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    return make(tmp_path_factory.mktemp("model"), request.param)


@settings(max_examples=12, deadline=None)
@given(
    n_tokens=st.integers(2, 150),
    sizes=st.lists(st.sampled_from([1, 2, 7, 10, 16, 17, 33, 64, 512]), min_size=1, max_size=5),
)
def test_passes_of_any_size_give_the_same_bits(
    model: Transformer, n_tokens: int, sizes: list[int]
) -> None:
    prompt = prompt_of(n_tokens)
    for found, expected in zip(read(model, prompt, sizes), read(model, prompt, [512]), strict=True):
        assert torch.equal(found, expected)


def test_a_sliding_window_is_split_alike(tmp_path: Path) -> None:
    model = make(tmp_path, 32, model_type="mistral", sliding_window=24)
    prompt = prompt_of(140)
    for found, expected in zip(read(model, prompt, [11]), read(model, prompt, [512]), strict=True):
        assert torch.equal(found, expected)


def test_tiles_equal_the_loop_of_few_queries(
    model: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a pass in tiles each row must be what torch computes, layer by layer, but for rounding."""
    prompt = prompt_of(100)
    found = read(model, prompt, [64])[0]
    monkeypatch.setattr(type(model), "supports_fused", lambda *_: False)
    expected = read(model, prompt, [64])[0]
    assert float((found - expected).norm() / expected.norm()) < 0.1


def test_answers_stay_close_where_long_passes_use_other_arithmetic(model: Transformer) -> None:
    other = model.with_few_rows(FEW_ROWS)
    divergences: list[float] = []
    for n_tokens in range(40, 140, 5):
        prompt = prompt_of(n_tokens)
        short, long = (read(other, prompt, [size])[0].log_softmax(0) for size in (10, 512))
        divergences.append(float((short.exp() * (short - long)).sum()))
    assert np.mean(divergences) < MARGIN
