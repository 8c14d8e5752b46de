"""Checks of a decoded text: does it fit into the syntax, does it repeat a line, is it whole."""

from __future__ import annotations

from dataclasses import replace

from warmline_engine.decoding.greedy import Decoded
from warmline_engine.decoding.request import CompletionRequest

ENDED = ("line", "end", "unsure")  # ways in which a line is over, or not worth going on with
CUT = ("tokens", "deadline")  # ways to stop within a line


def valid_part(request: CompletionRequest, answer: Decoded) -> Decoded | None:
    """The longest valid part of an answer. None if there is none, or it repeats an adjacent line."""
    if repeats_adjacent_line(request, answer):
        return None
    if request.syntax is None or not answer.text.strip():
        return answer
    text = request.syntax.fitting(answer.text)
    return replace(answer, text=text) if text else None


def repeats_adjacent_line(request: CompletionRequest, answer: Decoded) -> bool:
    """Whether it repeats an adjacent line, or was ended for that before it had any text."""
    is_ended = answer.stop == "suffix" and not answer.text.strip()
    return is_ended or request.stopping.repeats_adjacent_line(answer.text)


def whole_lines(answer: Decoded) -> Decoded:
    """The answer without its last line, if it has several: the beginning of a block is of no use."""
    lines, _, last = answer.text.rpartition("\n")
    return replace(answer, text=lines.rstrip() if lines.strip() else last)


def distinct(best: Decoded, others: list[Decoded]) -> list[Decoded]:
    """The best first, then the others, the likeliest per token first, each text once."""
    texts = {best.text: best}
    for other in sorted(others, key=lambda other: -other.mean_logprob):
        if other.stop != "cancelled":
            texts.setdefault(other.text, other)
    return list(texts.values())
