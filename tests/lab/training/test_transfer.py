"""Weights that read one tokenizer's tokens, begun with by a model that reads another's."""

from __future__ import annotations

import torch

from warmline_lab.data import tokenizer as making
from warmline_lab.train.transfer import EMBEDDING, translated

PYTHON = ["def walk(tree):\n    for node in tree:\n        yield node\n"] * 20
SCRIPT = ["function walk(tree) {\n  return tree.map(node => node.walk());\n}\n"] * 20


def test_tokens_keep_their_rows_and_others_get_the_mean_of_their_spelling() -> None:
    old, new = making.train(PYTHON, 300), making.train(SCRIPT, 300)
    embedding = torch.randn(old.get_vocab_size(), 8)
    layer = torch.ones(2)
    found = translated({EMBEDDING: embedding, "layer": layer}, old, new)
    assert found["layer"] is layer
    assert found[EMBEDDING].shape == (new.get_vocab_size(), 8)
    n_kept = 0
    for token, number in new.get_vocab().items():
        row = found[EMBEDDING][number]
        if (kept := old.token_to_id(token)) is not None:
            n_kept += 1
            assert torch.equal(row, embedding[kept]), token
        else:
            ids = old.encode(new.decode([number])).ids
            torch.testing.assert_close(row, embedding[ids].mean(0))
    assert len(making.CONTROL) + 256 <= n_kept < new.get_vocab_size()


def test_the_same_tokenizer_changes_nothing() -> None:
    same = making.train(PYTHON, 300)
    embedding = torch.randn(same.get_vocab_size(), 8)
    assert torch.equal(translated({EMBEDDING: embedding}, same, same)[EMBEDDING], embedding)
