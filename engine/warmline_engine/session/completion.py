"""The logits behind a window's context: drafts verified, recall and contrast mixed in, by one model or by two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from warmline_engine.cache.unbound_tail import UnboundTail
from warmline_engine.decoding.contrast import ContrastRule, contrasted, is_uncertain
from warmline_engine.decoding.healing import Healing, only
from warmline_engine.decoding.ngram.recall import Recall
from warmline_engine.decoding.ngram.suffix_match import BORDER, LONGEST, Ids, SuffixMatcher
from warmline_engine.decoding.speculative.drafts import NOTHING_DRAFTED, Drafter, prompt_lookup
from warmline_engine.decoding.speculative.model_drafts import DraftModelStats, draft_with_model
from warmline_engine.decoding.speculative.speculation import Speculation
from warmline_engine.decoding.two_models.switching import Switching, SwitchRule

from .loaded_model import LoadedModel
from .window import Context


@dataclass(frozen=True, eq=False)
class DraftSources:
    """Tokens that are no part of the context but may come next: of text that was removed, of other documents."""

    removed: Ids = ()
    documents: Ids = ()


NO_SOURCES = DraftSources()


@dataclass(frozen=True, eq=False)
class CompletionModel:
    """A model and all that it completes from: its context, other tokens to copy, a rule for contrast.

    `first` are the logits behind the context, where they are known. Shape: [V].
    """

    model: LoadedModel
    context: Context
    draft_sources: DraftSources = NO_SOURCES
    contrast: ContrastRule | None = None
    first: Tensor | None = None


class ModelLogits:
    """The logits of one model behind its context."""

    def __init__(self, given: CompletionModel, matcher: SuffixMatcher, draft: Drafter) -> None:
        model, context = given.model, given.context
        self._sequence, self._contrast = context.sequence, given.contrast
        self._recall = Recall(model.recall, matcher) if model.recall else None
        self.speculation = Speculation(
            context.sequence, draft, model.draft_costs, given.first, context.pending
        )
        # the last token of the context has seen what is bound, and so does what follows it
        self._unbound_tail = UnboundTail(len(context.sequence) - 1)

    def mixed(
        self, logits: Tensor, generated: Sequence[int], n_vocabulary: int, healing: Healing
    ) -> Tensor:
        """Logits of this model with contrast and recall, for so many ids. Shapes: [V] → [n_vocabulary]."""
        rule, start = self._contrast, self._unbound_tail.start
        if rule is not None and self._sequence.bound and is_uncertain(logits, rule):
            unbound = self._sequence.logits_without(self._unbound_tail, start + 1 + len(generated))
            logits = contrasted(logits, unbound, rule)
        # embeddings are padded differently: no id that both models have is behind the shorter
        if len(logits) != n_vocabulary:
            n_missing = max(0, n_vocabulary - len(logits))
            logits = F.pad(logits[:n_vocabulary], (0, n_missing), value=float("-inf"))
        if self._recall is None:
            return logits
        return self._recall.mix(logits, generated, healing.allowed(generated))


class CompletionLogits:
    """A `LogitsSource` of one model, which may draft with a second one or switch to it."""

    def __init__(
        self,
        given: CompletionModel,
        companion: CompletionModel | None = None,
        draft_stats: DraftModelStats | None = None,
        rule: SwitchRule | None = None,
    ) -> None:
        """With a rule the companion is the base model that this one switches to; without, it drafts for this one."""
        model, context = given.model, given.context
        self.n_by_base = 0  # tokens that the base model chose of all that were generated
        self._n_vocabulary, self._suppressed = len(model.suppressed_ids), model.suppressed_ids
        self._healing = Healing(context.healed_text, model.tokenizer, model.spellings)
        self._rule, self._switching = rule, None
        self._companion = None
        if companion is not None:
            other = around(companion.model, companion.context)
            draft = _drafter(companion, other) if rule else lambda taken: NOTHING_DRAFTED
            self._companion = ModelLogits(companion, other, draft)
        matcher = around(model, context)
        draft = _drafter(given, matcher)
        if companion is not None and draft_stats is not None and rule is None:
            draft = draft_with_model(
                self._companion_logprobs,
                draft,
                draft_stats,
                companion.model.draft_costs,
                model.draft_costs,
            )
        self._own = ModelLogits(given, matcher, draft)

    @property
    def taken(self) -> list[int]:
        return self._own.speculation.taken

    def start(self) -> None:
        """Begins a text: with the small model, where there are two."""
        self._switching: Switching | None = None
        if self._rule is not None and self._companion is not None:
            voices = self._own.speculation, self._companion.speculation
            self._switching = Switching(*voices, self._rule)

    def logits(self, tokens: Sequence[int]) -> Tensor:
        """Behind generated tokens, with contrast, recall and healing. Shape: [V]."""
        by = self._own
        if self._switching is None:
            logits = by.speculation.logits(tokens)
        else:
            logits = self._switching.logits(tokens)
            if self._switching.is_base and self._companion is not None:
                by = self._companion
        logits = by.mixed(logits, tokens, self._n_vocabulary, self._healing)
        allowed = self._healing.allowed(tokens)
        return logits if allowed is None else only(logits, allowed)

    def finish(self) -> None:
        """Ends a text: the sequence keeps its taken tokens only."""
        self._own.speculation.close()
        self.n_by_base += self._switching.n_by_base if self._switching else 0

    def model_logits(self, tokens: Sequence[int]) -> Tensor:
        """Behind generated tokens, by the model alone. Shape: [V]."""
        return self._own.speculation.logits(tokens)

    def carry(self, tokens: Sequence[int]) -> None:
        """Makes the sequence carry these tokens."""
        self._own.speculation.carry(tokens)

    def close(self) -> None:
        """Leaves each sequence with the tokens last taken only."""
        self._own.speculation.close()
        if self._companion is not None:
            self._companion.speculation.close()

    def _companion_logprobs(self, tokens: Sequence[int]) -> Tensor:
        """The log-probabilities of a model that drafts. Shape: [V]."""
        assert self._companion is not None
        logits = self._companion.speculation.logits(tokens)
        logits = self._companion.mixed(logits, tokens, self._n_vocabulary, self._healing)
        return logits.masked_fill(self._suppressed, float("-inf")).log_softmax(0)


def around(model: LoadedModel, context: Context) -> SuffixMatcher:
    """What recall and drafts look up: the tokens before the cursor, those behind it, and what is bound."""
    bound = [token for chunk in context.sequence.bound for token in (BORDER, *chunk)]
    return SuffixMatcher(context.prefix_ids, context.suffix_ids, model.suppressed_ids, bound)


def _drafter(given: CompletionModel, matcher: SuffixMatcher) -> Drafter:
    """Copies from text just removed first, then from the file, then from other documents."""
    sources, near = [matcher], given.context.prefix_ids[-LONGEST:]
    if len(given.draft_sources.removed):
        sources.insert(
            0, SuffixMatcher(near, given.draft_sources.removed, given.model.suppressed_ids)
        )
    if len(given.draft_sources.documents):
        sources.append(
            SuffixMatcher(near, given.draft_sources.documents, given.model.suppressed_ids)
        )
    return prompt_lookup(sources, given.model.draft_costs)
