"""What the queries of one step may see, and by which angles they are turned.

A view is made once a step and shared by all layers. Positions are logical places in a sequence, slots
are rows of the cache; the two meet here and nowhere else in the kernels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

# positions whose angles numpy makes in 10 microseconds and torch, call by call, in 80
FEW_ANGLES = 128
UNSEEN = 2**30  # the position of a slot that nobody may see
EVERY_SPAN = -1  # all bits set: a query that sees every span


@dataclass(frozen=True, eq=False)
class AttentionMetadata:
    """Queries at their positions, looking at keys in slots.

    A key was last rotated for position `rotated_at`; where it stands elsewhere by now, the query is
    turned back by the difference instead: R(q)ᵀ R(k) depends on the distance only. So a shift of
    a thousand keys costs one more rotation of the query.

    `only_offset` is the offset of all keys, where the caller knows that they have one.

    `seen_spans` is the attention rule and the rows at once: bit s of a query's mask says that it sees
    keys of span s.

    Shapes: query_positions [T], key_positions [S], rotated_at [S], inverse_frequencies [R/2] float32,
    key_spans [S] in 0..62 or None, seen_spans [T] int64 masks or None.
    """

    query_positions: Tensor
    key_positions: Tensor
    rotated_at: Tensor
    inverse_frequencies: Tensor
    attention_factor: float
    scale: float
    key_spans: Tensor | None = None
    seen_spans: Tensor | None = None
    only_offset: int | None = None
    _masks: dict[int | None, Tensor | None] = field(default_factory=dict[int | None, Tensor | None])
    _biases: dict[tuple[int | None, int], Tensor | None] = field(
        default_factory=dict[tuple[int | None, int], Tensor | None]
    )
    _fully_masked: dict[int | None, Tensor | None] = field(
        default_factory=dict[int | None, Tensor | None]
    )

    @cached_property
    def offsets(self) -> Tensor:
        """How far each key stands from where it was rotated for. Shape: [S]."""
        shift = self.key_positions - self.rotated_at
        return torch.where(self.key_positions < UNSEEN, shift, 0)

    @cached_property
    def _grouped(self) -> tuple[Tensor, Tensor]:
        if self.only_offset is not None:
            only = torch.full((1,), self.only_offset, device=self.key_positions.device)
            return only, torch.zeros_like(self.key_positions)
        if len(self.offsets):
            low, high = self.offsets.aminmax()
            if low == high:  # there mostly is one, and sorting takes ten times as long
                return low[None], torch.zeros_like(self.offsets)
        return torch.unique(self.offsets, return_inverse=True)

    @property
    def distinct_offsets(self) -> Tensor:
        """The offsets in use. Shape: [G]."""
        return self._grouped[0]

    @property
    def group_of(self) -> Tensor:
        """Which of the distinct offsets each key has. Shape: [S]."""
        return self._grouped[1]

    @cached_property
    def query_angles(self) -> tuple[Tensor, Tensor]:
        """Cosines and sines that turn the queries, for each distinct offset. Shape: [G, T, 1, R/2]."""
        offsets = self.distinct_offsets[:, None] if self.only_offset is None else self.only_offset
        turned = self.query_positions[None, :] - offsets
        return cos_sin(turned[:, :, None], self.inverse_frequencies, self.attention_factor)

    @cached_property
    def own_angles(self) -> tuple[Tensor, Tensor]:
        """Cosines and sines that turn the queries where no key has moved. Shape: [T, R/2]."""
        return cos_sin(self.query_positions, self.inverse_frequencies, self.attention_factor)

    def mask(self, window: int | None) -> Tensor | None:
        """Which keys each query sees, or None where each sees all. Shape: [T, S] bool."""
        if window not in self._masks:
            self._masks[window] = self._make_mask(window)
        return self._masks[window]

    def bias(self, window: int | None, n_repeats: int) -> Tensor | None:
        """What is added to scores, each query's row n_repeats times; None where each query sees all.

        Finite, so that a query that sees no key makes no NaN. Shape: [T · n_repeats, S] float32.
        """
        key = (window, n_repeats)
        if key not in self._biases:
            mask = self.mask(window)
            self._biases[key] = None if mask is None else _as_bias(mask, n_repeats)
        return self._biases[key]

    def fully_masked(self, window: int | None) -> Tensor | None:
        """Which queries see no key at all, None where each sees one. Shape: [T] bool."""
        if window not in self._fully_masked:
            mask = self.mask(window)
            fully_masked = None if mask is None else ~mask.any(dim=1)
            self._fully_masked[window] = (
                None if fully_masked is None or not bool(fully_masked.any()) else fully_masked
            )
        return self._fully_masked[window]

    def _make_mask(self, window: int | None) -> Tensor | None:
        has_rule = self.key_spans is not None and self.seen_spans is not None
        if (
            window is None
            and not has_rule
            and len(self.key_positions)
            and len(self.query_positions)
        ):
            last = self.key_positions.max()
            if bool(last <= self.query_positions.min()):
                return None  # as where one token is decoded
        distance = self.query_positions[:, None] - self.key_positions[None, :]
        seen = distance >= 0
        if window is not None:
            seen &= distance < window
        if self.key_spans is not None and self.seen_spans is not None:
            seen &= (self.seen_spans[:, None] >> self.key_spans[None, :]) & 1 == 1
        return None if bool(seen.all()) else seen


def _as_bias(mask: Tensor, n_repeats: int) -> Tensor:
    bias = torch.zeros(mask.shape, dtype=torch.float32, device=mask.device)
    bias.masked_fill_(~mask, torch.finfo(torch.float32).min)
    return bias.repeat_interleave(n_repeats, dim=0)


def cos_sin(
    positions: Tensor, inverse_frequencies: Tensor, attention_factor: float
) -> tuple[Tensor, Tensor]:
    """The rotary factor at positions.

    Shapes: positions [...], inverse_frequencies [R/2] → two of [..., R/2] float32.
    """
    # in float32 an angle at position 8,000 is off by up to 0.0005, and by other amounts where it stood before a shift
    if positions.device.type == "cpu" and positions.numel() <= FEW_ANGLES:
        few = positions.numpy()[..., None] * inverse_frequencies.numpy().astype(np.float64)
        cos, sin = (turn(few) * attention_factor for turn in (np.cos, np.sin))
        return torch.from_numpy(cos.astype(np.float32)), torch.from_numpy(sin.astype(np.float32))
    angles = positions[..., None].to(torch.float64) * inverse_frequencies
    cos, sin = angles.cos() * attention_factor, angles.sin() * attention_factor
    return cos.float(), sin.float()
