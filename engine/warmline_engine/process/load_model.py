"""Loading the model, or the pair of models, that the options name."""

from __future__ import annotations

from collections.abc import Callable

from warmline_engine.decoding.two_models.switching import SwitchRule
from warmline_engine.decoding.two_models.threshold import Threshold
from warmline_engine.session.loaded_model import LoadedModel, load
from warmline_engine.session.model_pair import LatencyBudget, Pair, paired
from warmline_protocol.engine_options import EngineOptions


def load_models(
    options: EngineOptions, progress: Callable[[str, float], None]
) -> LoadedModel | Pair:
    """Loads the model or the pair that the options name.

    Raises: ModelError, which says what to do.
    """
    base, *small = (
        load(
            name,
            options.device,
            options.dtype,
            options.cache_mebibytes,
            progress,
            options.low_memory,
        ).with_chunk_files(f"{options.dtype}-alone" if options.low_memory else options.dtype)
        for name in (options.model, options.small_model)
        if name
    )
    if not small:
        return base
    rule = SwitchRule(options.switch_above, options.switch_window, options.switch_dwell)
    threshold = Threshold(
        rule,
        options.switch_share if options.switch_goal == "share" else None,
        options.switch_within_ms if options.switch_goal == "time" else None,
    )
    return paired(
        base,
        small[0],
        threshold if options.switching == "entropy" else None,
        LatencyBudget(options.switch_within_ms) if options.switching == "deadline" else None,
    )
