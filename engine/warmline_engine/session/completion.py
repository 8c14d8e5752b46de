"""The source of a completion's logits: drafts verified, recall and contrast mixed in, by one model or by two."""

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
from warmline_engine.decoding.speculative.drafts import NOTHING_DRAFTED, Drafter, PromptLookup
from warmline_engine.decoding.speculative.model_drafts import DraftModelStats, draft_with_model
from warmline_engine.decoding.speculative.speculation import Speculation
from warmline_engine.decoding.two_models.switching import Switching, SwitchRule

from .context import Context
from .loaded_model import LoadedModel


@dataclass(frozen=True, eq=False)
class DraftSources:
    """Tokens outside the context that may come next: of deleted text, of other documents."""

    deleted: Ids = ()
    documents: Ids = ()


NO_SOURCES = DraftSources()


@dataclass(frozen=True, eq=False)
class CompletionModel:
    """A model, its context, other tokens to draft from, and a rule for contrast."""

    model: LoadedModel
    context: Context
    draft_sources: DraftSources = NO_SOURCES
    contrast: ContrastRule | None = None

    @property
    def healing(self) -> Healing:
        return Healing(self.context.healed_text, self.model.tokenizer, self.model.spellings)


@dataclass(frozen=True, eq=False)
class Companion:
    """The other model of a pair. With a rule it is the base model to switch to; without, it drafts."""

    lm: CompletionModel
    draft_stats: DraftModelStats
    rule: SwitchRule | None = None


class ModelLogits:
    """The logits of one model after its context."""

    def __init__(self, lm: CompletionModel, matcher: SuffixMatcher, draft: Drafter) -> None:
        model, context = lm.model, lm.context
        self._sequence, self._contrast = context.sequence, lm.contrast
        self._recall = Recall(model.recall, matcher) if model.recall else None
        self.speculation = Speculation(
            context.sequence, draft, model.draft_costs, context.first, context.pending
        )
        # the last token of the context attends to chunks, and so do generated tokens
        self._unbound_tail = UnboundTail(len(context.sequence) - 1)

    def mixed(
        self, logits: Tensor, generated: Sequence[int], n_vocabulary: int, healing: Healing
    ) -> Tensor:
        """Logits of this model with contrast and recall, for `n_vocabulary` ids. Shapes: [V] → [n_vocabulary]."""
        rule, start = self._contrast, self._unbound_tail.start
        if rule is not None and self._sequence.bound and is_uncertain(logits, rule):
            unbound = self._sequence.logits_without(self._unbound_tail, start + 1 + len(generated))
            logits = contrasted(logits, unbound, rule)
        # the models of a pair may pad their embeddings differently; ids in the padding are not used
        if len(logits) != n_vocabulary:
            n_missing = max(0, n_vocabulary - len(logits))
            logits = F.pad(logits[:n_vocabulary], (0, n_missing), value=float("-inf"))
        if self._recall is None:
            return logits
        return self._recall.mix(logits, generated, healing.allowed(generated))


class CompletionLogits:
    """A `LogitsSource` of one model, which may have a companion."""

    def __init__(self, lm: CompletionModel, companion: Companion | None = None) -> None:
        self.n_by_base = 0  # tokens that the base model chose, of all that were generated
        self._suppressed = lm.model.suppressed_ids
        self._n_vocabulary = len(self._suppressed)
        self._healing = lm.healing
        self._rule = companion.rule if companion else None
        self._switching: Switching | None = None
        self._companion = companion and _companion_logits(companion)
        matcher = suffix_matcher(lm.model, lm.context)
        draft = _prompt_lookup(lm, matcher)
        if companion is not None and self._rule is None:
            draft = draft_with_model(
                self._companion_logprobs,
                draft,
                companion.draft_stats,
                companion.lm.model.draft_costs,
                lm.model.draft_costs,
            )
        self._own = ModelLogits(lm, matcher, draft)

    @property
    def taken(self) -> list[int]:
        return self._own.speculation.taken

    def start(self) -> None:
        """Begins a text: with the small model, if there are two."""
        self._switching = None
        if self._rule is not None and self._companion is not None:
            models = self._own.speculation, self._companion.speculation
            self._switching = Switching(*models, self._rule)

    def logits(self, tokens: Sequence[int]) -> Tensor:
        """The logits after generated tokens, with contrast, recall and healing. Shape: [V]."""
        lm = self._own
        if self._switching is None:
            logits = lm.speculation.logits(tokens)
        else:
            logits = self._switching.logits(tokens)
            if self._switching.is_base and self._companion is not None:
                lm = self._companion
        logits = lm.mixed(logits, tokens, self._n_vocabulary, self._healing)
        allowed = self._healing.allowed(tokens)
        return logits if allowed is None else only(logits, allowed)

    def finish(self) -> None:
        """Ends a text: the sequence keeps its taken tokens only."""
        self._own.speculation.close()
        self.n_by_base += self._switching.n_by_base if self._switching else 0

    def model_logits(self, tokens: Sequence[int]) -> Tensor:
        """The logits after generated tokens, of the model alone. Shape: [V]."""
        return self._own.speculation.logits(tokens)

    def carry(self, tokens: Sequence[int]) -> None:
        """Makes the sequence carry these tokens."""
        self._own.speculation.carry(tokens)

    def close(self) -> None:
        """Drops drafts: each sequence keeps the tokens last taken only."""
        self._own.speculation.close()
        if self._companion is not None:
            self._companion.speculation.close()

    def _companion_logprobs(self, tokens: Sequence[int]) -> Tensor:
        """The log-probabilities of a companion that drafts. Shape: [V]."""
        assert self._companion is not None
        logits = self._companion.speculation.logits(tokens)
        logits = self._companion.mixed(logits, tokens, self._n_vocabulary, self._healing)
        return logits.masked_fill(self._suppressed, float("-inf")).log_softmax(0)


def suffix_matcher(model: LoadedModel, context: Context) -> SuffixMatcher:
    """Finds matches in the tokens before and behind the cursor and in the chunks that are bound."""
    bound = [token for chunk in context.sequence.bound for token in (BORDER, *chunk)]
    return SuffixMatcher(context.prefix_ids, context.suffix_ids, model.suppressed_ids, bound)


def _companion_logits(companion: Companion) -> ModelLogits:
    lm = companion.lm
    matcher = suffix_matcher(lm.model, lm.context)
    draft = _prompt_lookup(lm, matcher) if companion.rule else lambda taken: NOTHING_DRAFTED
    return ModelLogits(lm, matcher, draft)


def _prompt_lookup(lm: CompletionModel, matcher: SuffixMatcher) -> Drafter:
    """Copies from deleted text first, then from the file, then from other documents."""
    sources, near = [matcher], lm.context.prefix_ids[-LONGEST:]
    suppressed_ids = lm.model.suppressed_ids
    if len(lm.draft_sources.deleted):
        sources.insert(0, SuffixMatcher(near, lm.draft_sources.deleted, suppressed_ids))
    if len(lm.draft_sources.documents):
        sources.append(SuffixMatcher(near, lm.draft_sources.documents, suppressed_ids))
    return PromptLookup(sources, lm.model.draft_costs)
