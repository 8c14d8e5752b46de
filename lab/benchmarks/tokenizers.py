"""Which tokenizer a corpus wants: one that ships, or one of the same size made from the corpus itself.

`python -m benchmarks.tokenizers --work .work/web --out lab/benchmarks/results/tokenizers-web.json` compares them on
held-out text: bytes a token, bits a byte of a 5-gram model, and, with `--steps`, bits a byte of a model that begins
with the weights of `small` and learns from as many tokens with either.
"""

from __future__ import annotations

import argparse
import json
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from warmline_engine.model import checkpoint
from warmline_lab.data import tokenizer as making
from warmline_lab.data.corpus import check_hashes, write_hashes
from warmline_lab.metrics.ngram import ORDER, NGram
from warmline_lab.train import checkpoints, transfer
from warmline_lab.train.decoder import ModelShape, TrainableDecoder
from warmline_lab.train.heldout_loss import bits_per_byte
from warmline_lab.train.optimizer import Optimizer
from warmline_lab.train.train import Run, Texts

SMALL = Path(__file__).parents[2] / "engine/warmline_engine/models/small"
KINDS = {"javascript": (".js", ".mjs", ".cjs", ".jsx"), "typescript": (".ts", ".mts", ".tsx")}


@dataclass(frozen=True)
class Text:
    """What is compared on: a part of the corpus, and all that is held out."""

    train: Path
    heldout: Path

    def heldout_of(self, kind: str) -> list[str]:
        return [one["text"] for one in _records(self.heldout) if one["path"].endswith(KINDS[kind])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path("lab/training/web.toml"))
    parser.add_argument("--every", type=int, default=8, help="of the files of the corpus, one in")
    parser.add_argument("--steps", type=int, default=0, help="without, no model is trained")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the cores are shared out by processes
    work: Path = arguments.work
    check_hashes(work / "corpus")
    text = _part(work, arguments.every)
    own = work / "tokenizer-own"
    if not (own / "tokenizer.json").exists():
        making.save(making.train(one["text"] for one in _records(text.train)), own)
    config = tomllib.loads(arguments.config.read_text())
    found: dict[str, Any] = {"files": arguments.every, "tokenizers": {}}
    for name, folder in (("small", SMALL), ("own", own)):
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        row = found["tokenizers"][name] = _counted(tokenizer, text)
        print(name, row, flush=True)
        if arguments.steps:
            row |= _trained(tokenizer, text, config, arguments.steps, work / f"tokenizer-{name}")
            print(name, row, flush=True)
        # after each: the next takes minutes
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def _part(work: Path, every: int) -> Text:
    """One in `every` files of the corpus, in a folder of its own."""
    folder = work / f"one-in-{every}" / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    lines = (work / "corpus/train.jsonl").read_text().splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(lines[::every]))
    (folder / "heldout.jsonl").write_text((work / "corpus/heldout.jsonl").read_text())
    write_hashes(folder)
    return Text(folder / "train.jsonl", folder / "heldout.jsonl")


def _records(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _counted(tokenizer: Tokenizer, text: Text) -> dict[str, float]:
    """What needs no training: how long a token is, and how well a 5-gram model predicts."""
    train = [np.array(tokenizer.encode(one["text"]).ids) for one in _records(text.train)]
    ngram = NGram(np.concatenate(train).astype(np.int64), tokenizer.get_vocab_size())
    row: dict[str, float] = {}
    for kind in KINDS:
        n_bytes = n_tokens = 0
        bits = 0.0
        for content in text.heldout_of(kind):
            ids = np.array(tokenizer.encode(content).ids, np.int64)
            n_tokens, n_bytes = n_tokens + len(ids), n_bytes + len(content.encode())
            if len(ids) >= ORDER:
                bits -= float(np.log2(ngram.probabilities(ids)).sum())
        row[f"{kind}_bytes_a_token"] = n_bytes / n_tokens
        row[f"{kind}_ngram_bits_per_byte"] = bits / n_bytes
    return row


def _trained(
    tokenizer: Tokenizer, text: Text, config: dict[str, Any], n_steps: int, folder: Path
) -> dict[str, float]:
    """A model after n_steps with a rate that falls to zero, starting from the weights of `small`."""
    torch.manual_seed(config["seed"])
    model = TrainableDecoder(ModelShape(**config["shape"]))
    read_by = Tokenizer.from_file(str(SMALL / "tokenizer.json"))
    weights = transfer.translated(checkpoint.read_weights(SMALL), read_by, tokenizer)
    for name, weight in model.weights.items():
        weight.data.copy_(weights[name])
    folder.mkdir(exist_ok=True)
    texts = Texts(text.train.parents[1], tokenizer)
    run = Run(config, model, Optimizer(model.weights), checkpoints.Counters(), texts, folder)
    before = _losses(run, "before")
    trunk = config["trunk"]
    samples = run.samples(trunk["sequence"], config["seed"])
    with run.begin() as step:
        for number in range(n_steps):
            scale = min((number + 1) / max(1, n_steps // 6), 1 - number / n_steps)
            run.train_step(step, samples, trunk["rows"], scale)
    found = {"steps": n_steps, "tokens": run.counters.n_tokens, **before, **_losses(run, "after")}
    assert all(map(math.isfinite, found.values())), found
    return found


def _losses(run: Run, when: str) -> dict[str, float]:
    n_windows = run.config["n_heldout_windows"]
    return {
        f"{layout}_bits_per_byte_{when}": bits_per_byte(
            run.model, run.texts.heldout, run.texts.tokenizer, n_windows, layout
        )
        for layout in ("left-to-right", "spm")
    }


if __name__ == "__main__":
    main()
