"""Whether something should decide at each pause what of other files is read: `make bench NAME=gate`.

At lines of held-out packages the true line is scored with nothing of other files, with what was found some lines above
(it is bound already), with what is found now, and with that 64 tokens before the cursor. A gate chooses from what costs
nothing: names, members and imports near the cursor, how far it went, and the entropy there. It is fitted on one half of
the packages and judged on the other, by turns, in two ways: to the cheapest way that is good enough at each place
(Adaptive-RAG, Jeong et al. 2024), and to what each way gains. Beside it: each way always, and the best at each place.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import edits
from warmline_engine.retrieval.index.index import Index
from warmline_engine.retrieval.query import Query, query
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.stretch import choose_stretch
from warmline_engine.session.window import Window
from warmline_lab.data.releases import FOLDER, PINS, FilePair, pairs, read_pins
from warmline_lab.replay.scoring import CHUNK, read_all, score
from warmline_lab.retrieval import cross_file
from warmline_lab.retrieval.workspace import N_CONTEXT, NEAR, found_for, indexed, served
from warmline_lab.tables.confidence_intervals import ratio_interval

from .workers import each

WAYS = ("none", "bound", "fresh", "near")  # the cheapest first
ABOVE = (1, 3, 10, 30, 100)  # lines, to where the last query was
GOOD_ENOUGH = 0.02  # nats a token more than the best
RIDGE = 1.0  # on standardised signals
SIGNALS = (
    "names", "new names", "members", "new members", "imports unused", "lines moved", "entropy", "nothing found above",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A line taken out of a file, with what is found there and what was found above: the nearest last."""

    package: str
    setting: str
    text: str
    cursor: int
    truth: str
    found: tuple[str, ...]
    found_above: tuple[str, ...]
    signals: tuple[float, ...]  # all but the entropy, in the order of SIGNALS without it


@dataclass(frozen=True)
class HeldOutPlace:
    """What came out: nats of the whole line by way, in the order of WAYS."""

    package: str
    setting: str
    n_tokens: int
    nats: tuple[float, ...]
    n_new: int  # tokens of finds that are not bound yet
    signals: tuple[float, ...]


def tasks(all_pairs: list[FilePair], limit: int) -> list[Task]:
    files: dict[str, dict[str, str]] = {}
    for pair in all_pairs:
        files.setdefault(pair.package, {})[pair.path] = pair.new
    found: list[Task] = []
    with ExitStack() as stack:
        indexes = {package: stack.enter_context(indexed(own)) for package, own in files.items()}
        order = np.random.default_rng(5).permutation(len(all_pairs))
        for number in order:
            if limit <= len(found):
                break
            pair = all_pairs[int(number)]
            rng = np.random.default_rng([5, int(number)])
            found += _tasks_of(pair, files[pair.package], indexes[pair.package], rng)
    return found[:limit]


def _tasks_of(
    pair: FilePair, files: dict[str, str], index: Index, rng: np.random.Generator
) -> Iterator[Task]:
    for one in cross_file.tasks_of(pair.package, files, pair.path, rng):
        behind = files[pair.path][len(one.code) + len(one.truth) :]
        text, cursor = one.code + behind, len(one.code)
        start, end = choose_stretch(text, cursor, N_CONTEXT)
        n_above = int(rng.choice(ABOVE))
        lines = one.code.split("\n")
        above = "\n".join(lines[: max(1, len(lines) - n_above)])
        here, found = _look(index, pair.path, text, cursor)
        there, found_above = _look(index, pair.path, above + behind, len(above))
        yield Task(
            pair.package, one.setting, text[start:end], cursor - start, one.truth,
            found, found_above, (*_signals(here, there), math.log1p(n_above), float(not found_above)),
        )  # fmt: skip


def _look(index: Index, path: str, text: str, cursor: int) -> tuple[Query, tuple[str, ...]]:
    """Searches as the indexer does."""
    start, end = choose_stretch(text, cursor, N_CONTEXT)
    asked = query(path, "python", text, cursor)
    found = found_for(index, asked, text[start:end])
    return asked, tuple(one.text for one in reversed(found))


def _signals(here: Query, there: Query) -> tuple[float, ...]:
    imported = {one.name for one in here.imports}
    members, before = (
        {(name, one) for name, accessed in q.members.items() if name in imported for one in accessed}
        for q in (here, there)
    )  # fmt: skip
    new = set(here.names) - set(there.names)
    counts = (len(here.names), len(new), len(members), len(members - before), len(here.unused))
    return tuple(math.log1p(count) for count in counts)


def judged(model: LoadedModel, task: Task) -> HeldOutPlace:
    truth = model.tokenizer.encode(task.truth).ids
    window = Window(model, task.text, 0, len(task.text), task.cursor)
    read_all(window)
    sequence = window.sequence
    before_prefix = window.tokenized.prefix_span[0]
    near = max(0, window.n_own_tokens - NEAR)
    ids = {text: model.tokenizer.encode(text).ids for text in (*task.found, *task.found_above)}

    def nats(texts: tuple[str, ...], at: int) -> tuple[float, float]:
        """Of the line, and the entropy of its first token."""
        sequence.bind([ids[text] for text in texts])
        sequence.bound_end = at
        while sequence.encode_bound(CHUNK, model.kept):
            pass
        found = served(model, window, score(window, truth))
        logprobs = found.logits[0].float().log_softmax(-1)
        return found.nats, -float((logprobs.exp() * logprobs).nansum())

    none, _ = nats((), before_prefix)
    bound, entropy = nats(task.found_above, before_prefix)
    fresh, _ = nats(task.found, before_prefix)
    nearer, _ = nats(task.found, near)
    sequence.drop_cache()
    n_new = sum(len(ids[text]) for text in task.found if text not in task.found_above)
    signals = (*task.signals[:-1], entropy, task.signals[-1])
    return HeldOutPlace(
        task.package, task.setting, len(truth), (none, bound, fresh, nearer), n_new, signals
    )


