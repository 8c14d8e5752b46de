"""Judges a trained model on held-out text and writes its card.

`python -m warmline_lab.report.report small` reads models/small as the engine does, with its own tokens,
layout and decoding, and writes card.md, card.toml, curve.svg, golden.json, seen.txt and NOTICE beside the weights.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
import tomllib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer as HuggingFaceTokenizer

from warmline_engine.model.hub.sources import EMBEDDED, read_card, weight_files
from warmline_engine.session.loaded_model import load
from warmline_lab.data.samples import Documents
from warmline_lab.metrics.judge import (
    KINDS,
    LAYOUTS,
    ModelJudge,
    choose_holes,
    choose_windows,
    fill_one,
    judge_of,
    long_files,
    read_heldout,
    read_lines,
)
from warmline_lab.metrics.ngram import NGram
from warmline_lab.train import checkpoints
from warmline_protocol import processes

from . import curve, golden, memorization
from .card import Card, Measured, card_text, card_toml


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    n_windows: int = 300
    n_holes: int = 300
    n_long_files: int = 24
    n_prompts: int = 500


@dataclass(frozen=True)
class ModelFolder:
    """Where a model and what it was made from lie."""

    folder: Path
    work: Path

    @property
    def heldout(self) -> Path:
        return self.work / "corpus/heldout.jsonl"

    @property
    def run(self) -> Path:
        return self.work / self.folder.name


def write_card(place: ModelFolder, extent: Extent) -> None:
    """Measures, and writes everything that goes beside the weights."""
    begin = time.monotonic()
    folder, work = place.folder, place.work
    measured = measure(place, extent)
    log = place.run / "log.jsonl"
    records = last_branch(read_lines(log)) if log.exists() else []
    card = card_of(place, records)
    if records:  # else the curve stays that was drawn when the run was there
        (folder / "curve.svg").write_text(curve.draw(records))
    (folder / "NOTICE").write_text((work / "corpus/NOTICE").read_text())
    seen = [record["text"] for record in read_lines(work / "corpus/train.jsonl")]
    digests = sorted(hashlib.sha256(text.encode()).hexdigest()[:12] for text in seen)
    (folder / "seen.txt").write_text("\n".join(digests) + "\n")
    (folder / "card.toml").write_text(card_toml(card))
    model = load(str(folder), "cpu", "float32")
    golden.write(model, folder)
    text = card_text(card, model, folder, measured)
    (folder / "card.md").write_text(text)
    print(text)
    print(f"measured in {(time.monotonic() - begin) / 60:.1f} minutes")


def card_of(place: ModelFolder, records: list[dict[str, Any]]) -> Card:
    """What is known without measuring: by the run, and by the card that is there, whose run may be gone."""
    folder = place.folder
    path = folder / "card.toml"
    declared = tomllib.loads(path.read_text()) if path.exists() else {}
    newest = checkpoints.newest(place.run) if records else None
    counters = checkpoints.read_counters(newest) if newest else checkpoints.Counters()
    newest_record = records[-1] if records else declared
    return Card(
        folder.name,
        records[-1]["tokens"] if records else declared["tokens_seen"],
        # of weights whose tokens were not all counted, whoever says so
        counters.is_continued or declared.get("is_continued", False),
        sum(path.stat().st_size for path in weight_files(folder)),
        read_card(folder).layout,
        counters.grown_from or declared.get("grown_from", ""),
        newest_record.get("teacher", ""),
        newest_record.get("device", ""),
    )


def last_branch(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What led to the last record: a branch that was left for another has more tokens than where that begins."""
    kept: list[dict[str, Any]] = []
    for record in records:
        while kept and record["tokens"] < kept[-1]["tokens"]:
            kept.pop()
        kept.append(record)
    return kept


def measure(place: ModelFolder, extent: Extent) -> Measured:
    """Everything that the card tells of a model, on a process for each core."""
    files = read_heldout(place.heldout)
    windows = choose_windows(files, extent.n_windows)
    holes = [hole for kind in KINDS for hole in choose_holes(files, kind, extent.n_holes)]
    model = load(str(place.folder), "cpu")
    long = long_files(files, model, extent.n_long_files)
    context = processes.workers("spawn")
    n_processes = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(n_processes, context, torch.set_num_threads, (1,)) as pool:
        # what takes longest begins first
        baseline = pool.submit(_measure_against_training, place, extent)
        filled = list(
            pool.map(partial(fill_one, place.folder, place.heldout, False), holes, chunksize=20)
        )
        sums = list(pool.map(partial(_loss_by_position, place), long))
        bits = {layout: pool.submit(_bits_per_byte, place, layout, extent) for layout in LAYOUTS}
        against = baseline.result()
        return Measured(
            {layout: future.result() for layout, future in bits.items()},
            against.whole,
            against.middles,
            {kind: [f for f, h in zip(filled, holes, strict=True) if h.kind == kind] for kind in KINDS},
            np.sum(sums, axis=0) if sums else None,
            len(sums),
            len(windows),
            against.copied_seen,
            against.copied_heldout,
            extent.n_prompts,
        )  # fmt: skip


def _judge(place: ModelFolder) -> ModelJudge:
    return judge_of(place.folder, place.heldout)


def _loss_by_position(place: ModelFolder, which: int) -> np.ndarray:
    return _judge(place).loss_by_position(which)


def _bits_per_byte(place: ModelFolder, layout: str, extent: Extent) -> float:
    files = read_heldout(place.heldout)
    return _judge(place).bits_per_byte(layout, choose_windows(files, extent.n_windows))


@dataclass(frozen=True)
class AgainstTraining:
    """What is measured with all training text at hand: bits a byte of the n-gram model, copying in percent."""

    whole: float
    middles: float
    copied_seen: float
    copied_heldout: float


def _measure_against_training(place: ModelFolder, extent: Extent) -> AgainstTraining:
    tokenizer = HuggingFaceTokenizer.from_file(str(place.folder / "tokenizer.json"))
    train = Documents(place.work / "corpus/train.jsonl", tokenizer, keep_ids=True).ids
    heldout = Documents(place.heldout, tokenizer, keep_ids=True).ids
    judge = _judge(place)
    model = judge.model
    trained, ends = memorization.TrainedText(train), memorization.line_ends(model)
    copied = [
        memorization.copied_share(
            model, trained, memorization.choose_prompts(ids, ends, extent.n_prompts)
        )
        for ids in (train, heldout)
    ]
    del trained
    ngram = NGram(np.concatenate(train).astype(np.int64), tokenizer.get_vocab_size())
    files = read_heldout(place.heldout)
    windows = choose_windows(files, extent.n_windows)
    return AgainstTraining(*judge.baseline_bits_per_byte(ngram, windows), *copied)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--work", type=Path, default=Path(".work"))
    parser.add_argument("--holes", type=int, default=Extent.n_holes)
    options = parser.parse_args()
    write_card(ModelFolder(EMBEDDED / options.name, options.work), Extent(n_holes=options.holes))


if __name__ == "__main__":
    main()
