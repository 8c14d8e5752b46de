"""A second copy of a window and its cache, so that each method starts from the same state.

The only place that reaches into a window's parts from outside.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from warmline_engine.cache.arena import KVStore
from warmline_engine.cache.sequence import KVSequence
from warmline_engine.cache.slots import Ints
from warmline_engine.session.window import Window


@contextmanager
def forked(window: Window) -> Iterator[Window]:
    """A copy of a window that is changed without the first; its memory goes back at the end."""
    copied = fork(window)
    try:
        yield copied
    finally:
        copied.sequence.drop_cache()


def fork(window: Window) -> Window:
    """A copy of a window with memory of its own."""
    copied = copy.copy(window)
    copied.tokenized = copy.copy(window.tokenized)
    # halves replace their lists and never change them, so that a shallow copy is enough
    copied.tokenized._prefix = copy.copy(window.tokenized._prefix)
    copied.tokenized._suffix = copy.copy(window.tokenized._suffix)
    copied.sequence = _fork_sequence(window.sequence)
    return copied


def _fork_sequence(sequence: KVSequence) -> KVSequence:
    copied = copy.copy(sequence)
    copied.tokens = list(sequence.tokens)
    copied._slots = copy.deepcopy(sequence._slots)
    n_used = sequence._slots.n_used
    copied._rows = KVStore(sequence._rows._arena)
    copied._rows.reserve(n_used + 64)
    for name in ("unrotated", "rotated", "values"):
        getattr(copied._rows, name)[:, :, :n_used] = getattr(sequence._rows, name)[:, :, :n_used]
    return copied


def leave_unrotated(sequence: KVSequence) -> None:
    """Conflict fast encoding: takes keys for rotated where they stand that are rotated where they stood."""
    slots = sequence._slots
    slots.mark_rotated(np.arange(slots.n_used))


def key_error(served: KVSequence, fresh: KVSequence) -> float:
    """The largest difference of the first layer's keys as they are read: those know token and place only."""
    found: list[torch.Tensor] = []
    for sequence in (served, fresh):
        sequence.derive_rotated()
        slots = torch.from_numpy(sequence._slots.slot_of).to(sequence._rows.rotated.device)
        found.append(sequence._rows.rotated[0][:, slots].float())
    return float((found[0] - found[1]).abs().max())


def deviations(served: KVSequence, fresh: KVSequence) -> Ints:
    """Positions by how far keys and values are from a cold read's, the farthest first."""
    total = torch.zeros(len(served.tokens), dtype=torch.float64)
    for mine, true in zip(served.keys_and_values(), fresh.keys_and_values(), strict=True):
        scale = true.double().square().mean((1, 2, 3), keepdim=True) + 1e-12
        total += ((mine.double() - true.double()).square() / scale).sum((0, 2, 3)).cpu()
    return torch.argsort(total, descending=True, stable=True).numpy()


def take_layers(served: KVSequence, fresh: KVSequence, layers: range, positions: Ints) -> None:
    """Puts a cold read's keys and values of some layers and positions in the place of the served ones."""
    served.derive_rotated()
    fresh.derive_rotated()
    to = torch.from_numpy(served._slots.slot_of[positions])
    of = torch.from_numpy(fresh._slots.slot_of[positions])
    for name in ("unrotated", "rotated", "values"):
        mine, true = getattr(served._rows, name), getattr(fresh._rows, name)
        for layer in layers:
            mine[layer][:, to] = true[layer][:, of]
