"""What the first completion of a process costs beside all others, paid while nobody waits for it.

Libraries are imported, memory is taken and kernels are chosen then: 8 of 15 ms to the first token of `base`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from .cache.arena import ArenaFull
from .decoding.payoff import Payoff
from .loaded_model import LoadedModel
from .pair import Pair
from .session import Ask, Session

TEXT = "def first(values):\n    "
CONTEXT_TOKENS, MOST_TOKENS = 64, 2


def warm_up(loaded: LoadedModel | Pair) -> None:
    """Completes a line with each model; afterwards nothing is left of it."""
    for model in (loaded.base, loaded.small) if isinstance(loaded, Pair) else (loaded,):
        # what passes cost now says nothing of what they will
        session = Session(
            replace(model, payoff=Payoff()), TEXT, len(TEXT), CONTEXT_TOKENS, language="python"
        )
        with suppress(ArenaFull):  # who gave the caches no room at all will be told when asking
            while session.encode_some(CONTEXT_TOKENS):
                pass
            session.complete(Ask(len(TEXT), "", MOST_TOKENS, False, 1, None, lambda: False))
        session.drop_cache()