def chosen_by_gate(places: list[HeldOutPlace], is_by_gain: bool) -> NDArray[np.int64]:
    """The way chosen at each place by a gate that was fitted on the other half of the packages. Shape: [n]."""
    names = sorted({place.package for place in places})
    is_odd = np.array([names.index(place.package) % 2 == 1 for place in places])
    signals = np.array([place.signals for place in places])
    losses = np.array([place.nats for place in places]) / _sizes(places)[:, None]
    chosen = np.zeros(len(places), np.int64)
    for fitted, asked in ((is_odd, ~is_odd), (~is_odd, is_odd)):
        mean, spread = signals[fitted].mean(0), signals[fitted].std(0) + 1e-6
        x = np.hstack([(signals - mean) / spread, np.ones((len(places), 1))])
        fit = _by_gain if is_by_gain else _by_label
        scores = x[asked] @ fit(x[fitted], losses[fitted])
        chosen[asked] = scores.argmax(1)
    return chosen


def _by_gain(x: NDArray[np.float64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ridge regression of what each way gains over none. Shapes: x [n, S], losses [n, W] → [S, W]."""
    gains = losses[:, :1] - losses
    return np.asarray(
        np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ gains), np.float64
    )


def _by_label(x: NDArray[np.float64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax regression to the cheapest way that is good enough. Shapes: x [n, S], losses [n, W] → [S, W]."""
    works = losses <= losses.min(1, keepdims=True) + GOOD_ENOUGH
    labels = torch.from_numpy(works.argmax(1))
    inputs = torch.from_numpy(x)
    weights = torch.zeros(x.shape[1], losses.shape[1], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([weights], max_iter=200)

    def loss() -> torch.Tensor:
        search.zero_grad()
        value = torch.nn.functional.cross_entropy(inputs @ weights, labels, reduction="sum")
        value = value + RIDGE * weights.square().sum() / 2
        value.backward()
        return value

    search.step(loss)
    return weights.detach().numpy()


def _sizes(places: list[HeldOutPlace]) -> NDArray[np.float64]:
    return np.array([float(place.n_tokens) for place in places])


@dataclass(frozen=True)
class Row:
    """A way to choose, against what is found now at every place: negative is better."""

    more_nats_a_token: float
    interval: tuple[float, float]
    queries: float  # share of places
    encoded: float  # tokens a place
    by_setting: dict[str, float]
    ways: dict[str, float]  # share of places


def row(places: list[HeldOutPlace], chosen: NDArray[np.int64]) -> Row:
    nats = np.array([place.nats for place in places])
    picked = nats[np.arange(len(places)), chosen]
    packages = [place.package for place in places]
    more = ratio_interval(picked - nats[:, WAYS.index("fresh")], _sizes(places), packages)
    asks = np.isin(chosen, [WAYS.index("fresh"), WAYS.index("near")])
    new = np.array([place.n_new for place in places])
    by_setting = {
        setting: float((picked - nats[:, 2])[where].sum() / _sizes(places)[where].sum())
        for setting in cross_file.SETTINGS
        if (where := np.array([place.setting == setting for place in places])).any()
    }
    ways = {way: float((chosen == k).mean()) for k, way in enumerate(WAYS)}
    return Row(
        more.mean, (more.low, more.high), float(asks.mean()), float((asks * new).mean()), by_setting, ways
    )  # fmt: skip


def table(places: list[HeldOutPlace]) -> dict[str, Row]:
    n = len(places)
    losses = np.array([place.nats for place in places]) / _sizes(places)[:, None]
    good = losses <= losses.min(1, keepdims=True) + GOOD_ENOUGH
    rows = {f"always {way}": row(places, np.full(n, k)) for k, way in enumerate(WAYS)}
    rows["gate, by the cheapest that works"] = row(places, chosen_by_gate(places, is_by_gain=False))
    rows["gate, by gain"] = row(places, chosen_by_gate(places, is_by_gain=True))
    rows["oracle, the cheapest that works"] = row(places, good.argmax(1))
    rows["oracle, the best"] = row(places, losses.argmin(1))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="small")
    parser.add_argument("--places", type=int, default=600)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--records", type=Path, default=Path(".work/eval/gate.jsonl"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    chosen = tasks(pairs(read_pins(PINS), FOLDER), options.places)
    options.records.parent.mkdir(parents=True, exist_ok=True)
    known = options.records.read_text().splitlines() if options.records.exists() else []
    # they are in the order of the tasks; what is there is gone on with
    places = [HeldOutPlace(**json.loads(line)) for line in known][: len(chosen)]
    left = chosen[len(places) :]
    with options.records.open("a") as file:
        for place in each(judged, left, options.model, options.workers):
            places.append(place)
            file.write(json.dumps(asdict(place)) + "\n")
            file.flush()
    rows = table(places)
    for name, one in rows.items():
        low, high = one.interval
        settings = "  ".join(f"{setting} {value:+.4f}" for setting, value in one.by_setting.items())
        print(
            f"{name:34} {one.more_nats_a_token:+.4f} [{low:+.4f}, {high:+.4f}]  queries {one.queries:.0%}"
            f"  encoded {one.encoded:.0f}  {settings}"
        )
    if options.out:
        report = {"machine": edits.machine(), "commit": edits.commit(), "places": len(places),
                "signals": SIGNALS, "rows": {name: asdict(one) for name, one in rows.items()}}  # fmt: skip
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
