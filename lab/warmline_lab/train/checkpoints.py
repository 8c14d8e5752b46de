"""A training run on disk: weights, optimizer state and counters in one safetensors file, swapped in whole."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from .decoder import TrainableDecoder
from .optimizer import Optimizer

N_KEPT = 2


@dataclass(frozen=True)
class Counters:
    """How far a run is: optimizer steps, tokens seen, batches drawn at the present sequence length.

    A run is continued when it began with weights whose tokens were not all counted; `grown_from` names the other
    model that it began with, whose tokens are not counted here.
    """

    step: int = 0
    n_tokens: int = 0
    batch: int = 0
    is_continued: bool = False
    grown_from: str = ""


def write(folder: Path, model: TrainableDecoder, optimizer: Optimizer, counters: Counters) -> Path:
    """Writes a checkpoint and drops all but the newest few."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"weight/{name}": weight.detach() for name, weight in model.weights.items()}
    tensors |= optimizer.state
    path = folder / f"step-{counters.step:07d}.safetensors"
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"counters": json.dumps(asdict(counters))})
    os.replace(partial, path)
    for old in sorted(folder.glob("step-*.safetensors"))[:-N_KEPT]:
        old.unlink()
    return path


def newest(folder: Path) -> Path | None:
    return max(folder.glob("step-*.safetensors"), default=None)


def read(path: Path, model: TrainableDecoder, optimizer: Optimizer) -> Counters:
    """Restores a run into a model and an optimizer of its shape."""
    tensors = load_file(path)
    for name, weight in model.weights.items():
        weight.data.copy_(tensors[f"weight/{name}"])
    for name, state in optimizer.state.items():
        state.copy_(tensors[name])
    return read_counters(path)


def read_counters(path: Path) -> Counters:
    """How far the run was when a checkpoint was written."""
    with safe_open(path, "pt") as file:
        return Counters(**json.loads(file.metadata()["counters"]))
