"""Hypotheses: the beginnings of alternatives, which leave the first answer at an early, uncertain token.

An alternative that differs only in its last token is no real choice, and one that differs in its first may miss the
intention. So the likeliest of all other beginnings is taken, however many tokens it shares with the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

N_EARLY = 8  # tokens at which alternatives may leave the first answer


@dataclass(frozen=True)
class Hypothesis:
    """Tokens that an answer begins with, and their joint log-probability."""

    tokens: tuple[int, ...] = ()
    logprob: float = 0.0


@dataclass(frozen=True)
class _Branch:
    n_shared: int  # tokens of the first answer before it
    token: int
    logprob: float  # of all of them together


@dataclass
class BranchRecorder:
    """The other tokens that an answer could have continued with, noted while it is decoded."""

    max_branches: int
    _found: list[_Branch] = field(default_factory=list[_Branch])

    def note(self, n_before: int, logprobs: Tensor, chosen: int, logprob_before: float) -> None:
        """Notes the alternatives to a chosen token. Shape: logprobs [V]."""
        if n_before >= N_EARLY:
            return
        n = min(self.max_branches + 1, len(logprobs))
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
        assert n_wanted <= self.max_branches, (n_wanted, self.max_branches)
        text, chosen = decode(list(tokens)), list[_Branch]()
        for branch in sorted(self._found, key=lambda branch: -branch.logprob):
            if len(chosen) == n_wanted:
                break
            beginning = decode([*tokens[: branch.n_shared], branch.token])
            # neither the same text in other tokens nor an empty text is an alternative
            if branch.token not in stop_ids and not text.startswith(beginning):
                chosen.append(branch)
        chosen.sort(key=lambda branch: -branch.n_shared)
        return [Hypothesis((*tokens[: b.n_shared], b.token), b.logprob) for b in chosen]


def logprobs_of(logits: Tensor) -> Tensor:
    """Log-probabilities. Shape: [V] float32."""
    return logits.log_softmax(0)
