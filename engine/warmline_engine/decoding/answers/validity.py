"""Checks of a decoded text: does it fit into the syntax, does it repeat a line, is it whole."""

from __future__ import annotations

from dataclasses import replace

from warmline_engine.decoding.greedy import Decoded
from warmline_engine.decoding.request import CompletionRequest

ENDED = ("line", "end", "unsure")  # reasons that end a line
CUT = ("tokens", "deadline")  # reasons to stop within a line


def is_checked(request: CompletionRequest) -> bool:
    """Whether there is anything that an answer could break or repeat."""
    return bool(request.adjacent_lines) or request.syntax is not None


def valid_part(request: CompletionRequest, answer: Decoded) -> Decoded | None:
    """The longest valid part of an answer. None if there is none, or it repeats an adjacent line."""
    if repeats_adjacent_line(request, answer):
        return None
    if request.syntax is None or not answer.text.strip():
        return answer
    text = request.syntax.fitting(answer.text)
    return replace(answer, text=text) if text else None


def repeats_adjacent_line(request: CompletionRequest, answer: Decoded) -> bool:
    """Whether it repeats an adjacent line, or decoding ended for that reason before it had any text."""
    is_ended = answer.stop == "suffix" and not answer.text.strip()
    return is_ended or request.adjacent_lines.are_repeated_by(answer.text)


def whole_lines(answer: Decoded) -> Decoded:
    """The answer without its last line, which is incomplete, if it has several."""
    lines, _, last = answer.text.rpartition("\n")
    return replace(answer, text=lines.rstrip() if lines.strip() else last)


def distinct(best: Decoded, others: list[Decoded]) -> list[Decoded]:
    """The best first, then the others, the likeliest per token first, each text once."""
    texts = {best.text: best}
    for other in sorted(others, key=lambda other: -other.mean_logprob):
        if other.stop != "cancelled":
            texts.setdefault(other.text, other)
    return list(texts.values())
