"""What is generated behind a window: the text begun at the cursor healed, recall mixed in, drafts verified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from .decoding.agreement import Around
from .decoding.drafts import Speculation, copying
from .decoding.greedy import Decoded, Limits, decode
from .decoding.healing import Healing, only
from .decoding.recall import Recall
from .decoding.stopping import Stopping
from .loaded_model import LoadedModel
from .window import Window


class Completion:
    """Generation behind the sequence of one window."""

    def __init__(
        self, model: LoadedModel, window: Window, before: list[int], stub: str = ""
    ) -> None:
        """`before` are the tokens before the cursor that the sequence has, `stub` is the text of those it lacks."""
        self._model = model
        self._sequence = window.sequence
        self._n_context = len(window.sequence)
        self._around = Around(before, window.tokenized.suffix_ids, model.barred)
        self._healing = Healing(stub, model.tokenizer, model.spellings)

    def decode(self, logits: Tensor, stopping: Stopping, limits: Limits, rank: int = 0) -> Decoded:
        """One completion from the logits behind the context; the sequence afterwards carries its tokens."""
        model, healing = self._model, self._healing
        self._sequence.truncate(self._n_context)
        speculation = Speculation(self._sequence, copying(self._around))
        recall = Recall(model.recall, self._around) if model.recall else None

        def expect(logits: Tensor) -> Tensor:
            allowed = healing.allowed(speculation.taken)
            if recall:
                logits = recall.mix(logits, speculation.taken, allowed)
            return logits if allowed is None else only(logits, allowed)

        try:
            return decode(
                expect(logits),
                lambda token: expect(speculation.append(token)),
                model.tokenizer,
                model.barred,
                model.layout.ends,
                stopping,
                limits,
                rank,
                len(healing.stub),
            )
        finally:
            speculation.close()


@contextmanager
def completing(model: LoadedModel, window: Window) -> Iterator[Completion]:
    """A completion behind a window, whose sequence meanwhile lacks the piece of text begun at the cursor.

    What was generated last stays behind the window's own tokens, as its tail.
    """
    sequence, carried = window.sequence, window.carried()
    prefix = window.tokenized.prefix_ids
    # behind a tail its last piece is the one begun; what the tail spells anew is no part of the context either
    begun = window.begun_in_tail() if carried else window.begun()
    n_respelled = window.n_respelled if carried else len(begun)
    sequence.truncate(len(sequence) - (len(begun) if carried else 0))
    try:
        with window.without(n_respelled):
            before = [*prefix[: len(prefix) - n_respelled], *window.carried()]
            yield Completion(model, window, before, model.tokenizer.decode(begun))
    finally:
        window.note_tail(n_respelled)
