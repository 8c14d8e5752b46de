"""Lets a new run begin with a model that reads another tokenizer's tokens.

Its layers stay and its embedding is translated: a token that both have keeps its row,
any other gets the mean of the rows of the tokens that spell it.
Source: Gee et al. 2022, "Fast vocabulary transfer for language model compression" (EMNLP industry track).
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor

EMBEDDING = "model.embed_tokens.weight"


def translated(weights: dict[str, Tensor], old: Tokenizer, new: Tokenizer) -> dict[str, Tensor]:
    """Weights that read the tokens of `new`, from weights that read those of `old`.

    Both are byte-level, so that each token of `new` can be spelt in `old`. Shapes: the embedding
    [n_old, width] → [n_new, width].
    """
    embedding = weights[EMBEDDING]
    tokens = sorted(new.get_vocab().items(), key=lambda item: item[1])
    rows = [embedding[_spelling(token, old)].mean(0) for token, _ in tokens]
    return {**weights, EMBEDDING: torch.stack(rows)}


def _spelling(token: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of a token, or of the fewest merged pieces of it, in byte-level letters."""
    whole = tokenizer.token_to_id(token)
    if whole is not None:
        return [whole]
    return [piece.id for piece in tokenizer.model.tokenize(token)]
