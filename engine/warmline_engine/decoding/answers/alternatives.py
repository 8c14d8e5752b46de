"""Further answers: hypotheses that leave the first one, or sampled texts."""

from __future__ import annotations

from warmline_engine.decoding.greedy import AnswerDecoder, Decoded
from warmline_engine.decoding.hypotheses import Hypothesis
from warmline_engine.decoding.sampling import Sampler, SamplingRule

from .search import better_line
from .validity import distinct, valid_part


def branched(
    decoder: AnswerDecoder, best: Decoded, hypotheses: list[Hypothesis], is_searched: bool
) -> list[Decoded]:
    """The best answer, then those of the hypotheses. If `is_searched`, a likelier line becomes the best.

    The sequence afterwards carries the tokens of the best.
    """
    limits, carried, others = decoder.request.limits, decoder.carried(), list[Decoded]()
    for hypothesis in hypotheses:
        if limits.is_over():
            break
        found = decoder.decode(hypothesis)
        min_logprob = max(best.logprob, limits.min_logprob)
        if is_searched and (better := better_line(decoder, found, min_logprob)):
            best, other, carried = better, best, decoder.carried()
        else:
            other = valid_part(decoder.request, found) or found
        others.append(other)
    # users accept the first one most often
    decoder.carry(carried)
    return distinct(best, others)[: decoder.request.n_answers]


def sampled(decoder: AnswerDecoder, best: Decoded, rule: SamplingRule) -> list[Decoded]:
    """The best answer, then sampled ones. The sequence afterwards carries the tokens of the best."""
    request = decoder.request
    carried, found = decoder.carried(), [best]
    for seed in range(2 * (request.n_answers - 1)):  # some texts are drawn twice
        is_over = best.stop == "cancelled" or request.limits.is_over()
        if is_over or len(found) == request.n_answers:
            break
        # sampled texts may be unlikely
        other = decoder.decode(choose=Sampler(rule, seed), min_logprob=float("-inf"))
        found = distinct(best, [*found[1:], other])
    decoder.carry(carried)
    return found
