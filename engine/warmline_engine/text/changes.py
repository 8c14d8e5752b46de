"""Changes of a token sequence: splices and moves, and the smallest ones that turn old tokens into new ones."""

from __future__ import annotations

from dataclasses import dataclass

from .token_identity import IdentityPair, Tokens


@dataclass(frozen=True)
class Splice:
    """Replace the tokens [start, end) by `tokens`."""

    start: int
    end: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Move:
    """Take the tokens [start, end) out and insert them at `to` of the remaining ones."""

    start: int
    end: int
    to: int


Change = Splice | Move


def moves_of(start: int, end: int, to: int) -> list[Change]:
    return [Move(start, end, to)] if start < end else []


def differences(old: Tokens, new: Tokens, begin: int) -> list[Change]:
    """The splices that turn the old tokens, from position `begin` on, into the new ones. Fast where few differ."""
    n_front = old.n_equal(new)
    old, new = old[n_front:], new[n_front:]
    n_end = old.reversed().n_equal(new.reversed())
    old, new = old[: len(old) - n_end], new[: len(new) - n_end]
    return splices((old.identities(), new.identities()), begin + n_front)


def splices(identities: IdentityPair, begin: int) -> list[Change]:
    """The splices that turn the old tokens into the new ones, from the back, so that none shifts the next."""
    old, new = identities
    index_of = {token: k for k, token in enumerate(old) if token[0] >= 0}
    changes: list[Change] = []
    gap_old, gap_new = 0, 0
    for k, token in enumerate([*new, None]):
        kept = len(old) if token is None else index_of.get(token, -1)
        if kept < gap_old:
            continue
        if gap_old < kept or gap_new < k:
            tokens = tuple(id for _, _, id in new[gap_new:k])
            changes.append(Splice(begin + gap_old, begin + kept, tokens))
        gap_old, gap_new = kept + 1, k + 1
    return changes[::-1]
