"""Fits which words matter and how they are projected: `python -m warmline_lab.fit.fit_encoder small`.

Reads the training corpus alone: docstrings with their functions, and the lines before a call with the definition of
what is called. The other pairs of a batch, most of them of the same package, are the negative examples. Writes
encoder.safetensors beside the weights: minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from warmline_engine.model import checkpoint
from warmline_engine.model.hub.sources import ENCODER, locate
from warmline_engine.retrieval.index.encoder import Bags
from warmline_engine.retrieval.index.encoder_file import embedding
from warmline_engine.retrieval.index.words import words
from warmline_engine.retrieval.query import LINES_BEFORE
from warmline_engine.text.tokenizer import Tokenizer
from warmline_lab.data.neighbours import Neighbours
from warmline_lab.retrieval.retrieval_quality import MIN_WORDS, functions
from warmline_protocol.model_names import typed

N_DIMENSIONS = 128
N_ROUNDS = 4
N_PAIRS = 256  # in a batch
N_NEAR = 8  # batches that are cut from one draw, sorted by package
TEMPERATURE = 0.05
RATES = (0.002, 0.01)  # at first, of the projection and of the weights; they fall to zero
FORGOTTEN = 0.3  # share of a text's tokens left out of each reading
CALL_SHARE = 0.5  # batches of calls, to one of docstrings
MAX_CHARACTERS = 60_000  # of a file
MAX_CALLS = 8  # of a file
_NAME = re.compile(r"[^\W\d]\w{3,}")
_BODY = re.compile(r"^(?:class|def|async def) ", re.MULTILINE)

Bag = tuple[NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True)
class Pair:
    """Two texts that belong together, as bags of tokens, and the package that both come from."""

    origin: str
    asking: Bag
    answer: Bag


def from_docstrings(origin: str, text: str, bags: Bags) -> Iterator[Pair]:
    """Docstrings, of some words at least, with their functions."""
    for one in functions(text):
        if len(words(one.docstring, False)) >= MIN_WORDS:
            yield Pair(origin, bags.of(one.docstring), bags.of(one.code))


def from_calls(
    origin: str, document: int, text: str, neighbours: Neighbours, bags: Bags, rng: random.Random
) -> Iterator[Pair]:
    """The lines before a name's first use with the name's definition in another file."""
    body = _BODY.search(text)
    if body is None:
        return
    lines = text.split("\n")
    seen: set[str] = set()
    n_found = 0
    for k in range(text.count("\n", 0, body.start()), len(lines)):
        for name in _NAME.findall(lines[k]):
            if name in seen:
                continue
            seen.add(name)
            piece = neighbours.of_name(document, name) if rng.random() < 0.5 else None
            if piece is not None:
                before = "\n".join(lines[max(0, k - LINES_BEFORE) : k])
                yield Pair(origin, bags.of(before), bags.of(piece))
                n_found += 1
        if n_found > MAX_CALLS:
            return


class Model(torch.nn.Module):
    """A weight for each token and one projection. Shapes: embedded [V, width], held still."""

    def __init__(self, embedded: Tensor, rarity: Tensor, n_dimensions: int) -> None:
        super().__init__()
        self._embedded = embedded
        self.weights = torch.nn.Parameter(torch.log(rarity + 0.05))
        self.projection = torch.nn.Parameter(
            torch.linalg.qr(torch.randn(embedded.shape[1], n_dimensions))[0]
        )

    def forward(self, bags: Sequence[Bag]) -> Tensor:
        """Unit vectors. Shapes: n bags → [n, D]."""
        tokens = torch.from_numpy(np.concatenate([tokens for tokens, _ in bags]))
        counts = torch.from_numpy(np.concatenate([counts for _, counts in bags]))
        starts = np.cumsum([0, *(len(tokens) for tokens, _ in bags[:-1])])
        sums = F.embedding_bag(
            tokens,
            self._embedded,
            torch.from_numpy(starts),
            mode="sum",
            per_sample_weights=self.weights[tokens].exp() * torch.log1p(counts),
        )
        return F.normalize(sums @ self.projection, dim=-1)


def fit(
    embedded: Tensor,
    docstrings: Sequence[Pair],
    calls: Sequence[Pair],
    seed: int,
    n_dimensions: int = N_DIMENSIONS,
) -> Model:
    """A model that finds the answer of a pair among those of its batch, and the asking of an answer."""
    torch.manual_seed(seed)
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    model = Model(
        embedded, rarity([pair.answer for pair in docstrings], len(embedded)), n_dimensions
    )
    optimizer = torch.optim.Adam(
        [
            {"params": [model.projection], "lr": RATES[0]},
            {"params": [model.weights], "lr": RATES[1]},
        ]
    )
    steps = [batch for _ in range(N_ROUNDS) for batch in _round(docstrings, calls, rng)]
    for k, batch in enumerate(steps):
        for group, rate in zip(optimizer.param_groups, RATES, strict=True):
            group["lr"] = rate * (1 - k / len(steps))
        asking = model([_thinned(pair.asking, noise) for pair in batch])
        answers = model([_thinned(pair.answer, noise) for pair in batch])
        scores = asking @ answers.T / TEMPERATURE
        own = torch.arange(len(batch))
        loss = (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def rarity(bags: Sequence[Bag], n_tokens: int) -> Tensor:
    """The inverse document frequency of each token, where the weights begin. Shape: [V]."""
    n_having = np.zeros(n_tokens)
    for tokens, _ in bags:
        n_having[tokens] += 1
    return torch.from_numpy(np.log((len(bags) + 1) / (n_having + 1))).float()


def mean_reciprocal_rank(model: Model, pairs: Sequence[Pair]) -> float:
    """Of each pair's answer among the answers of all."""
    with torch.no_grad():
        scores = model([p.asking for p in pairs]) @ model([p.answer for p in pairs]).T
    ranks = (scores > scores.diagonal()[:, None]).sum(1) + 1
    return float((1 / ranks).mean())


