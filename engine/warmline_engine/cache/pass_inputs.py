"""The numbers of one forward pass: its tokens, the slots of their rows, and what each token attends to."""

from __future__ import annotations

from dataclasses import dataclass

from .slots import Ints


@dataclass(frozen=True)
class PassInputs:
    """Tokens to encode and the slots they may attend to.

    The new keys are rotated for `offset` places before their positions. With `has_one_offset` all keys in the
    cache are. `spans` and `seen` are the attention rule of `AttentionMetadata`; both are None if each token
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
