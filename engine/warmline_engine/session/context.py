"""The context of one completion."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from warmline_engine.cache.sequence import KVSequence
from warmline_engine.cache.slots import Ints


@dataclass(frozen=True, eq=False)
class Context:
    """A sequence that is ready for a completion behind its last token.

    `prefix_ids` are the tokens before the cursor that the sequence has, `healed_text` is the text of those that were
    removed to be generated again. `first` are the logits after the last token. If they are None, the first pass
    computes them and encodes the `pending` positions, which are rising.

    Shapes: first [V], pending [k].
    """

    sequence: KVSequence
    prefix_ids: list[int]
    suffix_ids: list[int]
    healed_text: str = ""
    first: Tensor | None = None
    pending: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
