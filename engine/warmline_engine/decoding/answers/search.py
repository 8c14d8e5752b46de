"""Search: the likeliest of the greedy line and the hypotheses that leave it."""

from __future__ import annotations

from warmline_engine.decoding.greedy import AnswerDecoder, Decoded
from warmline_engine.decoding.hypotheses import Hypothesis

from .validity import ENDED, valid_part

# hypotheses for a completion that the user requested (docs/decisions/0010-search-on-request.md)
N_SEARCHED = 3


def search(decoder: AnswerDecoder, best: Decoded, hypotheses: list[Hypothesis]) -> Decoded:
    """The likeliest of the best answer so far and the hypotheses. The sequence afterwards carries its tokens."""
    limits, carried = decoder.request.limits, decoder.carried()
    for hypothesis in hypotheses:
        min_logprob = max(best.logprob, limits.min_logprob)
        if limits.is_over():
            break
        if hypothesis.logprob <= min_logprob:
            continue  # more tokens make it less likely
        found = decoder.decode(hypothesis, min_logprob=min_logprob)
        if better := better_line(decoder, found, min_logprob):
            best, carried = better, decoder.carried()
    decoder.carry(carried)
    return best


def better_line(decoder: AnswerDecoder, found: Decoded, min_logprob: float) -> Decoded | None:
    """The valid part of a whole line that is likelier than `min_logprob`, None for any other."""
    valid = valid_part(decoder.request, found)
    is_better = valid and valid.stop in ENDED and valid.text.strip() and valid.logprob > min_logprob
    return valid if is_better else None
