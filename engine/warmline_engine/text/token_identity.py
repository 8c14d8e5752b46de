"""Identities of tokens: old and new tokens of an edit are the same if they start at the same character."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TokenIdentity = tuple[int, int, int]  # character, number of tokens that start there before, id
IdentityPair = tuple[list[TokenIdentity], list[TokenIdentity]]  # old and new
NOWHERE = -3  # the character of a token that is unlike any other
_MAX_PER_CHARACTER = 1 << 20  # tokens that start at one character


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens with their identities as arrays, for comparing many at once.

    Shapes: keys and ids [n]; keys rise and combine character and number.
    """

    keys: NDArray[np.int64]
    ids: NDArray[np.int64]

    @classmethod
    def of(cls, ids: Sequence[int], starts: NDArray[np.int64]) -> Tokens:
        n_before = np.arange(len(starts)) - np.searchsorted(starts, starts)
        return cls(starts * _MAX_PER_CHARACTER + n_before, np.array(ids, np.int64))

    @classmethod
    def unlike_others(cls, ids: Sequence[int], character: int) -> Tokens:
        """Tokens at a negative character, such as markers."""
        return cls(np.full(len(ids), character * _MAX_PER_CHARACTER), np.array(ids, np.int64))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, span: slice) -> Tokens:
        return Tokens(self.keys[span], self.ids[span])

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            np.concatenate((self.keys, other.keys)), np.concatenate((self.ids, other.ids))
        )

    def without(self, span: slice) -> Tokens:
        return self[: span.start] + self[span.stop :]

    def n_equal(self, other: Tokens) -> int:
        """How many tokens both begin with."""
        n = min(len(self), len(other))
        is_same = (self.keys[:n] == other.keys[:n]) & (self.ids[:n] == other.ids[:n])
        return n if is_same.all() else int(is_same.argmin())

    def reversed(self) -> Tokens:
        return self[::-1]

    def identities(self) -> list[TokenIdentity]:
        characters, n_before = np.divmod(self.keys, _MAX_PER_CHARACTER)
        return list(zip(characters.tolist(), n_before.tolist(), self.ids.tolist(), strict=True))


def identify(characters: Iterable[int], ids: Sequence[int]) -> list[TokenIdentity]:
    """The identities of consecutive tokens."""
    identities: list[TokenIdentity] = []
    for k, (character, token) in enumerate(zip(characters, ids, strict=True)):
        n_before = identities[-1][1] + 1 if k and identities[-1][0] == character else 0
        identities.append((character, n_before, token))
    return identities


def shared_run(old: Tokens, new: Tokens) -> tuple[int, int, int]:
    """The longest run of tokens in both: its start in the old ones, its start in the new ones, its length."""
    if not len(old) or not len(new):
        return 0, 0, 0
    at_new = np.minimum(np.searchsorted(new.keys, old.keys), len(new) - 1)
    is_same = (new.keys[at_new] == old.keys) & (new.ids[at_new] == old.ids)
    shift = at_new - np.arange(len(old))
    # a run ends where a token differs or where the shift changes
    begins = np.flatnonzero(is_same & ~_follows(is_same, shift))
    ends = np.flatnonzero(is_same & ~_follows(is_same[::-1], shift[::-1])[::-1]) + 1
    if not len(begins):
        return 0, 0, 0
    longest = int((ends - begins).argmax())
    begin = int(begins[longest])
    return begin, int(at_new[begin]), int(ends[longest]) - begin


def _follows(is_same: NDArray[np.bool_], shift: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which tokens continue the run of the token before them."""
    follows = np.zeros(len(is_same), np.bool_)
    follows[1:] = is_same[:-1] & (shift[1:] == shift[:-1])
    return follows
