"""What a window's cache says of a true continuation, and what it offers in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from warmline_engine.decoding.greedy import AnswerDecoder
from warmline_engine.decoding.request import CompletionRequest, Limits
from warmline_engine.decoding.stopping import Stopping
from warmline_engine.session.completion import CompletionLogits, CompletionModel
from warmline_engine.session.context import Context
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.window import Window
from warmline_lab.metrics import measures

CHUNK = 512  # tokens in one pass, as a session reads


@dataclass(frozen=True, eq=False)
class Scored:
    """Teacher-forced: row k of the logits is behind k tokens of the truth. Shapes: logits [n_truth + 1, V]."""

    truth: list[int]
    logits: Tensor

    @property
    def nats(self) -> float:
        return measures.nats(self.logits[:-1], self.truth)

    @property
    def expectations(self) -> Tensor:
        """The rows that the tokens of the truth are judged by. Shape: [n_truth, V]."""
        return self.logits[:-1]


def opened_at(model: LoadedModel, text: str, cursor: int) -> Window:
    """A window of a whole text, read."""
    window = Window(model, text, 0, len(text), cursor)
    read_all(window)
    return window


def read_all(window: Window) -> None:
    """Encodes all that is pending."""
    while window.sequence.encode_pending(CHUNK):
        pass


def refresh_all(window: Window) -> int:
    """Makes every token fresh; how many were encoded."""
    before = window.sequence.n_encoded
    read_all(window)
    while window.sequence.refresh(CHUNK):
        pass
    return window.sequence.n_encoded - before


def score(window: Window, truth: list[int]) -> Scored:
    """One pass over the truth behind the window's own tokens, which afterwards stand as before."""
    sequence, n_own = window.sequence, window.n_own_tokens
    sequence.truncate(n_own)
    sequence.splice(n_own, n_own, truth)
    positions = np.arange(n_own - 1, n_own + len(truth))
    logits = sequence.encode(positions, len(positions))
    sequence.truncate(n_own)
    return Scored(truth, logits)


def offer(
    model: LoadedModel,
    window: Window,
    scored: Scored,
    multi_line: bool = False,
    recalls: bool = False,
) -> str:
    """The text a greedy completion offers; without healing and recall, which would hide what the cache lost.

    Where it `recalls`, `scored` are the model's own expectations.
    """
    tokenized, sequence = window.tokenized, window.sequence
    sequence.truncate(window.n_own_tokens)
    text, cursor = tokenized.text, tokenized.cursor
    used = model if recalls else replace(model, recall=None)
    context = Context(sequence, tokenized.prefix_ids, tokenized.suffix_ids, first=scored.logits[0])
    stopping = Stopping(text[:cursor], text[cursor:], multi_line)
    limits = Limits(24 + 2 * len(scored.truth), lambda: False, lambda: False)
    request = CompletionRequest(
        used.tokenizer,
        used.suppressed_ids,
        used.layout.stop_ids,
        stopping,
        limits,
        lambda: CompletionLogits(CompletionModel(used, context)),
    )
    try:
        decoded = AnswerDecoder(request).decode()
    finally:
        sequence.truncate(window.n_own_tokens)
    return decoded.text if multi_line else decoded.text.split("\n")[0]
