"""Search: of the greedy line and the hypotheses that leave it, the likeliest."""

from __future__ import annotations

from warmline_engine.decoding.greedy import Decoded
from warmline_engine.decoding.hypotheses import Hypothesis

from .decoder import AnswerDecoder
from .validity import ENDED, valid_part

# hypotheses where a person has asked for a completion: of 1,000 held-out places 17 more were exact and 8 no longer, for
# twice the time of decoding (lab/benchmarks/search.py, small model)
N_SEARCHED = 3


def search(decoder: AnswerDecoder, best: Decoded, hypotheses: list[Hypothesis]) -> Decoded:
    """The likeliest of the best answer so far and the hypotheses. The sequence afterwards carries its tokens."""
    limits, carried = decoder.request.limits, decoder.carried()
    for begun in hypotheses:
        bar = max(best.logprob, limits.least_logprob)
        if limits.is_over():
            break
        if begun.logprob <= bar:
            continue  # it only becomes less likely
        found = decoder.decode(begun, least_logprob=bar)
        if better := better_line(decoder, found, bar):
            best, carried = better, decoder.carried()
    decoder.source.carry(carried)
    return best


def better_line(decoder: AnswerDecoder, found: Decoded, bar: float) -> Decoded | None:
    """The valid part of a whole line that is likelier than the bar, None for any other."""
    valid = valid_part(decoder.request, found)
    is_better = valid and valid.stop in ENDED and valid.text.strip() and valid.logprob > bar
    return valid if is_better else None
