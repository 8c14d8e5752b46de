"""What is generated behind a window: the text begun at the cursor healed, recall mixed in, drafts verified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from .decoding.agreement import BORDER, LONGEST, Around, Ids
from .decoding.branches import Begun, Branches
from .decoding.drafts import copying
from .decoding.greedy import NOTHING, Decoded, Limits, decode
from .decoding.healing import Healing, only
from .decoding.recall import Recall
from .decoding.speculation import Speculation
from .decoding.stopping import Stopping
from .loaded_model import LoadedModel
from .window import Window

# ways to leave the greedy line that are looked into where a person has asked: of 1,000 held-out places 17 more were
# exact and 8 no longer, for twice the time of decoding (tests/bench/search.py, small model)
N_SEARCHED = 3
ENDED = ("line", "end", "unsure")  # ways in which a line is over, or not worth going on with


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
        self._around = around(model, window, before)
        # what was just taken away first
        sources = [Around(before[-LONGEST:], other, model.barred) for other in beside.others()]
        sources.insert(1 if len(beside.removed) else 0, self._around)
        self._draft = copying(sources, model.payoff)
        self._healing = Healing(stub, model.tokenizer, model.spellings)

    def answers(
        self,
        logits: Tensor,
        stopping: Stopping,
        limits: Limits,
        n_answers: int,
        n_searched: int = 0,
    ) -> list[Decoded]:
        """The greedy completion, or the likeliest of the lines that leave it; then others, the likeliest a token first.

        At most n_answers, each of another text. The sequence afterwards carries the tokens of the first.
        """
        # how long a block goes on is chance: of two, the shorter would be the likelier
        n_wanted = max(n_answers - 1, 0 if stopping.is_block else n_searched)
        branches = Branches(n_wanted) if n_wanted else None
        best = self.decode(logits, stopping, limits, branches=branches)
        is_searched = n_searched > 0 and not stopping.is_block and best.stop in ENDED
        if branches is None or best.stop == "cancelled" or (n_answers == 1 and not is_searched):
            return [best]
        carried, others = self._carried(), list[Decoded]()
        ends, spell = self._model.layout.ends, self._model.tokenizer.decode
        for begun in branches.best(best.tokens, ends, spell):
            bar = max(best.logprob, limits.least_logprob)
            if limits.is_late() or limits.is_cancelled():
                break
            if n_answers == 1 and begun.logprob <= bar:
                continue  # it only becomes less likely
            least = bar if n_answers == 1 else limits.least_logprob
            found = self.decode(logits, stopping, replace(limits, least_logprob=least), begun)
            if is_searched and found.stop in ENDED and found.text.strip() and found.logprob > bar:
                best, found, carried = found, best, self._carried()
            others.append(found)
        # the first is the one that is most often accepted
        self._carry(carried)
        others.sort(key=lambda other: -other.mean_logprob)
        texts = {best.text: best}
        for other in others:
            if other.stop != "cancelled":
                texts.setdefault(other.text, other)
        return list(texts.values())[:n_answers]

    def _carried(self) -> list[int]:
        return self._sequence.tokens[self._n_context :]

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
        n_kept = n_context + n_same
        sequence.truncate(n_kept)
        if n_same < len(tokens):
            sequence.splice(n_kept, n_kept, tokens[n_same:])
            sequence.encode(np.arange(n_kept, len(sequence)))  # nobody reads their logits


def around(model: LoadedModel, window: Window, before: Ids) -> Around:
    """What recall and drafts look up: the tokens before the cursor, those behind it, and what is bound."""
    bound = [token for chunk in window.sequence.bound for token in (BORDER, *chunk)]
    return Around(before, window.tokenized.suffix_ids, model.barred, bound)


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
