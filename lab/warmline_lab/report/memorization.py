"""Measured copying: how often a model, left to run, repeats a long piece of a file it was trained on.

A prompt is the text before a line of a file, nothing behind it, and the model may not end: it is made to go on for
N_GENERATED tokens, greedily. That is asked harder than the product asks, where a suffix follows and rules stop.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from warmline_engine.model.transformer import Transformer
from warmline_engine.session.loaded_model import LoadedModel
from warmline_kernels.reference import apply_rotary
from warmline_kernels.view import cos_sin

N_REPEATED = 40  # tokens in a row that count as copied
N_PROMPT = 256
N_GENERATED = 80
_MIX = np.uint64(0x9E3779B97F4A7C15)

Ids = NDArray[np.int32]
Hashes = NDArray[np.uint64]


class TrainedText:
    """All runs of N_REPEATED tokens of the training files, as sorted hashes."""

    def __init__(self, documents: list[Ids]) -> None:
        # a run does not cross from one file into the next
        kept = [run_hashes(ids) for ids in documents if len(ids) >= N_REPEATED]
        self._hashes = np.concatenate(kept) if kept else np.empty(0, np.uint64)
        self._hashes.sort()

    def repeats(self, tokens: Ids) -> bool:
        """Whether N_REPEATED tokens in a row stand in one training file."""
        if not len(self._hashes) or len(tokens) < N_REPEATED:
            return False
        wanted = run_hashes(tokens)
        places = np.searchsorted(self._hashes, wanted)
        places[places == len(self._hashes)] = 0
        return bool((self._hashes[places] == wanted).any())


def run_hashes(ids: Ids) -> Hashes:
    """A hash of each run of N_REPEATED tokens."""
    n = len(ids) - N_REPEATED + 1
    tokens = (ids.astype(np.uint64) + np.uint64(1)) * _MIX
    tokens ^= tokens >> np.uint64(32)
    # Horner's rule over the run; uint64 wraps around
    found = np.zeros(n, np.uint64)
    for k in range(N_REPEATED):
        found = found * _MIX + tokens[k : k + n]
    return found


def choose_prompts(documents: list[Ids], newlines: frozenset[int], n_prompts: int) -> list[Ids]:
    """The N_PROMPT tokens before some beginnings of lines, drawn evenly over the files long enough."""
    rng = np.random.default_rng(31)
    long = [ids for ids in documents if len(ids) > N_PROMPT + N_REPEATED]
    starts = np.array(sorted(newlines), np.int32)
    found: list[Ids] = []
    while long and len(found) < n_prompts:
        ids = long[int(rng.integers(len(long)))]
        at = int(rng.integers(N_PROMPT, len(ids) - N_REPEATED))
        lines = np.flatnonzero(np.isin(ids[N_PROMPT - 1 : at], starts))
        if len(lines):
            end = N_PROMPT + int(lines[-1])
            found.append(ids[end - N_PROMPT : end])
    return found


def line_ends(model: LoadedModel) -> frozenset[int]:
    """The tokens behind which a line begins, or its indentation is over."""
    tokenizer = model.tokenizer
    return frozenset(
        token
        for token in range(tokenizer.n_vocabulary)
        if token not in tokenizer.control_ids
        and (text := tokenizer.decode([token])).startswith("\n")
        and not text.strip()
    )


def copied_share(
    model: LoadedModel, trained: TrainedText, prompts: list[Ids], batch: int = 50
) -> float:
    """The share of prompts whose continuation repeats N_REPEATED tokens of a training file, in percent."""
    n_copied = 0
    for begin in range(0, len(prompts), batch):
        block = torch.from_numpy(np.stack(prompts[begin : begin + batch]).astype(np.int64))
        suppressed_ids = model.suppressed_ids.clone()
        suppressed_ids[list(model.layout.stop_ids)] = True
        found = Continuation(model.transformer, block, suppressed_ids).run(N_GENERATED)
        n_copied += sum(trained.repeats(row) for row in found.numpy().astype(np.int32))
    return 100 * n_copied / len(prompts)


class Continuation:
    """Greedy continuation of rows of one length, all at once."""

    def __init__(self, model: Transformer, prompts: Tensor, suppressed_ids: Tensor) -> None:
        self._model, self._prompts, self._suppressed = model, prompts, suppressed_ids
        self._n_rows = len(prompts)
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}
        self._n_read = 0

    def run(self, n_tokens: int) -> Tensor:
        """Shape: prompts [B, T] → [B, n_tokens]."""
        tokens, found = self._prompts, list[Tensor]()
        for _ in range(n_tokens):
            last = torch.arange(1, self._n_rows + 1) * tokens.shape[1] - 1
            logits = self._model.forward(tokens.flatten(), self._attend, last)
            self._n_read += tokens.shape[1]
            tokens = logits.masked_fill(self._suppressed, float("-inf")).argmax(-1)[:, None]
            found.append(tokens)
        return torch.cat(found, 1)

    def _attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (part.unflatten(0, (self._n_rows, -1)) for part in (q, k, v))
        rope = self._model.config.rope
        positions = torch.arange(self._n_read, self._n_read + q.shape[1])
        cos, sin = cos_sin(positions, rope.inverse_frequencies, rope.attention_factor)
        q, k = (apply_rotary(part, cos[:, None], sin[:, None]) for part in (q, k))
        if layer in self._keys:
            k = torch.cat((self._keys[layer], k), 1)
            v = torch.cat((self._values[layer], v), 1)
        self._keys[layer], self._values[layer] = k, v
        seen = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            is_causal=q.shape[1] > 1,
            scale=self._model.config.attention_scale,
            enable_gqa=q.shape[2] != k.shape[2],
        )
        return seen.transpose(1, 2).flatten(0, 1)
