"""Vectors by the user's own encoder: a bidirectional model of the library transformers, such as UniXcoder.

A text's vector is the mean of its blocks' vectors, a block's the mean of all its tokens' last states, the marks at its
ends included. Blocks are as long as the model reads and overlap by half; each is encoded once and none is cut off.

Source: SEA (Hu et al. 2024) in the fair form: no block counts twice, and no vector is longer than another. Its
attention over blocks needs weights that no released checkpoint has. UniXcoder (Guo et al. 2022) for the marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from warmline_engine.errors import CheckpointError
from warmline_engine.model import checkpoint

from .encoder import unit

BATCH = 8  # blocks in one pass
MAX_TOKENS = 512  # of a block, its marks included
MODE = "<encoder-only>"  # the mode token that UniXcoder expects


class HiddenEncoder:
    """A folder with config.json, safetensors and a tokenizer, of a family that transformers itself supports."""

    def __init__(self, folder: Path) -> None:
        """Raises: CheckpointError, if it is no such folder or transformers is not installed."""
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError:
            raise CheckpointError(
                "--encoder needs the package transformers; run: pip install transformers"
            ) from None
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, **options)
            self._model: Any = AutoModel.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, **options
            )
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{folder} is not a readable encoder ({str(error).splitlines()[0]}); it needs config.json, "
                "a tokenizer and safetensors, without custom code"
            ) from None
        self._model.eval()
        start, end = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        if start is None or end is None:
            raise CheckpointError(
                f"{folder} is not an encoder: its tokenizer adds no start or end token"
            )
        mode = self._tokenizer.get_vocab().get(MODE)
        self._before = [start] if mode is None else [start, mode, end]
        self._after = [end]
        marks = len(self._before) + len(self._after)
        # positions of RoBERTa's family begin behind the padding's number
        most = self._model.config.max_position_embeddings - (self._tokenizer.pad_token_id or 0) - 1
        self._room = min(MAX_TOKENS, most) - marks
        self.fingerprint = f"hidden-{checkpoint.fingerprint(folder)}"

    @property
    def n_dimensions(self) -> int:
        return self._model.config.hidden_size

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, zero for a text without a token. Shapes: n texts → [n, D]."""
        blocks = [(k, block) for k, text in enumerate(texts) for block in self._blocks(text)]
        # of one length as far as may be: padding costs as much as text
        blocks.sort(key=lambda one: len(one[1]))
        sums = np.zeros((len(texts), self.n_dimensions), np.float32)
        for begin in range(0, len(blocks), BATCH):
            some = blocks[begin : begin + BATCH]
            vectors = unit(self._pooled([block for _, block in some]))
            for (k, _), vector in zip(some, vectors, strict=True):
                sums[k] += vector
        return unit(sums)

    def _blocks(self, text: str) -> Iterator[list[int]]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, verbose=False)
        step = max(1, self._room // 2)
        for begin in range(0, max(1, len(ids) - self._room + step), step) if ids else ():
            yield [*self._before, *ids[begin : begin + self._room], *self._after]

    @torch.inference_mode()
    def _pooled(self, blocks: list[list[int]]) -> NDArray[np.float32]:
        """The mean of the last states. Shapes: n lists of tokens → [n, D]."""
        longest = max(map(len, blocks))
        tokens = torch.full((len(blocks), longest), self._tokenizer.pad_token_id or 0)
        mask = torch.zeros(len(blocks), longest, dtype=torch.int64)
        for k, block in enumerate(blocks):
            tokens[k, : len(block)] = torch.tensor(block)
            mask[k, : len(block)] = 1
        states = self._model(input_ids=tokens, attention_mask=mask).last_hidden_state
        weights = mask[:, :, None].float()
        return ((states * weights).sum(1) / weights.sum(1)).numpy()
