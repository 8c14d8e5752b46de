"""Searches the shape of a small model: what fits into its file, tried for a few steps, beside what a token costs.

`python -m warmline_lab.train.shapes lab/training/small.toml --steps 300 --out FILE.json`. First the shapes whose file
is within MAX_BYTES, for each width with as many layers as fit: nothing is trained for that, as in Compressor (Shi
et al. 2022, ASE; there a genetic search, here there are few enough to list all). Then, as counting products does not
tell which predicts best, each is trained from nothing on the same tokens, with a rate that falls to zero, and
measured: held-out bits a byte, and the milliseconds of a token as the engine decodes.
"""

from __future__ import annotations

import argparse
import json
import math
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from warmline_engine.cache import sequence as cached
from warmline_engine.cache.arena import Arena, RowShape
from warmline_engine.decoding.greedy import likeliest
from warmline_engine.model import checkpoint
from warmline_engine.model.quant.quantization import Scheme
from warmline_engine.model.thread_count import shortest_s
from warmline_lab.train.heldout_loss import bits_per_byte

from . import checkpoints
from .decoder import ModelShape, TrainableDecoder
from .optimizer import Optimizer
from .train import Run, Texts, export

MAX_BYTES = 3_000_000  # of the weights' file
WIDTHS = (96, 128, 160, 192, 224, 256)
GATE_RATIOS = (8 / 3, 4.0)  # of the widths of gate and model
HEAD_SIZE = 32
MIN_LAYERS, MAX_LAYERS = 2, 24
N_BEHIND, N_TIMED = 2000, 12  # tokens


@dataclass(frozen=True)
class Tried:
    """A shape with what it costs and, where it was trained, how it predicts."""

    shape: ModelShape
    n_bytes: int
    n_products: (
        int  # of weights with a token's numbers, N_BEHIND other tokens' keys and values included
    )
    n_tokens: int = 0  # trained on
    bits_per_byte: float = math.nan  # left to right
    spm_bits_per_byte: float = math.nan  # middles, suffix first
    token_ms: float = math.nan


def n_bytes_of(shape: ModelShape, storage: Scheme) -> int:
    """Of a model's weights as they are stored."""
    scales = 2 / storage.group_size
    return sum(
        int(n * (storage.bits / 8 + scales)) if is_matrix else 2 * n
        for n, is_matrix in _weights(shape)
    )


def n_products_of(shape: ModelShape) -> int:
    """A token's products: each matrix once, the embedding as the head."""
    matrices = sum(n for n, is_matrix in _weights(shape) if is_matrix)
    return matrices + 2 * shape.n_layers * shape.n_heads * shape.head_size * N_BEHIND


@lru_cache
def _weights(shape: ModelShape) -> tuple[tuple[int, bool], ...]:
    """The number of values of each weight, and whether it is a matrix."""
    with torch.device("meta"):
        weights = TrainableDecoder(shape).weights.values()
    return tuple((weight.numel(), weight.ndim == 2) for weight in weights)


def candidates(
    like: ModelShape,
    storage: Scheme,
    most_bytes: int = MAX_BYTES,
    widths: Iterable[int] = WIDTHS,
    ratios: Sequence[float] = GATE_RATIOS,
) -> Iterator[Tried]:
    """For each width and ratio the deepest shape that fits; the narrow ones first."""
    for width in widths:
        n_heads = width // HEAD_SIZE
        for ratio in ratios:
            shape = replace(
                like,
                width=width,
                n_heads=n_heads,
                n_kv_heads=2 if n_heads % 2 == 0 else 1,
                head_size=HEAD_SIZE,
                mlp_width=round(width * ratio / 32) * 32,
            )
            deeper = [replace(shape, n_layers=n) for n in range(MIN_LAYERS, MAX_LAYERS + 1)]
            n_fitting = bisect_right(deeper, most_bytes, key=lambda one: n_bytes_of(one, storage))
            if n_fitting:
                yield described(deeper[n_fitting - 1], storage)


def described(shape: ModelShape, storage: Scheme) -> Tried:
    return Tried(shape, n_bytes_of(shape, storage), n_products_of(shape))


def trained(tried: Tried, config: dict[str, Any], texts: Texts, n_steps: int) -> Tried:
    """The shape after n_steps, all of them on the same tokens as any other's. Writes beside the corpus."""
    shape = tried.shape
    torch.manual_seed(config["seed"])
    model = TrainableDecoder(shape)
    folder = texts.folder / f"shapes-{shape.width}-{shape.n_layers}-{shape.mlp_width}"
    run = Run(config, model, Optimizer(model.weights), checkpoints.Counters(), texts, folder)
    trunk, n_warm = config["trunk"], config["optimizer"]["warmup_steps"]
    samples = run.samples(trunk["sequence"], config["seed"])
    with run.begin() as step:
        for number in range(n_steps):
            scale = min((number + 1) / n_warm, 1 - number / n_steps)
            run.train_step(step, samples, trunk["rows"], scale)
    losses = [
        bits_per_byte(model, texts.heldout, texts.tokenizer, config["n_heldout_windows"], layout)
        for layout in ("left-to-right", "spm")
    ]
    export(run, folder, run.storage)
    return replace(
        tried,
        n_tokens=run.counters.n_tokens,
        bits_per_byte=losses[0],
        spm_bits_per_byte=losses[1],
        token_ms=milliseconds_of_a_token(folder),
    )


def milliseconds_of_a_token(folder: Path) -> float:
    """The shortest of some, decoded in 8 bits behind N_BEHIND tokens."""
    model = checkpoint.load(folder, dtype=torch.bfloat16, decode_format="int8")
    config = model.config
    rows = RowShape(config.n_layers, config.n_kv_heads, config.head_size, model.dtype, model.device)
    sequence = cached.KVSequence(model, Arena(rows, 2**28))
    sequence.splice(0, 0, [k % config.n_vocabulary for k in range(N_BEHIND)])
    while sequence.encode_pending(512):
        pass
    token = likeliest(sequence.next_logits())
    return 1000 * shortest_s(lambda: likeliest(sequence.append(token)), N_TIMED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--work", type=Path, default=Path(".work"))
    parser.add_argument("--steps", type=int, default=0, help="without, nothing is trained")
    parser.add_argument("--widths", type=int, nargs="*", default=WIDTHS)
    parser.add_argument("--ratios", type=float, nargs="*", default=GATE_RATIOS)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the cores are shared out by processes
    config = tomllib.loads(arguments.config.read_text())
    texts, found = Texts.of(arguments.work), list[Tried]()
    shape, storage = ModelShape(**config["shape"]), Scheme(**config["storage"])
    listed = candidates(shape, storage, MAX_BYTES, arguments.widths, arguments.ratios)
    for tried in listed:
        if arguments.steps:
            tried = trained(tried, config, texts, arguments.steps)  # noqa: PLW2901 - now with losses
        found.append(tried)
        shape = tried.shape
        print(
            f"width {shape.width:3}, {shape.n_layers:2} layers, gates of {shape.mlp_width:4}:"
            f" {tried.n_bytes / 1e6:.2f} MB, {tried.n_products / 1e6:.2f} million products,"
            f" {tried.bits_per_byte:.3f} bits a byte, {tried.spm_bits_per_byte:.3f} in middles,"
            f" {tried.token_ms:.2f} ms a token",
            flush=True,
        )
        if arguments.out:  # after each: the next takes minutes
            arguments.out.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
