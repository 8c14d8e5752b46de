"""Runs one throw-away completion, so that the first real one pays no start-up cost.

Libraries are imported, memory is taken and kernels are chosen then: 8 of 15 ms to the first token of `base`.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace

import torch

from warmline_engine.cache.arena import ArenaFull
from warmline_engine.cache.sequence import KVSequence
from warmline_engine.decoding.speculative.drafts import DraftCostModel
from warmline_engine.model import thread_count
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.model_pair import Pair
from warmline_engine.session.session import CompletionQuery, Session
from warmline_kernels.native.library import library

log = logging.getLogger(__name__)

TEXT = "def first(values):\n    "
CONTEXT_TOKENS, MAX_TOKENS = 64, 2


def warm_up(loaded: LoadedModel | Pair, measures_threads: bool = False) -> None:
    """Completes a line with each model; afterwards nothing is left of it, but how many threads decode fastest."""
    for model in (loaded.base, loaded.small) if isinstance(loaded, Pair) else (loaded,):
        # what passes cost now says nothing of what they will
        session = Session(
            replace(model, draft_costs=DraftCostModel()),
            TEXT,
            len(TEXT),
            CONTEXT_TOKENS,
            language="python",
        )
        with suppress(ArenaFull):  # if the caches have no room at all, the first request reports it
            while session.encode_some(CONTEXT_TOKENS):
                pass
            session.complete(
                CompletionQuery(len(TEXT), "", MAX_TOKENS, False, 1, None, lambda: False)
            )
        session.drop_cache()
    if measures_threads:
        with suppress(ArenaFull):
            _measure_threads(loaded.base if isinstance(loaded, Pair) else loaded)


def _measure_threads(model: LoadedModel) -> None:
    """Lets the compiled kernels use the threads that a pass of one token is fastest with."""
    kernels, n_most = library(), torch.get_num_threads()
    if kernels is None or n_most == 1 or not model.transformer.supports_fused(1):
        return
    sequence = KVSequence(model.transformer, model.arena)
    try:
        sequence.splice(0, 0, model.tokenizer.encode(TEXT).ids)
        sequence.encode_pending(CONTEXT_TOKENS)

        if thread_count.shortest_s(sequence.next_logits, 1) > thread_count.LONG_S:
            return

        def pass_s(n_threads: int) -> float:
            kernels.n_threads = n_threads
            return thread_count.shortest_s(sequence.next_logits)

        kernels.n_threads = thread_count.chosen(n_most, pass_s)
        log.info("%d of %d threads decode", kernels.n_threads, n_most)
    finally:
        sequence.drop_cache()
