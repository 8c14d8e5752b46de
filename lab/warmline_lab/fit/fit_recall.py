"""Fits how far a model's recall is believed: `python -m warmline_lab.fit.fit_recall small`.

Half of the held-out files are used here, the report judges on the other half. Writes recall.json
beside the weights.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from warmline_engine.decoding.ngram.recall import N_CERTAINTIES, Recall, Shares, certainty_of
from warmline_engine.decoding.ngram.suffix_match import LONGEST, SuffixMatcher
from warmline_engine.model.cold_read import ColdRead
from warmline_engine.model.hub.sources import locate
from warmline_engine.session.loaded_model import LoadedModel, load
from warmline_engine.text.tokenized_text import TokenizedText
from warmline_lab.data.samples import cut_middle, is_for_fitting
from warmline_protocol.model_names import typed

N_ROUNDS = 30
PRIOR = 20.0  # tokens seen in each cell beforehand, of which recall was right about none
MARGIN = 6000  # characters of context each side of a middle


@dataclass(frozen=True)
class Seen:
    """Where recall had something to say: the cell, and what model and recall gave the true token.

    Shapes: four of [n].
    """

    lengths: NDArray[np.int64]
    certainties: NDArray[np.int64]
    expected: NDArray[np.float64]
    recalled: NDArray[np.float64]


def collect(model: LoadedModel, texts: list[str], n_middles: int, seed: int = 31) -> Seen:
    """Reads middles of texts with what surrounds them, the true tokens fed one after another."""
    rng = np.random.default_rng(seed)
    no_shares = Shares(np.zeros((LONGEST, N_CERTAINTIES)))
    rows: list[tuple[int, int, float, float]] = []
    for _ in range(n_middles):
        text = texts[int(rng.integers(len(texts)))]
        start, end = cut_middle(text, rng)
        before, behind = text[max(0, start - MARGIN) : start], text[end : end + MARGIN]
        around = TokenizedText(model.tokenizer, model.layout, before + behind, len(before))
        middle = model.tokenizer.encode(text[start:end]).ids if start < end else []
        logits = ColdRead(
            model.transformer, [*around.ids, *middle], slice(len(around.ids) - 1, None)
        ).logits
        logits = logits.masked_fill(model.suppressed_ids, float("-inf"))
        prefix, suffix = (
            around.ids[slice(*span)] for span in (around.prefix_span, around.suffix_span)
        )
        recall = Recall(no_shares, SuffixMatcher(prefix, suffix, model.suppressed_ids))
        for k, token in enumerate(middle):
            found = recall.find(middle[:k])
            if found is not None:
                expected = logits[k].softmax(-1)
                right = float(found.probabilities[found.ids == token].sum())
                cell = found.n_agreeing - 1, certainty_of(expected)
                rows.append((*cell, float(expected[token]), right))
    columns = np.array(rows, np.float64).reshape(-1, 4).T
    return Seen(columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2], columns[3])


def fit(seen: Seen) -> Shares:
    """The shares of greatest likelihood, by expectation maximisation, cell by cell."""
    shares = np.full((LONGEST, N_CERTAINTIES), 0.3)
    cells = seen.lengths, seen.certainties
    counts = np.zeros_like(shares)
    np.add.at(counts, cells, 1.0)
    for _ in range(N_ROUNDS):
        share = shares[cells]
        from_recall = share * seen.recalled
        total = np.maximum(from_recall + (1 - share) * seen.expected, 1e-12)
        sums = np.zeros_like(shares)
        np.add.at(sums, cells, from_recall / total)
        shares = sums / (counts + PRIOR)
    return Shares(np.minimum(shares, 0.98))


def nats_a_token(seen: Seen, shares: Shares) -> float:
    """The mean loss of the mixture, over the tokens where recall had something to say."""
    share = shares.table[seen.lengths, seen.certainties]
    mixed = share * seen.recalled + (1 - share) * seen.expected
    return float(-np.log(np.maximum(mixed, 1e-12)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", type=typed, help="embedded name or folder")
    parser.add_argument("--work", type=Path, default=Path(".work"))
    parser.add_argument("--middles", type=int, default=1500)
    options = parser.parse_args()
    model = load(options.name, "cpu")
    with (options.work / "corpus/heldout.jsonl").open() as lines:
        records = [json.loads(line) for line in lines]
    texts = {
        side: [r["text"] for r in records if is_for_fitting(r["path"]) is side]
        for side in (True, False)
    }
    with torch.inference_mode():
        shares = fit(collect(model, texts[True], options.middles))
        judged = collect(model, texts[False], options.middles // 4)
    none = Shares(np.zeros_like(shares.table))
    shares.write(locate(options.name) / "recall.json")
    before, after = nats_a_token(judged, none), nats_a_token(judged, shares)
    print(f"nats a token on files not fitted on: {before:.3f} without recall, {after:.3f} with it")


if __name__ == "__main__":
    main()
