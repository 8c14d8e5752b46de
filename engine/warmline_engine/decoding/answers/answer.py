"""The answers to one request: decode greedily, check the result, repair it, and look for others if requested."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from warmline_engine.decoding.greedy import AnswerDecoder, Decoded
from warmline_engine.decoding.hypotheses import Hypothesis
from warmline_engine.decoding.request import CompletionRequest

from .alternatives import branched, sampled
from .search import search
from .syntax_repair import SyntaxRepair
from .validity import CUT, ENDED, is_checked, valid_part, whole_lines

# hypotheses that repair tries (docs/decisions/0015-syntax-repair.md)
N_REPAIRS = 3


@dataclass(frozen=True)
class Answers:
    """Texts, best first, and how many tokens of all that were generated the base model of a pair chose."""

    items: list[Decoded]
    n_by_base: int


def answers(request: CompletionRequest) -> Answers:
    """The greedy answer or the likeliest line of a search, then others, the likeliest per token first.

    At most `n_answers`, each with another text. The sequence afterwards carries the tokens of the first.
    """
    is_checking = is_checked(request)
    with closing(AnswerDecoder(request)) as decoder:
        return Answers(_decoded(decoder, N_REPAIRS if is_checking else 0), decoder.n_by_base)


def _decoded(decoder: AnswerDecoder, n_repairs: int) -> list[Decoded]:
    request, is_block = decoder.request, decoder.is_block
    if request.sampling is not None:
        best, _ = _first(decoder, 0, n_repairs)
        return sampled(decoder, best, request.sampling)
    # the length of a block is chance: the shorter of two would be the likelier
    n_wanted = max(request.n_answers - 1, 0 if is_block else request.n_searched)
    best, hypotheses = _first(decoder, n_wanted, n_repairs)
    is_searched = request.n_searched > 0 and not is_block and best.stop in ENDED
    if best.stop == "cancelled":
        return [best]
    if request.n_answers > 1:
        return branched(decoder, best, hypotheses, is_searched)
    return [search(decoder, best, hypotheses) if is_searched else best]


def _first(
    decoder: AnswerDecoder, n_wanted: int, n_repairs: int
) -> tuple[Decoded, list[Hypothesis]]:
    """The valid part of the greedy answer, or its repair; and `n_wanted` hypotheses that leave it."""
    request, is_block = decoder.request, decoder.is_block
    max_branches = max(n_wanted, n_repairs)
    greedy = decoder.greedy(max_branches)
    if is_block and greedy.stop in CUT:
        greedy = whole_lines(greedy)
    if max_branches == 0 or greedy.stop == "cancelled":
        return greedy, []
    hypotheses = decoder.hypotheses(n_wanted) if n_wanted else []
    valid = valid_part(request, greedy)
    if valid or greedy.stop == "deadline" or (greedy.stop in CUT and not is_block):
        return valid or greedy, hypotheses
    return SyntaxRepair(decoder).repair(greedy, decoder.hypotheses(n_repairs)), hypotheses
