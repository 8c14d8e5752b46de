"""What is generated behind a window: the text begun at the cursor healed, recall mixed in, drafts verified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from .decoding.agreement import LONGEST, Around, Ids
from .decoding.branches import Begun, Branches
from .decoding.drafts import copying
from .decoding.greedy import NOTHING, Decoded, Limits, decode
from .decoding.healing import Healing, only
from .decoding.recall import Recall
from .decoding.speculation import Speculation
from .decoding.stopping import Stopping
from .loaded_model import LoadedModel
from .window import Window


@dataclass(frozen=True, eq=False)
class Beside:
    """Tokens that are no part of the context but may come next: of text that was removed, of other documents."""

    removed: Ids = ()
    documents: Ids = ()

    def others(self) -> list[Ids]:
        """Those that there are, in the order in which they are believed."""
        return [tokens for tokens in (self.removed, self.documents) if len(tokens)]


ALONE = Beside()


class Completion:
    """Generation behind the sequence of one window."""

    def __init__(
        self,
        model: LoadedModel,
        window: Window,
        before: list[int],
        stub: str = "",
        beside: Beside = ALONE,
    ) -> None:
        """`before` are the tokens before the cursor that the sequence has, `stub` is the text of those it lacks."""
        self._model = model
        self._sequence = window.sequence
        self._n_context = len(window.sequence)
        self._around = Around(before, window.tokenized.suffix_ids, model.barred)
        # what was just taken away first
        sources = [Around(before[-LONGEST:], other, model.barred) for other in beside.others()]
        sources.insert(1 if len(beside.removed) else 0, self._around)
        self._draft = copying(sources, model.payoff)
        self._healing = Healing(stub, model.tokenizer, model.spellings)

    def answers(
        self, logits: Tensor, stopping: Stopping, limits: Limits, n_answers: int
    ) -> list[Decoded]:
        """The greedy completion, and others that leave it at an early token, the likeliest a token first.

        At most n_answers, each of another text. The sequence afterwards carries the tokens of the first.
        """
        sequence, branches = self._sequence, Branches(n_answers - 1)
        first = self.decode(logits, stopping, limits, branches=branches if n_answers > 1 else None)
        if n_answers == 1 or first.stop == "cancelled":
            return [first]
        model, carried = self._model, sequence.tokens[self._n_context :]
        others: list[Decoded] = []
        for begun in branches.best(first.tokens, model.layout.ends, model.tokenizer.decode):
            if limits.is_late():
                break
            others.append(self.decode(logits, stopping, limits, begun))
        # the first is the one that is most often accepted
        self._carry(carried)
        others.sort(key=lambda other: -other.mean_logprob)
        texts = {first.text: first}
        for other in others:
            if other.stop != "cancelled":
                texts.setdefault(other.text, other)
        return list(texts.values())

    def decode(
        self,
        logits: Tensor,
        stopping: Stopping,
        limits: Limits,
        begun: Begun = NOTHING,
        branches: Branches | None = None,
    ) -> Decoded:
        """One completion from the logits behind the context; the sequence afterwards carries its tokens.

        Of what is `begun` the tokens but the last stay where the sequence carries them.
        """
        model, healing = self._model, self._healing
        recall = Recall(model.recall, self._around) if model.recall else None

        def expect(logits: Tensor) -> Tensor:
            allowed = healing.allowed(speculation.taken)
            if recall:
                logits = recall.mix(logits, speculation.taken, allowed)
            return logits if allowed is None else only(logits, allowed)

        self._carry(list(begun.tokens[:-1]))
        speculation = Speculation(self._sequence, self._draft, model.payoff, begun.tokens[:-1])
        try:
            for token in begun.tokens[-1:]:
                logits = speculation.append(token)
            return decode(
                expect(logits),
                lambda token: expect(speculation.append(token)),
                model.tokenizer,
                model.barred,
                model.layout.ends,
                stopping,
                limits,
                len(healing.stub),
                begun,
                branches,
            )
        finally:
            speculation.close()

    def _carry(self, tokens: list[int]) -> None:
        """Makes the sequence carry tokens behind the context; those that it does already stay."""
        sequence, n_context = self._sequence, self._n_context
        carried, n_same = sequence.tokens[n_context:], 0
        while n_same < min(len(tokens), len(carried)) and tokens[n_same] == carried[n_same]:
            n_same += 1
        sequence.truncate(n_context + n_same)
        if n_same < len(tokens):
            sequence.extend(tokens[n_same:])


@contextmanager
def completing(model: LoadedModel, window: Window, beside: Beside = ALONE) -> Iterator[Completion]:
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
            yield Completion(model, window, before, model.tokenizer.decode(begun), beside)
    finally:
        window.note_tail(n_respelled)
