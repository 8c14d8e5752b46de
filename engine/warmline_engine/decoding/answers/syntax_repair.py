"""Syntax repair: another answer if the greedy one breaks the syntax or repeats an adjacent line."""

from __future__ import annotations

from dataclasses import replace

from warmline_engine.decoding.block_opening import openers
from warmline_engine.decoding.greedy import AnswerDecoder, Decoded
from warmline_engine.decoding.hypotheses import Hypothesis

from .validity import CUT, repeats_adjacent_line, valid_part, whole_lines

# for a block below that lacks its opener: nested lines, words to begin each with, tokens for the rest of it
MAX_OPENED, N_OPENERS, OPENER_TOKENS = 2, 4, 32


class SyntaxRepair:
    """Tries other hypotheses, then lines that open the block below."""

    def __init__(self, decoder: AnswerDecoder) -> None:
        self._decoder = decoder
        self._request = decoder.request

    def repair(self, greedy: Decoded, hypotheses: list[Hypothesis]) -> Decoded:
        """The first valid answer; if there is none, the greedy one, empty unless the request shows broken ones."""
        request, decoder = self._request, self._decoder
        carried = decoder.carried()
        for hypothesis in hypotheses:
            if request.limits.is_over():
                break
            found = decoder.decode(hypothesis)
            valid = None if found.stop in CUT else valid_part(request, found)
            if valid and valid.text.strip():
                return valid
        if request.shows_broken and (opened := self._open_block(greedy, MAX_OPENED)):
            return opened
        decoder.carry(carried)
        if request.shows_broken:
            return greedy
        reason = "repeat" if repeats_adjacent_line(request, greedy) else "syntax"
        return replace(greedy, text="", stop=reason)

    def _open_block(self, answer: Decoded, n_lines: int) -> Decoded | None:
        """The longest part of an answer that fits with at most `n_lines` after it that open the block below."""
        request, decoder = self._request, self._decoder
        kept = answer.text if decoder.is_block else ""
        beginning = request.syntax and request.syntax.before_opener(kept)
        if beginning is None:
            return None

        def encode(text: str) -> list[int]:
            return request.tokenizer.encode(request.healed_text + text).ids

        found = openers(beginning, encode, decoder.source.model_logits, answer.logprob)
        for hypothesis in found[:N_OPENERS]:
            if request.limits.is_over():
                break
            n_tokens = min(request.limits.max_tokens, len(hypothesis.tokens) + OPENER_TOKENS)
            opened = decoder.decode(hypothesis, max_tokens=n_tokens)
            if opened.stop in CUT:
                opened = whole_lines(opened)
            valid = valid_part(request, opened)
            if valid and len(beginning) < len(valid.text):
                return valid
            line = opened.text[len(beginning) :].partition("\n")[0].rstrip()
            if n_lines > 1 and line.endswith(":"):
                opened = replace(opened, text=beginning + line)
                if deeper := self._open_block(opened, n_lines - 1):
                    return deeper
        return None