def _round(
    docstrings: Sequence[Pair], calls: Sequence[Pair], rng: random.Random
) -> list[list[Pair]]:
    first, second = list(_batches(docstrings, rng)), list(_batches(calls, rng))
    rng.shuffle(second)
    together = first + second[: int(CALL_SHARE * len(first))]
    rng.shuffle(together)
    return together


def _batches(pairs: Sequence[Pair], rng: random.Random) -> Iterator[list[Pair]]:
    shuffled = rng.sample(pairs, len(pairs))
    for start in range(0, len(shuffled), N_NEAR * N_PAIRS):
        drawn = sorted(shuffled[start : start + N_NEAR * N_PAIRS], key=lambda pair: pair.origin)
        for k in range(0, len(drawn), N_PAIRS):
            yield drawn[k : k + N_PAIRS]


def _thinned(bag: Bag, noise: np.random.Generator) -> Bag:
    kept = noise.random(len(bag[0])) >= FORGOTTEN
    return (bag[0][kept], bag[1][kept]) if kept.any() else bag


def read_pairs(path: Path, bags: Bags, seed: int) -> tuple[list[Pair], list[Pair]]:
    """All pairs of a corpus: of docstrings, of calls."""
    with path.open() as lines:
        records = [json.loads(line) for line in lines]
    neighbours = Neighbours(*([r[key] for r in records] for key in ("origin", "path", "text")))
    rng = random.Random(seed)
    docstrings: list[Pair] = []
    calls: list[Pair] = []
    for k, record in enumerate(records):
        origin, text = record["origin"], record["text"]
        if len(text) <= MAX_CHARACTERS:
            docstrings += from_docstrings(origin, text, bags)
            calls += from_calls(origin, k, text, neighbours, bags, rng)
    # a bag without a token is no pair: nothing could be learnt from it
    return [p for p in docstrings if _is_whole(p)], [p for p in calls if _is_whole(p)]


def _is_whole(pair: Pair) -> bool:
    return len(pair.asking[0]) > 0 and len(pair.answer[0]) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", type=typed, help="embedded name or folder")
    parser.add_argument("--work", type=Path, default=Path(".work"))
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    folder = locate(options.name)
    embedded, bags = embedding(folder), Bags(Tokenizer.load(folder))
    docstrings, calls = read_pairs(options.work / "corpus/train.jsonl", bags, options.seed)
    print(f"{len(docstrings)} docstrings, {len(calls)} calls", flush=True)
    origins = sorted({pair.origin for pair in docstrings})
    random.Random(options.seed).shuffle(origins)
    aside = set(origins[: len(origins) // 6])
    part = fit(
        embedded,
        [pair for pair in docstrings if pair.origin not in aside],
        [pair for pair in calls if pair.origin not in aside],
        options.seed,
    )
    for name, pairs in (("docstrings", docstrings), ("calls", calls)):
        judged = [pair for pair in pairs if pair.origin in aside]
        judged = random.Random(options.seed).sample(judged, min(2000, len(judged)))
        print(f"{name} of packages set aside: MRR {mean_reciprocal_rank(part, judged):.3f}")
    model = fit(embedded, docstrings, calls, options.seed)
    tensors = {
        "weights": model.weights.detach().half().contiguous(),
        "projection": model.projection.detach().half().contiguous(),
    }
    path = folder / ENCODER
    save_file(tensors, path, {"model": checkpoint.fingerprint(folder)})
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
