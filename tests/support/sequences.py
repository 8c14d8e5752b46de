"""Edits of a token sequence in the cache, and what they must equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from warmline_engine.cache.sequence import KVSequence
from warmline_engine.model.cold_read import ColdRead
from warmline_engine.model.transformer import Transformer

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SHAPE: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 97,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}


TOLERANCE = 1e-4  # float32, against logits of a spread of about 10
token = st.integers(0, 96)


def read_all(sequence: KVSequence) -> None:
    while sequence.encode_pending(64):
        pass


def assert_equals_cold_read(sequence: KVSequence, model: Transformer) -> None:
    cold = ColdRead(model, sequence.tokens, slice(-1, None))
    keys, values = sequence.keys_and_values()
    assert float((keys - cold.keys).abs().max()) < TOLERANCE
    assert float((values - cold.values).abs().max()) < TOLERANCE
    assert float((sequence.next_logits() - cold.logits[0]).abs().max()) < TOLERANCE


edits = st.lists(
    st.one_of(
        st.tuples(st.just("splice"), st.floats(0, 1), st.floats(0, 0.3), st.lists(token, max_size=6)),
        st.tuples(st.just("move"), st.floats(0, 1), st.floats(0, 0.3), st.floats(0, 1)),
        st.tuples(st.just("encode"), st.integers(1, 9)),
        st.tuples(st.just("refresh"), st.integers(1, 9)),
        st.tuples(st.just("repair"), st.floats(0, 1), st.floats(0, 0.3)),
        st.tuples(st.just("truncate"), st.floats(0.5, 1)),
        st.tuples(st.just("derive")),
        st.tuples(st.just("append"), token),
    ),
    max_size=25,
)  # fmt: skip


def apply(sequence: KVSequence, mirror: list[int], edit: tuple) -> None:
    n = len(mirror)
    match edit:
        case ("splice", at, share, tokens):
            start = int(at * n)
            end = min(n, start + int(share * n))
            sequence.splice(start, end, tokens)
            mirror[start:end] = tokens
        case ("move", at, share, to):
            start = int(at * n)
            end = min(n, start + int(share * n))
            run = mirror[start:end]
            target = int(to * (n - len(run)))
            sequence.move(start, end, target)
            del mirror[start:end]
            mirror[target:target] = run
        case ("encode", limit):
            sequence.encode_pending(limit)
        case ("refresh", limit):
            sequence.refresh(limit)
        case ("repair", at, share):
            start = int(at * n)
            positions = np.arange(start, min(n, start + int(share * n)))
            if len(positions):
                sequence.encode(positions)
        case ("truncate", share):
            sequence.truncate(int(share * n))
            del mirror[int(share * n) :]
        case ("derive",):
            sequence.derive_rotated()
        case ("append", value):
            sequence.append(value)
            mirror.append(value)
