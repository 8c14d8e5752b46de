"""The words of a model's card."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from warmline_engine.session.loaded_model import LoadedModel
from warmline_lab.metrics.judge import BUCKETS, CONTEXT_TOKENS, NEAR, Filled

from .memorization import N_GENERATED, N_PROMPT, N_REPEATED

TITLES = {"rest": "rest of a line", "line": "whole line", "block": "block of 2 to 5 lines"}
GOAL_OVER_BASELINE, GOAL_PARSE = 15, 90
# of the models that ship, on one GPU: the minutes of each run, and how its config was another than it is now
GPU_RUNS = {
    "small": ((2, "middle_counts = 1, and base as its first run left it"),),
    "base": ((5, "seed = 2, middle_counts = 1"), (5, "")),
}
GOAL_LINE = {"small": 10, "base": 25}  # base: 20 where no GPU trained it


@dataclass(frozen=True)
class Card:
    """What the card knows without measuring. A continued run's tokens are a lower bound.

    `grown_from` is the smaller model that the run began with, `teacher` the one it learnt from, if any; `device` the
    GPU that trained it, if one did.
    """

    name: str
    n_tokens: int
    is_continued: bool
    n_bytes: int
    layout: str
    grown_from: str = ""
    teacher: str = ""
    device: str = ""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured; bits a byte by layout, copying in percent, nats by position as from `Judge`."""

    bits: dict[str, float]
    baseline: float
    baseline_middles: float
    fills: dict[str, list[Filled]]
    nats_by_position: NDArray[np.float64] | None
    n_long_files: int
    n_windows: int
    copied_seen: float
    copied_heldout: float
    n_prompts: int


def card_toml(card: Card) -> str:
    """What the engine and `warmline models` read."""
    return (
        f'name = "{card.name}"\nlanguages = ["python"]\nlicence = "MIT; see card.md"\n'
        f"tokens_seen = {card.n_tokens}\nis_continued = {str(card.is_continued).lower()}\n"
        f'layout = "{card.layout}"\n'
        + (f'grown_from = "{card.grown_from}"\n' if card.grown_from else "")
        + (f'teacher = "{card.teacher}"\n' if card.teacher else "")
        + (f'device = "{card.device}"\n' if card.device else "")
    )


def card_text(card: Card, model: LoadedModel, folder: Path, measured: Measured) -> str:
    config = model.transformer.config
    n_parameters = sum(math.prod(shape) for shape in config.tensor_shapes().values())
    return f"""# The model `{card.name}`

Python only. {n_parameters / 1e6:.2f} million parameters: {config.n_layers} layers, width {config.width},
{config.n_vocabulary} tokens, {config.max_context} positions. Its file has {card.n_bytes / 1e6:.2f} MB;
{storage_text(folder)}

{_tokens_seen(card)}

Trained on the packages listed in NOTICE, under their licences. Whether weights are subject to the
licences of training text is not settled; this is a description, not legal advice.

The data: the Python files of the standard library and of the packages that `lab/training/corpus.toml` pins, without
copies, vendored folders, generated files and files that name another licence; e-mail addresses and keys
are masked. seen.txt has a digest of each file.

## How good it is

Measured on files of packages and modules that `lab/training/heldout.txt` keeps out of training, copies of them too;
files that recall was fitted on are left out. The windows and holes are drawn by fixed seeds.

{_losses(measured)}

{_holes(card, measured)}

{_shown(model.min_probability, measured)}

{_positions(measured)}

![loss against tokens](curve.svg)

{_copying(measured)}

## How to reproduce

{_how(card)}

## Twenty completions

The first twenty whole-line holes of the measurement above, none left out.

{chr(10).join(_example(filled) for filled in measured.fills["line"][:20])}"""


def _how(card: Card) -> str:
    config, out = f"lab/training/{card.name}.toml", f"engine/warmline_engine/models/{card.name}"
    teacher = f" --teacher {card.teacher}" if card.teacher else ""
    train = f".venv/bin/python -m warmline_lab.train.train {config}"
    if card.device:
        steps: list[str] = []
        for number, (minutes, config_then) in enumerate(GPU_RUNS.get(card.name, ((5, ""),))):
            start = f"--from {out} " if number else ""
            steps += [f"# with {config_then}"] if config_then else []
            steps += [f"{train} whole --minutes {minutes}{teacher} \\", f"    {start}--out {out}"]
    else:
        steps = [f"make train MODEL={card.name}   # the trunk; SIGTERM stops it, and it goes on from its checkpoint",
                 f"{train} decay{teacher} \\", f"    --minutes 25 --out {out}"]  # fmt: skip
    corpus = "make corpus   # fetches what lab/training/corpus.toml pins, filters it"
    return textwrap.indent("\n".join([corpus, *steps, f"make report MODEL={card.name}"]), "    ")


def storage_text(folder: Path) -> str:
    declared = json.loads((folder / "config.json").read_text()).get("quantization_config")
    if declared is None:
        return "weights are stored in bf16."
    return (
        f"weights are stored in {declared['bits']} bits with a scale for each {declared['group_size']} of them,\n"
        "and all numbers below are of the model as it is stored and as the engine serves it on a CPU."
    )


def _tokens_seen(card: Card) -> str:
    seen = f"It has seen {card.n_tokens / 1e6:.1f} million tokens"
    if card.teacher:
        seen = f"It has learnt from what `{card.teacher}` expects, beside the text. {seen}"
    if card.grown_from:
        seen = f"It began with what `{card.grown_from}` had learnt, whose tokens are not counted here. {seen}"
    if not card.is_continued:
        return seen + "." + (f" It was trained on one {card.device}." if card.device else "")
    return (
        seen
        + " at least: the run whose log is here began with the weights of an earlier run whose\n"
        "log is lost, so this number is a lower bound, and the curve shows the later run only."
    )


