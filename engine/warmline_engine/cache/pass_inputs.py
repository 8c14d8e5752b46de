"""The numbers of one forward pass: which tokens go in, where their rows lie and what each token sees."""

from __future__ import annotations

from dataclasses import dataclass

from .slots import Ints


@dataclass(frozen=True)
class PassInputs:
    """Tokens to encode and the slots they may attend to.

    The new keys are rotated for `offset` places before their positions. With `has_one_offset` all keys in the
    cache are. `spans` and `seen` are the attention rule of `AttentionMetadata`; both are None where each token
    sees all keys before it.

    Shapes: tokens, slots, at and seen [T]; seen_at, rotated_at and spans [S].
    """

    tokens: Ints
    slots: Ints
    at: Ints
    offset: int
    has_one_offset: bool
    seen_at: Ints
    rotated_at: Ints
    spans: Ints | None
    seen: Ints | None
