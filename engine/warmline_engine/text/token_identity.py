"""Tokens told apart by where they stand, so that old and new ones of an edit can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

TokenIdentity = tuple[int, int, int]  # character, how many tokens started there before, id
IdentityPair = tuple[list[TokenIdentity], list[TokenIdentity]]  # old and new
NOWHERE = -3  # the character of a token that is unlike any other


def identify(places: Iterable[int], ids: Sequence[int]) -> list[TokenIdentity]:
    """The keys of tokens in a row."""
    keys: list[TokenIdentity] = []
    for k, (place, token) in enumerate(zip(places, ids, strict=True)):
        n_before = keys[-1][1] + 1 if k and keys[-1][0] == place else 0
        keys.append((place, n_before, token))
    return keys


def shared_run(old: list[TokenIdentity], new: list[TokenIdentity]) -> tuple[int, int, int]:
    """The longest run of keys that both have: where it starts in the old ones, in the new ones, its length."""
    place_of = {key: k for k, key in enumerate(new)}
    best, n_run, expected = (0, 0, 0), 0, None
    for k, key in enumerate(old):
        place = place_of.get(key)
        n_run = 0 if place is None else n_run + 1 if place == expected else 1
        expected = None if place is None else place + 1
        if place is not None and best[2] < n_run:
            best = (k + 1 - n_run, place + 1 - n_run, n_run)
    return best
