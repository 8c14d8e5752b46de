"""Trains an embedded model: a trunk at full learning rate, then a decay branch that ends in a model to ship.

`python -m warmline_lab.train.train lab/training/small.toml trunk [--minutes M]` resumes from the newest checkpoint;
`... decay --minutes M --out DIR` branches off it, lowers the rate to zero while sequences grow, and exports.
`... whole --minutes M --out DIR` does both in the given time: two thirds of it for the trunk, the rest for the decay.
`--from DIR` starts a new run with the weights of an exported model, for lost checkpoints. A config may name an embedded
model that a new run starts from or, if that is smaller, grows from.
`--rate SHARE` scales the config's learning rates: lower it for weights from the end of a run.
`--teacher MODEL`, an exported or embedded model with the same tokenizer, adds a distillation loss.

This file is longer than 300 lines because the three commands share one loop, its checkpoints and its log.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from warmline_engine.model import checkpoint
from warmline_engine.model.hub.sources import EMBEDDED, locate
from warmline_engine.model.quant.quantization import Scheme, rounded
from warmline_lab.data import corpus
from warmline_lab.data.samples import IGNORED, Documents, Samples, SamplesAhead
from warmline_lab.train.heldout_loss import bits_per_byte
from warmline_protocol.model_names import typed

from . import checkpoints
from .decoder import SHAPE_KEYS, ModelShape, TrainableDecoder
from .net2net import grown
from .optimizer import Optimizer
from .step import Teacher, TrainStep

MAX_EPOCHS = 3.5  # in the trunk: no file is seen more than four times, decay included
TEACHER_SHARE = 0.5  # of what is learnt
GPU_PIECE = 65536  # tokens at once on a GPU


@dataclass
class Texts:
    """What is trained on and what is held out, each tokenized when it is first asked for: that takes minutes."""

    folder: Path  # of corpus and tokenizer
    tokenizer: Tokenizer

    @classmethod
    def of(cls, work: Path) -> Texts:
        """Raises: ValueError, when the corpus is not as it was made."""
        corpus.check_hashes(work / "corpus")
        return cls(work, Tokenizer.from_file(str(work / "tokenizer/tokenizer.json")))

    @cached_property
    def documents(self) -> Documents:
        made_from = (self.folder / "corpus/SHA256SUMS").read_text() + self.tokenizer.to_str()
        digest = hashlib.sha256(made_from.encode()).hexdigest()[:16]
        kept = self.folder / f"corpus/starts-{digest}.npz"
        return Documents(self.folder / "corpus/train.jsonl", self.tokenizer, kept=kept)

    @cached_property
    def heldout(self) -> Documents:
        return Documents(self.folder / "corpus/heldout.jsonl", self.tokenizer)


@dataclass
class Run:
    """A model in training with what it is trained on."""

    config: dict[str, Any]
    model: TrainableDecoder
    optimizer: Optimizer
    counters: checkpoints.Counters
    texts: Texts
    folder: Path
    is_stopping: bool = False
    teacher: Teacher | None = None
    rate: float = 1.0  # share of the config's rates

    @property
    def device(self) -> torch.device:
        return self.model.weights["model.norm.weight"].device

    def begin(self) -> TrainStep:
        """What computes gradients: on a CPU with a process for each core."""
        if self.device.type == "cuda":
            return TrainStep(
                self.model, 1, self.config.get("compile", True), GPU_PIECE, self.teacher
            )
        n_processes = self.config.get("processes", len(os.sched_getaffinity(0)))
        is_compiled = self.config.get("compile", True)
        return TrainStep(self.model, n_processes, is_compiled, teacher=self.teacher)

    def samples(self, sequence: int, seed: int) -> Samples:
        """What is trained on at one sequence length."""
        share = self.config.get("suffix_first", 0.3)
        samples = Samples(self.texts.documents, self.texts.tokenizer, sequence, seed, share)
        if self.device.type != "cuda":
            return samples
        return SamplesAhead(samples, max(1, len(os.sched_getaffinity(0)) - 1))

    @property
    def storage(self) -> Scheme | None:
        """How the exported weights are stored; None is bf16."""
        declared = self.config.get("storage")
        return Scheme(**declared) if declared else None

    def train_step(
        self,
        step: TrainStep,
        samples: Samples,
        rows: int,
        scale: float,
        rounding: Callable[[Tensor], Tensor] | None = None,
    ) -> float:
        """One optimizer step; the mean loss in nats a token."""
        tokens, targets, is_middle = samples.batch(self.counters.batch, rows)
        n_targets = int((targets != IGNORED).sum())
        positions = samples.positions(self.counters.batch, self.model.shape.max_context)
        counts = 1 + (self.config.get("middle_counts", 1) - 1) * is_middle.float()
        given = (part.to(self.device) for part in (positions, counts))
        loss = step.gradients(tokens.to(self.device), targets.to(self.device), rounding, *given)
        rates = self.config["optimizer"]
        matrix_rate, other_rate = rates["matrix_rate"], rates["other_rate"]
        self.optimizer.step(self.counters.step, scale * self.rate, matrix_rate, other_rate)
        self.counters = replace(
            self.counters,
            step=self.counters.step + 1,
            n_tokens=self.counters.n_tokens + n_targets,
            batch=self.counters.batch + 1,
        )
        return loss

    def log(self, **fields: object) -> None:
        record = {"step": self.counters.step, "tokens": self.counters.n_tokens, **fields}
        if self.device.type == "cuda":
            record["device"] = torch.cuda.get_device_name(self.device)
        if self.teacher:
            record["teacher"] = self.teacher.name
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")
        print(
            " ".join(
                f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in record.items()
            )
        )
        sys.stdout.flush()

    def log_heldout(self, stage: str, rounding: Callable[[Tensor], Tensor] | None = None) -> None:
        model = self.model
        if rounding:
            model = TrainableDecoder(self.model.shape).to(self.device)
            for name, weight in self.model.weights.items():
                value = weight.detach()
                model.weights[name].data.copy_(rounding(value) if value.ndim == 2 else value)
        n_windows = self.config["n_heldout_windows"]
        loss = bits_per_byte(model, self.texts.heldout, self.texts.tokenizer, n_windows)
        self.log(stage=stage, heldout_bits_per_byte=loss)


def open_run(config_path: Path, work: Path, exported: Path | None = None) -> Run:
    """A run as its newest checkpoint left it; without one a new run, from exported weights where they are given.

    Raises: ValueError, when the corpus is not as it was made.
    """
    texts = Texts.of(work)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = config_for(device.type, tomllib.loads(config_path.read_text()))
    torch.manual_seed(config["seed"])
    model = TrainableDecoder(ModelShape(**config["shape"])).to(device)
    optimizer = Optimizer(model.weights)
    folder = work / config_path.stem
    folder.mkdir(parents=True, exist_ok=True)
    path = checkpoints.newest(folder)
    if path:
        counters = checkpoints.read(path, model, optimizer)
    elif exported or config.get("grown_from"):
        source = exported or EMBEDDED / config["grown_from"]
        counters = _read_exported(source, model, work / "tokenizer/tokenizer.json")
        if not exported:
            # tokens of another corpus: they do not bring the end of this one nearer
            counters = checkpoints.Counters(grown_from=source.name)
    else:
        counters = checkpoints.Counters()
    n_parameters = sum(weight.numel() for weight in model.weights.values())
    print(
        f"{n_parameters / 1e6:.2f} million parameters, {counters.n_tokens / 1e6:.1f} million tokens seen"
    )
    return Run(config, model, optimizer, counters, texts, folder)


def config_for(device: str, config: dict[str, Any]) -> dict[str, Any]:
    """A config with the tables under `gpu` in place of its own where there is a GPU."""
    gpu = config.pop("gpu", {})
    return {**config, **gpu} if device == "cuda" else config


def _read_exported(folder: Path, model: TrainableDecoder, tokenizer: Path) -> checkpoints.Counters:
    """Takes an exported model's weights, grown where it is smaller; the optimizer begins anew.

    Raises: ValueError, when it reads another tokenizer's tokens, or cannot grow to the run's shape.
    """
    if (folder / "tokenizer.json").read_bytes() != tokenizer.read_bytes():
        raise ValueError(f"{folder.name} has another tokenizer than this corpus; run `make corpus`")
    weights, shape = checkpoint.read_weights(folder), shape_of(folder)
    card = tomllib.loads((folder / "card.toml").read_text())
    counters = checkpoints.Counters(
        n_tokens=card.get("tokens_seen", 0),
        is_continued=card.get("is_continued", "tokens_seen" not in card),
        grown_from=card.get("grown_from", ""),
    )
    if shape != model.shape:
        weights = grown(weights, shape, model.shape)
        counters = checkpoints.Counters(grown_from=folder.name)
    for name, weight in model.weights.items():
        weight.data.copy_(weights[name])
    return counters


def take_teacher(run: Run, folder: Path) -> None:
    """Lets a run learn from an exported model.

    Raises: ValueError, when that reads other tokens.
    """
    ours = run.texts.folder / "tokenizer/tokenizer.json"
    if (folder / "tokenizer.json").read_bytes() != ours.read_bytes():
        raise ValueError(f"{folder.name} reads other tokens, so nothing can be learnt from it")
    weights = {k: w.to(run.device) for k, w in checkpoint.read_weights(folder).items()}
    share = run.config.get("teacher_share", TEACHER_SHARE)
    run.teacher = Teacher(folder.name, shape_of(folder), weights, share)


def shape_of(folder: Path) -> ModelShape:
    """The shape that `export` wrote."""
    declared = json.loads((folder / "config.json").read_text())
    return ModelShape(**{name: declared[key] for name, key in SHAPE_KEYS.items()})


def run_stable(run: Run, minutes: float | None, max_steps: int | None = None) -> None:
    """Trains at full rate until the time is over or the process is asked to stop, writing checkpoints."""
    trunk = run.config["trunk"]
    samples = run.samples(trunk["sequence"], run.config["seed"])
    with run.begin() as step:
        _run_steps(run, step, samples, minutes, max_steps)
    checkpoints.write(run.folder, run.model, run.optimizer, run.counters)


def _run_steps(
    run: Run, step: TrainStep, samples: Samples, minutes: float | None, max_steps: int | None
) -> None:
    trunk, warmup = run.config["trunk"], run.config["optimizer"]["warmup_steps"]
    start = time.monotonic()
    saved, since, losses = start, start, list[float]()
    seen = run.counters.n_tokens
    n_most = MAX_EPOCHS * run.texts.documents.n_tokens
    while not run.is_stopping and (minutes is None or time.monotonic() - start < 60 * minutes):
        if n_most <= run.counters.n_tokens:
            print(f"stopping: {MAX_EPOCHS} times through the corpus, the rest is for the decay")
            break
        if max_steps is not None and max_steps <= run.counters.step:
            break
        scale = min(1.0, (run.counters.step + 1) / warmup)
        losses.append(run.train_step(step, samples, trunk["rows"], scale))
        if run.counters.step % 20 == 0:
            now = time.monotonic()
            rate = (run.counters.n_tokens - seen) / (now - since)
            left = f"{minutes - (now - start) / 60:.0f}m" if minutes else "open"
            epoch = run.counters.batch * trunk["rows"] / samples.n_per_epoch
            run.log(loss=sum(losses) / len(losses), per_second=round(rate), epoch=epoch, eta=left)
            losses, since, seen = [], now, run.counters.n_tokens
        if 60 * trunk["checkpoint_minutes"] <= time.monotonic() - saved:
            checkpoints.write(run.folder, run.model, run.optimizer, run.counters)
            run.log_heldout("trunk")
            saved = since = time.monotonic()
            seen = run.counters.n_tokens


def run_decay(run: Run, minutes: float, out: Path) -> None:
    """Takes the rate to zero along the time given, through the phases of the config, and exports."""
    before = 0.0
    with run.begin() as step:
        phases = [
            (phase, run.samples(phase["sequence"], run.config["seed"] + 1))
            for phase in run.config["decay"]
        ]
        for phase, samples in phases:  # compiled before the time runs
            tokens, targets, _ = samples.batch(0, phase["rows"])
            step.gradients(tokens.to(run.device), targets.to(run.device))
        start = time.monotonic()
        for phase, samples in phases:
            sequence, losses = phase["sequence"], list[float]()
            run.counters = replace(run.counters, batch=0)
            end = before + phase["share"]
            is_last = phase is run.config["decay"][-1]
            # the model gets used to being rounded while there is still some learning rate
            rounding = partial(rounded, scheme=run.storage) if is_last and run.storage else None
            while (done := (time.monotonic() - start) / (60 * minutes)) < end:
                scale = max(0.0, 1 - done)
                losses.append(run.train_step(step, samples, phase["rows"], scale, rounding))
                if len(losses) == 20:
                    run.log(stage=f"decay-{sequence}", loss=sum(losses) / 20, done=done)
                    losses = []
            before = end
            paused = time.monotonic()
            run.log_heldout(f"decay-{sequence}", rounding)
            start += time.monotonic() - paused
    export(run, out, run.storage)


def export(run: Run, out: Path, storage: Scheme | None) -> None:
    """Writes the model as the engine reads it, and transformers where it is stored in bf16.

    Each file is swapped in whole.
    """
    out.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for name, weight in run.model.weights.items():
        value = weight.detach().cpu()
        tensors |= storage.stored(name, value) if storage else {name: value.bfloat16()}
    save_file(tensors, out / "model.partial", metadata={"format": "pt"})
    config = run.model.shape.hugging_face()
    if storage:
        config["quantization_config"] = storage.describe()
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (out / "model.partial").chmod(0o644)
    (out / "model.partial").replace(out / "model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        source = run.texts.folder / "tokenizer" / name
        (out / f"{name}.partial").write_bytes(source.read_bytes())
        (out / f"{name}.partial").replace(out / name)
    print(f"exported to {out.name} after {run.counters.n_tokens} tokens")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("stage", choices=("trunk", "decay", "whole", "export"))
    parser.add_argument("--work", type=Path, default=Path(".work"))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plain", action="store_true", help="export in bf16")
    parser.add_argument("--from", dest="exported", type=Path, metavar="DIR")
    parser.add_argument("--rate", type=float, default=1.0, metavar="SHARE")
    parser.add_argument("--teacher", type=typed, metavar="MODEL")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the cores are shared out by processes
    run = open_run(arguments.config, arguments.work, arguments.exported)
    run.rate = arguments.rate
    if arguments.teacher:
        take_teacher(run, locate(arguments.teacher))

    def stop(*_: object) -> None:
        run.is_stopping = True

    signal.signal(signal.SIGTERM, stop)
    if arguments.stage == "trunk":
        run_stable(run, arguments.minutes)
    elif arguments.out is None:
        parser.error("--out is where the model goes")
    elif arguments.stage == "whole":
        minutes = arguments.minutes or 30.0
        run_stable(run, minutes * 2 / 3)
        run_decay(run, minutes / 3, arguments.out)
    elif arguments.stage == "decay":
        run_decay(run, arguments.minutes or 30.0, arguments.out)
    else:
        export(run, arguments.out, None if arguments.plain else run.storage)


if __name__ == "__main__":
    main()
