"""How well a model predicts held-out text, in bits a byte: comparable between tokenizers."""

from __future__ import annotations

import math

import numpy as np
import torch
from tokenizers import Tokenizer

from warmline_lab.data.samples import Controls, Documents, cut_middle
from warmline_lab.train.decoder import TrainableDecoder


@torch.no_grad()
def bits_per_byte(
    model: TrainableDecoder,
    documents: Documents,
    tokenizer: Tokenizer,
    n_windows: int,
    layout: str = "left-to-right",
    n_characters: int = 1500,
) -> float:
    """Bits a byte over fixed windows; with layout psm or spm, over the middles only."""
    rng = np.random.default_rng(7)
    controls = Controls.of(tokenizer)
    nats, n_bytes = 0.0, 0
    for _ in range(n_windows):
        text = documents.texts[int(rng.integers(len(documents.texts)))]
        start = int(rng.integers(max(1, len(text) - n_characters)))
        window = text[start : start + n_characters]
        a, b = cut_middle(window, rng)
        prefix, middle, suffix = (
            tokenizer.encode(part).ids if part else []
            for part in (window[:a], window[a:b], window[b:])
        )
        if layout == "psm":
            head = [controls.prefix, *prefix, controls.suffix, *suffix, controls.middle]
            scored, size = [*middle, controls.end], window[a:b]
        elif layout == "spm":
            head = [controls.prefix, controls.suffix, *suffix, controls.middle, *prefix]
            scored, size = [*middle, controls.end], window[a:b]
        else:
            head, scored, size = [controls.end], tokenizer.encode(window).ids, window
        device = model.weights["model.norm.weight"].device
        tokens = torch.tensor([[*head, *scored]], device=device)
        losses = model(tokens[:, :-1], tokens[:, 1:])[0, len(head) - 1 :]
        nats += float(losses.sum())
        n_bytes += len(size.encode())
    return nats / math.log(2) / n_bytes
