"""Token healing: if the cursor is in a word, the tokens of the word so far are generated again with what follows.

`mea` is a token at the end of a text, but not the beginning of the token `measure`: after it, a model hardly ever
predicts `sure`. So the last tokens are removed, and the first generated ones must spell their text.

Source: the guidance project's token healing (Lundberg 2023, "The art of prompt design"), with all tokens of the last
word instead of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from warmline_engine.text.spellings import Spellings
from warmline_engine.text.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class Healing:
    """Generated text begins with `healed_text`, the text of the removed tokens, which may be empty."""

    healed_text: str
    tokenizer: Tokenizer
    spellings: Spellings

    def allowed(self, generated: Sequence[int]) -> NDArray[np.int64] | None:
        """The tokens that may follow the generated ones, rising; None if all may."""
        spelled = self.tokenizer.decode(list(generated)) if generated and self.healed_text else ""
        if len(self.healed_text) <= len(spelled):
            return None
        return self.spellings.prefix_compatible(self.healed_text[len(spelled) :])


def only(logits: Tensor, allowed: NDArray[np.int64]) -> Tensor:
    """Logits with all other tokens ruled out. Shape: [V] float32."""
    ids = torch.from_numpy(allowed).to(logits.device)
    return torch.full_like(logits, float("-inf")).index_copy(0, ids, logits[ids])
