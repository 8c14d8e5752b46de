"""Passes of few rows in one call of the compiled kernels: the same sequences, edited alike, layer by layer in torch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support.examples import examples
from warmline_engine.cache.arena import Arena, RowShape
from warmline_engine.cache.chunk_cache import ChunkCache
from warmline_engine.cache.sequence import KVSequence
from warmline_engine.model import checkpoint, random_checkpoint
from warmline_engine.model.quant.linear import FEW_ROWS
from warmline_engine.model.transformer import Transformer
from warmline_kernels.native.library import library

pytestmark = pytest.mark.skipif(library() is None, reason="the kernels are for Linux on x86-64")

SHAPE = {
    "model_type": "qwen2",
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 208,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
ROWS = RowShape(3, 2, 16, torch.bfloat16, torch.device("cpu"))
token = st.integers(0, 207)
few = st.lists(token, min_size=1, max_size=FEW_ROWS - 1)
place = st.floats(0, 1)
EDITS = st.one_of(
    st.tuples(st.just("insert"), place, few),
    st.tuples(st.just("remove"), place, place),
    st.tuples(st.just("move"), place, place),
    st.tuples(st.just("bind"), st.lists(few, max_size=3)),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    folder = tmp_path_factory.mktemp("model")
    random_checkpoint.write(SHAPE, folder, dtype=torch.bfloat16)
    return checkpoint.load(folder, dtype=torch.bfloat16, decode_format="int8")


@pytest.fixture(scope="module")
def twin(model: Transformer) -> Transformer:
    found = model.with_few_rows(FEW_ROWS)
    found.supports_fused = lambda n_rows: False  # type: ignore[method-assign]
    return found


def edited(model: Transformer, prompt: list[int], edits: list[tuple]) -> KVSequence:
    sequence, kept = KVSequence(model, Arena(ROWS, 1 << 26)), ChunkCache(2**20)
    sequence.splice(0, 0, prompt)
    sequence.encode_pending(64)
    for kind, *what in edits:
        n = len(sequence)
        if kind == "bind":
            sequence.bind(what[0])
            sequence.bound_end = n // 2
        elif kind == "insert":
            at = int(what[0] * n)
            sequence.splice(at, at, what[1])
        else:
            start = int(what[0] * (n - 1))
            end = min(n - 1, start + 5)
            if kind == "move":
                sequence.move(start, end, int(what[1] * (n - (end - start))))
            else:
                sequence.splice(start, end, ())
        while sequence.encode_pending(FEW_ROWS) or sequence.encode_bound(FEW_ROWS, kept):
            pass
    sequence.check()
    return sequence


def distance(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.fixture(params=[0, 1000])
def n_rotated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that may be rotated anew rather than be met by a query turned for them; with none there are offsets."""
    monkeypatch.setattr("warmline_engine.cache.sequence.MAX_KEYS_ROTATED", request.param)


@pytest.mark.usefixtures("n_rotated")
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    prompt=st.lists(token, min_size=12, max_size=60),
    edits=st.lists(EDITS, max_size=5),
    drafted=few,
)
def test_edited_sequences_say_the_same(
    model: Transformer, twin: Transformer, prompt: list[int], edits: list[tuple], drafted: list[int]
) -> None:
    ours, theirs = edited(model, prompt, edits), edited(twin, prompt, edits)
    # in torch what flows from layer to layer is rounded to bf16
    assert distance(ours.next_logits(), theirs.next_logits()) < 0.25
    n = len(ours)
    found, expected = ours.extend(drafted), theirs.extend(drafted)
    assert distance(found, expected) < 0.25
    ours.truncate(n)
    alone = torch.stack([ours.append(each) for each in drafted])
    assert torch.equal(found, alone), "a drafted row is what it is alone"


def test_they_do_go_at_once(model: Transformer, twin: Transformer) -> None:
    assert model.supports_fused(FEW_ROWS)
    assert not twin.supports_fused(1)
