"""The confidence bound: the least probability at which a completion is shown without a request.

The product of the probabilities of all tokens estimates how likely the whole completion is right. The bound is fitted
on held-out line ends and lines (`lab/warmline_lab/fit/fit_confidence.py`) and lies beside the weights.
"""

from __future__ import annotations

import json
from pathlib import Path

from warmline_engine.errors import ModelError
from warmline_engine.model.hub.reading import MAX_CONFIG_BYTES, read_json


def read(path: Path) -> float:
    """The bound beside a model's weights, 0 if there is none.

    Raises: ModelError, when the file holds something else.
    """
    if not path.exists():
        return 0.0
    try:
        found = read_json(path, MAX_CONFIG_BYTES, ModelError)["least_probability"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path.name}: expected an object with `least_probability`: {error}"
        ) from None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 1:
        raise ModelError(f"{path.name}: `least_probability` is in [0, 1), got {found!r}")
    return float(found)


def write(path: Path, least_probability: float) -> None:
    path.write_text(json.dumps({"least_probability": round(least_probability, 4)}) + "\n")
