"""What weights in fewer bits cost in quality: `make bench NAME=formats`.

Nats a token and bits a byte of held-out text, read in pieces, each format's own products used for all rows; the
difference from float32 with a 95 % interval over files, which all formats share. "With head" is how
a large head is kept: in 4 bits, its highest logits made exact.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks import edits
from warmline_engine.model import checkpoint
from warmline_engine.model.cold_read import ColdRead
from warmline_engine.model.hub.sources import locate
from warmline_engine.model.transformer import Transformer
from warmline_engine.text.tokenizer import Tokenizer
from warmline_lab.tables.confidence_intervals import ratio_interval

FORMATS = ("float32", "bfloat16", "int8", "int4", "int4 with head")
EVERY_ROW = 1 << 30
TOKENS, SHORTEST = 384, 32


@dataclass(frozen=True)
class Piece:
    """Of a held-out file; `n_bytes` are those of all tokens but the first, which nothing predicts."""

    path: str
    tokens: list[int]
    n_bytes: int


def pieces(path: Path, tokenizer: Tokenizer, n_pieces: int) -> list[Piece]:
    """At random places of random held-out files."""
    with path.open() as lines:
        records = [json.loads(line) for line in lines]
    random, found = np.random.default_rng(7), list[Piece]()
    while len(found) < n_pieces:
        record = records[int(random.integers(len(records)))]
        text: str = record["text"]
        start = int(random.integers(1 + len(text)))
        tokens = list(tokenizer.encode(text[start : start + 4 * TOKENS]).ids)[:TOKENS]
        if len(tokens) >= SHORTEST:
            n_bytes = len(tokenizer.decode(tokens[1:]).encode())
            found.append(Piece(f"{record['origin']}/{record['path']}", tokens, n_bytes))
    return found


def loaded(folder: Path, name: str) -> Transformer:
    if name in checkpoint.DTYPES:
        return checkpoint.load(folder, dtype=checkpoint.DTYPES[name])
    decode_format, _, with_head = name.partition(" ")
    with patch.object(checkpoint, "LARGE_HEAD", 0 if with_head else checkpoint.LARGE_HEAD):
        model = checkpoint.load(
            folder, dtype=torch.bfloat16, decode_format=decode_format, is_few_alone=True
        )
    return model.with_few_rows(EVERY_ROW)


def nats(model: Transformer, tokens: list[int]) -> float:
    """Of all tokens but the first."""
    logits = ColdRead(model, tokens, slice(None)).logits
    losses = torch.nn.functional.cross_entropy(
        logits[:-1], torch.tensor(tokens[1:]), reduction="sum"
    )
    return float(losses)


def measured(folder: Path, path: Path, n_pieces: int) -> dict[str, Any]:
    """By format."""
    chosen = pieces(path, Tokenizer.load(folder), n_pieces)
    n_tokens = np.array([len(piece.tokens) - 1.0 for piece in chosen])
    n_bytes = sum(piece.n_bytes for piece in chosen)
    found: dict[str, Any] = {}
    exact, paths = np.zeros(len(chosen)), [piece.path for piece in chosen]
    for name in FORMATS:
        model = loaded(folder, name)
        losses = np.array([nats(model, piece.tokens) for piece in chosen])
        exact = losses if name == FORMATS[0] else exact
        more = ratio_interval(losses - exact, n_tokens, paths)
        found[name] = {
            "nats_a_token": losses.sum() / n_tokens.sum(),
            "bits_a_byte": losses.sum() / math.log(2) / n_bytes,
            "more_nats_a_token": more.mean,
            "interval": [more.low, more.high],
        }
        row = found[name]
        print(
            f"{folder.name:6} {name:14} {row['nats_a_token']:.4f} nats a token  {row['bits_a_byte']:.4f} bits a byte"
            f"  {more.mean:+.4f} [{more.low:+.4f}, {more.high:+.4f}]",
            flush=True,
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["small", "base"])
    parser.add_argument("--heldout", type=Path, default=Path(".work/corpus/heldout.jsonl"))
    parser.add_argument("--pieces", type=int, default=100)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not options.heldout.exists():
        raise SystemExit(f"{options.heldout} is missing: `make corpus` writes it")
    found = {
        "machine": edits.machine(),
        "commit": edits.commit(),
        "pieces": options.pieces,
        "by_model": {
            Path(name).name: measured(locate(name), options.heldout, options.pieces)
            for name in options.models
        },
    }
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