def _losses(measured: Measured) -> str:
    bits = measured.bits
    columns = (
        ("left to right", bits["left-to-right"], measured.baseline),
        ("middle, prefix first (PSM)", bits["psm"], measured.baseline_middles),
        ("middle, suffix first (SPM)", bits["spm"], measured.baseline_middles),
    )
    rows = "\n".join(
        f"| {title} | {ours:.3f} | {theirs:.3f} | {100 * (1 - ours / theirs):.0f} % |"
        for title, ours, theirs in columns
    )
    gain = 100 * (1 - bits["left-to-right"] / measured.baseline)
    return f"""| bits a byte, {measured.n_windows} windows | model | 5-gram with backoff | fewer bits |
|---|---|---|---|
{rows}

The 5-gram model is made on all training text and sees the text before; the model pays for the end of a middle,
too. Goal: {GOAL_OVER_BASELINE} % fewer bits than the 5-gram model left to right; {_met(gain >= GOAL_OVER_BASELINE)}."""


def _holes(card: Card, measured: Measured) -> str:
    rows = "\n".join(
        f"| {TITLES[kind]} | {len(found)} | {_share(found, 'is_exact'):.1f} % |"
        f" {np.mean([f.similarity for f in found]):.1f} | {_share(found, 'parses'):.1f} % |"
        for kind, found in measured.fills.items()
    )
    goal = GOAL_LINE.get(card.name, GOAL_LINE["base"])
    exact = _share(measured.fills["line"], "is_exact")
    parse = min(_share(found, "parses") for found in measured.fills.values())
    return f"""| hole | holes | exact match | edit similarity | parses in place |
|---|---|---|---|---|
{rows}

Filled as the product fills them, greedily, {card.layout}, the file read, {CONTEXT_TOKENS} tokens of it at most. Exact
match disregards blanks; edit similarity is the ratio of fuzzy matching, 0 to 100 (both as in RepoBench).
Goals: {goal} % of whole lines exact,
{_met(goal <= exact)}; {GOAL_PARSE} % of each kind parse in place, {_met(parse >= GOAL_PARSE)}."""


def _shown(least: float, measured: Measured) -> str:
    if not least:
        return "Every completion is shown; how likely one must be was not fitted."
    rows: list[str] = []
    for kind, found in measured.fills.items():
        shown = [f for f in found if math.log(least) <= f.logprob]
        exact = f"{_share(shown, 'is_exact'):.1f} %" if shown else ""
        rows.append(f"| {TITLES[kind]} | {100 * len(shown) / len(found):.0f} % | {exact} |")
    return f"""| hole | shown whole | of these exact |
|---|---|---|
{chr(10).join(rows)}

Unasked, a completion is shown from a probability of {least:.3f} on: there one in ten was still exact, in the held-out
files that recall was fitted on. Of a block the first lines are shown as far as they are as likely; that is not in
this table."""


def _positions(measured: Measured) -> str:
    if measured.nats_by_position is None:
        return "No held-out file is long enough to tell the loss by position."
    sizes = [b - a for a, b in pairwise(BUCKETS)]
    whole, near = measured.nats_by_position / measured.n_long_files / sizes
    rows = "\n".join(
        f"| {a} to {b} | {all_before:.3f} | {few_before:.3f} |"
        for (a, b), all_before, few_before in zip(pairwise(BUCKETS), whole, near, strict=True)
    )
    is_falling = all(after <= before for before, after in pairwise(whole))
    gains = [few - every for few, every, a in zip(near, whole, BUCKETS, strict=False) if a > NEAR]
    return f"""| position | nats a token, {measured.n_long_files} files | the same tokens, {NEAR} before these |
|---|---|---|
{rows}

Goal: the loss does not rise up to {BUCKETS[-1]} positions; {_met(is_falling)} (each row against the
one before). The rows are of other text each, which may be harder. The second column tells that apart: the same tokens
with the text cut off {NEAR} tokens before the row begins; {_further(gains)}."""


def _further(gains: list[float]) -> str:
    least = min(gains)
    if least < 0:
        return f"text further back costs up to {-least:.3f} nats"
    return f"text further back never costs, and saves {least:.3f} to {max(gains):.3f} nats"


def _copying(measured: Measured) -> str:
    return f"""Copying: {measured.copied_seen:.1f} % of {measured.n_prompts} prompts from training files and
{measured.copied_heldout:.1f} % of {measured.n_prompts} from held-out files are continued with {N_REPEATED} or
more tokens in a row that stand in a training file. A prompt is {N_PROMPT} tokens that end at the beginning of a
line, nothing behind them; the model is made to go on greedily for {N_GENERATED} tokens and may not stop, which is
harder than the product asks."""


def _met(is_met: bool) -> str:
    return "met" if is_met else "**not met**"


def _share(found: list[Filled], what: str) -> float:
    return 100 * sum(bool(getattr(f, what)) for f in found) / len(found)


def _example(filled: Filled) -> str:
    before = textwrap.dedent("\n".join(filled.before.split("\n")[-3:-1]))
    mark = "exact" if filled.is_exact else "other"
    body = f"{before}\n>>> offered: {filled.offered}\n>>> truth:   {filled.truth}"
    return f"{filled.name} ({mark})\n\n{textwrap.indent(body, '    ')}\n"
