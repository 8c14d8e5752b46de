"""Token healing: where the cursor stands in a word, the word's tokens so far are chosen anew with what follows.

`mea` is one token where it ends a text, and no beginning of the token `measure`: what a model expects behind
it is hardly ever `sure`. So the last tokens are taken out, and the first generated ones must spell them.

Source: the guidance project's token healing (Lundberg 2023, "The art of prompt design"), with as many tokens
as the last word has instead of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from warmline_engine.text.spellings import Spellings
from warmline_engine.text.tokenizer import Tokenizer


class Healing:
    """What is generated begins with the stub, the text of the tokens that were taken out; it may be empty."""

    def __init__(self, healed_text: str, tokenizer: Tokenizer, spellings: Spellings) -> None:
        self.healed_text = healed_text
        self._tokenizer = tokenizer
        self._spellings = spellings

    def allowed(self, generated: Sequence[int]) -> NDArray[np.int64] | None:
        """The tokens that may follow the generated ones, rising; None where all may."""
        spelled = self._tokenizer.decode(list(generated)) if generated and self.healed_text else ""
        if len(self.healed_text) <= len(spelled):
            return None
        return self._spellings.prefix_compatible(self.healed_text[len(spelled) :])


def only(logits: Tensor, allowed: NDArray[np.int64]) -> Tensor:
    """Logits with all other tokens ruled out. Shape: [V] float32."""
    ids = torch.from_numpy(allowed).to(logits.device)
    return torch.full_like(logits, float("-inf")).index_copy(0, ids, logits[ids])
