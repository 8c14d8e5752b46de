"""Where alternatives leave the first answer: at the early token that was the least certain.

An alternative that differs only in its last token is no choice, and one that differs in its first may be far from
what is meant. So the likeliest of all other beginnings is taken, however many tokens it shares with the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

N_EARLY = 8  # tokens of the first answer that alternatives may leave it at


@dataclass(frozen=True)
class Hypothesis:
    """Tokens that an answer begins with, and how likely they are together."""

    tokens: tuple[int, ...] = ()
    logprob: float = 0.0


@dataclass(frozen=True)
class _Branch:
    n_shared: int  # tokens of the first answer before it
    token: int
    logprob: float  # of all of them together


@dataclass
class BranchRecorder:
    """The other ways an answer could have gone, noted while it is decoded; at most `most` are taken."""

    most: int
    _found: list[_Branch] = field(default_factory=list[_Branch])

    def note(self, n_before: int, logprobs: Tensor, chosen: int, logprob_before: float) -> None:
        """What could have been in the place of a chosen token. Shape: logprobs [V]."""
        if n_before >= N_EARLY:
            return
        n = min(self.most + 1, len(logprobs))
        likely = logprobs.topk(n)
        for logprob, token in zip(likely.values.tolist(), likely.indices.tolist(), strict=True):
            if token != chosen and logprob > float("-inf"):
                self._found.append(_Branch(n_before, token, logprob_before + logprob))

    def best(
        self,
        n_wanted: int,
        tokens: Sequence[int],
        stop_ids: frozenset[int],
        decode: Callable[[list[int]], str],
    ) -> list[Hypothesis]:
        """The likeliest branches off the tokens of an answer, the one that shares the most of it first."""
        assert n_wanted <= self.most, (n_wanted, self.most)
        text, chosen = decode(list(tokens)), list[_Branch]()
        for branch in sorted(self._found, key=lambda branch: -branch.logprob):
            if len(chosen) == n_wanted:
                break
            begun = decode([*tokens[: branch.n_shared], branch.token])
            # the same text in other tokens is no alternative, and nothing at all is none either
            if branch.token not in stop_ids and not text.startswith(begun):
                chosen.append(branch)
        chosen.sort(key=lambda branch: -branch.n_shared)
        return [Hypothesis((*tokens[: b.n_shared], b.token), b.logprob) for b in chosen]


def logprobs_of(logits: Tensor) -> Tensor:
    """Log-probabilities. Shape: [V] float32."""
    return logits.log_softmax(0)
