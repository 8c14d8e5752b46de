"""Fits how likely a completion must be to be shown unasked: `... -m warmline_lab.fit.fit_confidence small`.

Fills holes in the half of the held-out files that recall was fitted on, and writes confidence.json beside the
weights. Fit recall first.
"""

from __future__ import annotations

import argparse
import math
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from warmline_engine.decoding import confidence
from warmline_engine.model.hub.sources import locate
from warmline_lab.metrics.judge import choose_holes, fill_one, read_heldout
from warmline_protocol import processes
from warmline_protocol.model_names import typed

MIN_EXACT = 0.1  # of the completions that are just let through
N_NEWTON = 50


def fit(logprobs: NDArray[np.float64], exact: NDArray[np.bool_]) -> float:
    """The probability at which one in ten is exact, by a logistic regression on its logarithm; in [0, 0.5].

    Shapes: two of [n].
    """
    # a weak prior keeps the slope finite where the two kinds can be separated without error
    design = np.stack((np.ones_like(logprobs), np.clip(logprobs, -30, 0)), 1)
    weights = np.zeros(2)
    for _ in range(N_NEWTON):
        expected = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (exact - expected) - 0.01 * weights
        curvature = (design * (expected * (1 - expected))[:, None]).T @ design + 0.01 * np.eye(2)
        weights += np.linalg.solve(curvature, gradient)
    if weights[1] <= 0:
        return 0.0  # likelier is not righter: nothing is to be learnt from it
    wanted = math.log(MIN_EXACT / (1 - MIN_EXACT))
    return float(np.clip(np.exp((wanted - weights[0]) / weights[1]), 0.0, 0.5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", type=typed, help="embedded name or folder")
    parser.add_argument("--work", type=Path, default=Path(".work"))
    parser.add_argument("--holes", type=int, default=300, help="of each kind")
    options = parser.parse_args()
    folder, heldout = locate(options.name), options.work / "corpus/heldout.jsonl"
    files = read_heldout(heldout, for_fitting=True)
    holes = [h for kind in ("rest", "line") for h in choose_holes(files, kind, options.holes)]
    context = processes.workers("spawn")
    n_processes = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(n_processes, context, torch.set_num_threads, (1,)) as pool:
        filled = list(pool.map(partial(fill_one, folder, heldout, True), holes, chunksize=20))
    logprobs = np.array([f.logprob for f in filled])
    exact = np.array([f.is_exact for f in filled])
    least = fit(logprobs, exact)
    confidence.write(folder / "confidence.json", least)
    shown = np.exp(logprobs) >= least
    print(
        f"shown from a probability of {least:.3f} on: {shown.mean():.0%} of {len(filled)}, {exact[shown].mean():.0%} "
        f"of them exact; of the others {exact[~shown].mean() if (~shown).any() else 0:.0%}"
    )


if __name__ == "__main__":
    main()
