"""What is generated behind a window: the text begun at the cursor healed, recall mixed in, drafts verified."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor

from warmline_engine.cache.unbound_tail import SecondRow
from warmline_engine.decoding.block_opening import openers
from warmline_engine.decoding.contrast import ContrastRule, contrasted, is_uncertain
from warmline_engine.decoding.greedy import NOTHING, Decoded, Limits, decode, likeliest
from warmline_engine.decoding.healing import Healing, only
from warmline_engine.decoding.hypotheses import Begun, Branches
from warmline_engine.decoding.ngram.recall import Recall
from warmline_engine.decoding.ngram.suffix_match import BORDER, LONGEST, Around, Ids
from warmline_engine.decoding.sampling import Sampler, SamplingRule
from warmline_engine.decoding.speculative.drafts import NOTHING_DRAFTED, copying
from warmline_engine.decoding.speculative.model_drafts import Trust, drafting
from warmline_engine.decoding.speculative.speculation import Speculation
from warmline_engine.decoding.stopping import Stopping
from warmline_engine.decoding.two_models.switching import Switching, SwitchRule
from warmline_engine.syntax.syntax_context import SyntaxAt

from .loaded_model import LoadedModel
from .window import Window

# ways to leave the greedy line that are looked into where a person has asked: of 1,000 held-out places 17 more were
# exact and 8 no longer, for twice the time of decoding (lab/benchmarks/search.py, small model)
N_SEARCHED = 3
ENDED = ("line", "end", "unsure")  # ways in which a line is over, or not worth going on with
# where the likeliest answer breaks the syntax: of 300 held-out rests of lines 88 % parsed, 93 % with so many others
N_MENDING = 3
CUT = ("tokens", "deadline")  # ways to stop within a line
# where a block below lacks what opens it: lines one in the other, ways to begin each, tokens for the rest of it
MAX_OPENED, N_OPENERS, OPENER_TOKENS = 2, 4, 32


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
        first: Tensor | None = None,
    ) -> None:
        """`before` are the tokens before the cursor that the sequence has, `stub` is the text of those it lacks.

        `first` are the logits behind the sequence, where they are known. Shape: [V].
        """
        self.model = model
        self.sequence = window.sequence
        self.stub = stub
        self._around = around(model, window, before)
        self._recall = Recall(model.recall, self._around) if model.recall else None
        # what was just taken away first
        sources = [Around(before[-LONGEST:], other, model.barred) for other in beside.others()]
        sources.insert(1 if len(beside.removed) else 0, self._around)
        draft = copying(sources, model.payoff)
        self.voice = Speculation(self.sequence, draft, model.payoff, first)
        self._healing = Healing(stub, model.tokenizer, model.spellings)
        # the last token of the context has seen what is bound, and so does what follows it
        self._second_row = SecondRow(len(self.sequence) - 1)
        self.contrast: ContrastRule | None = None
        self.place: SyntaxAt | None = None
        self.shows_broken = True
        self._partner: Completion | None = None
        self._rule: SwitchRule | None = None
        self.n_by_base = 0  # tokens that the base model chose of all that were generated

    def pair_with(self, partner: Completion, trust: Trust, rule: SwitchRule | None) -> None:
        """Decodes with another model behind the same text.

        With a rule this is the small model, and the partner the base model that it switches to. Without one this is
        the base model, and the partner drafts for it.
        """
        self._partner, self._rule = partner, rule
        if rule is None:
            small = partner.voice
            small.draft = lambda taken: NOTHING_DRAFTED

            def expected(tokens: Sequence[int]) -> Tensor:
                logits = self._mixed(small.logits(tokens), tokens, partner)
                return logits.masked_fill(self.model.barred, float("-inf")).log_softmax(0)

            costs = partner.model.payoff, self.model.payoff
            self.voice.draft = drafting(expected, self.voice.draft, trust, *costs)

    def answers(
        self,
        stopping: Stopping,
        limits: Limits,
        n_answers: int,
        n_searched: int = 0,
        sampling: SamplingRule | None = None,
    ) -> list[Decoded]:
        """The greedy completion, or the likeliest of the lines that leave it; then others, the likeliest a token first.

        At most n_answers, each of another text. The sequence afterwards carries the tokens of the first. With
        `sampling` the others are drawn at random. The first fits into the syntax at `place`, if it can; else it is
        empty unless `shows_broken`.
        """
        if sampling is not None:
            return self._sampled(stopping, limits, n_answers, sampling)
        # how long a block goes on is chance: of two, the shorter would be the likelier
        n_wanted = max(n_answers - 1, 0 if stopping.is_block else n_searched)
        best, leaving = self._first(stopping, limits, n_wanted)
        is_searched = n_searched > 0 and not stopping.is_block and best.stop in ENDED
        if best.stop == "cancelled" or (n_answers == 1 and not is_searched):
            return [best]
        carried, others = list(self.voice.taken), list[Decoded]()
        for begun in leaving:
            bar = max(best.logprob, limits.least_logprob)
            if limits.is_late() or limits.is_cancelled():
                break
            if n_answers == 1 and begun.logprob <= bar:
                continue  # it only becomes less likely
            least = bar if n_answers == 1 else limits.least_logprob
            found = self.decode(stopping, replace(limits, least_logprob=least), begun)
            fitting = self._fitting(stopping, found)
            found = fitting or found
            is_likelier = found.stop in ENDED and found.text.strip() and found.logprob > bar
            if is_searched and fitting and is_likelier:
                best, found, carried = found, best, list(self.voice.taken)
            others.append(found)
        # the first is the one that is most often accepted
        self.voice.carry(carried)
        return _distinct(best, others)[:n_answers]

    def _first(
        self, stopping: Stopping, limits: Limits, n_wanted: int
    ) -> tuple[Decoded, list[Begun]]:
        """The greedy completion as far as it fits; where it does not, the first of some that leave it and do.

        With it n_wanted ways to leave the greedy one.
        """
        n_mending = N_MENDING if self.place or stopping.beside else 0
        most = max(n_wanted, n_mending)
        branches = Branches(most) if most else None
        greedy = self.decode(stopping, limits, branches=branches)
        if stopping.is_block and greedy.stop in CUT:
            greedy = replace(greedy, text=_whole_lines(greedy.text))
        if branches is None or greedy.stop == "cancelled":
            return greedy, []
        ends, spell = self.model.layout.ends, self.model.tokenizer.decode
        leaving = branches.best(n_wanted, greedy.tokens, ends, spell) if n_wanted else []
        fitting = self._fitting(stopping, greedy)
        if fitting or greedy.stop == "deadline" or (greedy.stop in CUT and not stopping.is_block):
            return fitting or greedy, leaving
        carried = list(self.voice.taken)
        for begun in branches.best(n_mending, greedy.tokens, ends, spell):
            if limits.is_late() or limits.is_cancelled():
                break
            found = self.decode(stopping, limits, begun)
            fitting = None if found.stop in CUT else self._fitting(stopping, found)
            if fitting and fitting.text.strip():
                return fitting, leaving
        if self.shows_broken and (opened := self._opened(stopping, limits, greedy)):
            return opened, leaving
        self.voice.carry(carried)
        why = "repeat" if _is_said_again(stopping, greedy) else "syntax"
        return greedy if self.shows_broken else replace(greedy, text="", stop=why), leaving

    def _opened(
        self, stopping: Stopping, limits: Limits, answer: Decoded, n_most: int = MAX_OPENED
    ) -> Decoded | None:
        """As much of an answer as fits with lines behind it that open the block below, at most so many."""
        beginning = self.place and self.place.before_opener(
            answer.text if stopping.is_block else ""
        )
        if beginning is None:
            return None

        def encode(text: str) -> list[int]:
            return self.model.tokenizer.encode(self.stub + text).ids

        found = openers(beginning, encode, self.voice.logits, answer.logprob)
        for begun in found[:N_OPENERS]:
            if limits.is_late() or limits.is_cancelled():
                break
            n_tokens = min(limits.max_tokens, len(begun.tokens) + OPENER_TOKENS)
            opened = self.decode(stopping, replace(limits, max_tokens=n_tokens), begun)
            if opened.stop in CUT:
                opened = replace(opened, text=_whole_lines(opened.text))
            fitting = self._fitting(stopping, opened)
            if fitting and len(beginning) < len(fitting.text):
                return fitting
            line = opened.text[len(beginning) :].partition("\n")[0].rstrip()
            if n_most > 1 and line.endswith(":"):
                opened = replace(opened, text=beginning + line)
                if deeper := self._opened(stopping, limits, opened, n_most - 1):
                    return deeper
        return None

    def _fitting(self, stopping: Stopping, answer: Decoded) -> Decoded | None:
        """As much of an answer as fits into the syntax, None where nothing does, or where it says a line again."""
        if _is_said_again(stopping, answer):
            return None
        if self.place is None or not answer.text.strip():
            return answer
        text = self.place.fitting(answer.text)
        return replace(answer, text=text) if text else None

    def _sampled(
        self, stopping: Stopping, limits: Limits, n_answers: int, rule: SamplingRule
    ) -> list[Decoded]:
        best, _ = self._first(stopping, limits, 0)
        carried, found = list(self.voice.taken), [best]
        free = replace(limits, least_logprob=float("-inf"))  # the unlikely was asked for
        for seed in range(2 * (n_answers - 1)):  # some texts are drawn more than once
            is_over = best.stop == "cancelled" or limits.is_late() or limits.is_cancelled()
            if is_over or len(found) == n_answers:
                break
            other = self.decode(stopping, free, choose=Sampler(rule, seed))
            found = _distinct(best, [*found[1:], other])
        self.voice.carry(carried)
        return found

    def decode(
        self,
        stopping: Stopping,
        limits: Limits,
        begun: Begun = NOTHING,
        branches: Branches | None = None,
        choose: Callable[[Tensor], int] = likeliest,
    ) -> Decoded:
        """One completion behind the context; the sequence afterwards carries its tokens.

        Of what is `begun` those tokens are not read again that the sequence carries.
        """
        model, partner, said = self.model, self._partner, list(begun.tokens)
        switching = None
        if partner is not None and self._rule is not None:
            switching = Switching(self.voice, partner.voice, self._rule)

        def expected() -> Tensor:
            by = self
            if switching is None:
                logits = self.voice.logits(said)
            else:
                logits = switching.logits(said)
                if switching.is_base and partner is not None:
                    by = partner
            logits = self._mixed(logits, said, by)
            allowed = self._healing.allowed(said)
            return logits if allowed is None else only(logits, allowed)

        def append(token: int) -> Tensor:
            said.append(token)
            return expected()

        try:
            return decode(
                expected(),
                append,
                model.tokenizer,
                model.barred,
                model.layout.ends,
                stopping,
                limits,
                len(self.stub),
                begun,
                branches,
                choose,
            )
        finally:
            self.voice.close()
            self.n_by_base += switching.n_by_base if switching else 0

    def _mixed(self, logits: Tensor, said: Sequence[int], by: Completion) -> Tensor:
        """The logits of a model with its recall, for the tokens that this one knows. Shapes: [V of by] → [V]."""
        logits = by._contrasted(logits, said)
        n = len(self.model.barred)
        # embeddings are padded differently: nothing that both can say is behind the shorter
        if len(logits) != n:
            logits = F.pad(logits[:n], (0, max(0, n - len(logits))), value=float("-inf"))
        if by._recall is None:
            return logits
        return by._recall.mix(logits, said, self._healing.allowed(said))

    def _contrasted(self, logits: Tensor, said: Sequence[int]) -> Tensor:
        """The logits behind what was said, against those without what is bound where they are uncertain. Shape: [V]."""
        rule, start = self.contrast, self._second_row.start
        if rule is None or not self.sequence.bound or not is_uncertain(logits, rule):
            return logits
        lame = self.sequence.logits_without(self._second_row, start + 1 + len(said))
        return contrasted(logits, lame, rule)

    def close(self) -> None:
        """Leaves the sequence with the tokens of the first answer only."""
        self.voice.close()


def _is_said_again(stopping: Stopping, answer: Decoded) -> bool:
    """Whether it says what a line beside it does, or was ended by that before it said anything."""
    is_ended = answer.stop == "suffix" and not answer.text.strip()
    return is_ended or stopping.says_again(answer.text)


def _whole_lines(text: str) -> str:
    """Without the last line where there are several: of a block it is no use begun."""
    lines, _, last = text.rpartition("\n")
    return lines.rstrip() if lines.strip() else last


def _distinct(best: Decoded, others: list[Decoded]) -> list[Decoded]:
    """The best first, then the others, the likeliest a token first, each text once."""
    texts = {best.text: best}
    for other in sorted(others, key=lambda other: -other.mean_logprob):
        if other.stop != "cancelled":
            texts.setdefault(other.text, other)
    return list(texts.values())


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
