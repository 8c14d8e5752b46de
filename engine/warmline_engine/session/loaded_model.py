"""A model ready to serve: weights, tokenizer, FIM template, and the arena of its caches."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from warmline_engine.cache.arena import Arena, RowShape
from warmline_engine.cache.chunk_cache import ChunkCache
from warmline_engine.cache.chunk_files import ChunkFiles
from warmline_engine.decoding import confidence
from warmline_engine.decoding.ngram.recall import Shares
from warmline_engine.decoding.speculative.drafts import DraftCostModel
from warmline_engine.errors import TokenizerError
from warmline_engine.model import checkpoint
from warmline_engine.model.hub.sources import Card, locate, read_card
from warmline_engine.model.quant.compact import FORMATS
from warmline_engine.model.transformer import Transformer
from warmline_engine.text.fim import FimTemplate, find_template
from warmline_engine.text.spellings import Spellings
from warmline_engine.text.tokenizer import Tokenizer
from warmline_kernels.native.library import library
from warmline_protocol.folders import chunks_folder
from warmline_protocol.owner_notes import note_owner

log = logging.getLogger(__name__)

# with fewer weights float32 is as fast as 8 bits on a CPU without our own kernels, and exact
FEW_WEIGHTS = 8_000_000
MEBIBYTE = 2**20
AUTO_FEW = "int8"
KEPT_MEBIBYTES = 64  # of chunks of other files
FILED_MEBIBYTES = 256  # of them on disk, for all models together


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """Ids that are True in `suppressed_ids` are never generated. `recall` is None if it was not fitted.

    A completion less likely than `min_probability` is shown only on request; it is 0 if it was not fitted.
    `draft_costs` are learnt while serving. `kept` are encoded chunks of other files.

    Shape: suppressed_ids [V] bool.
    """

    card: Card
    fingerprint: str
    transformer: Transformer
    tokenizer: Tokenizer
    spellings: Spellings
    layout: FimTemplate
    suppressed_ids: Tensor
    arena: Arena
    recall: Shares | None = None
    min_probability: float = 0.0
    draft_costs: DraftCostModel = field(default_factory=DraftCostModel)
    kept: ChunkCache = field(default_factory=lambda: ChunkCache(KEPT_MEBIBYTES * MEBIBYTE))

    def with_chunk_files(self, formats: str) -> LoadedModel:
        """The model with chunks that outlast the process; `formats` names the number formats of its weights."""
        shape = self.arena.shape
        name = f"{self.fingerprint}-{str(shape.dtype).removeprefix('torch.')}-{formats}"
        try:
            folder = chunks_folder(name)
            files = ChunkFiles(folder, FILED_MEBIBYTES * MEBIBYTE, shape)
        except OSError as error:
            log.warning("encoded chunks are not kept: %s", error)
            return self
        note_owner(folder, self.card.name)
        return replace(self, kept=ChunkCache(KEPT_MEBIBYTES * MEBIBYTE, files))

    @property
    def min_logprob(self) -> float:
        return math.log(self.min_probability) if self.min_probability else -math.inf


def load(
    model: str,
    device: str = "auto",
    dtype: str = "auto",
    cache_mebibytes: int = 1024,
    progress: Callable[[str, float], None] | None = None,
    low_memory: bool = False,
) -> LoadedModel:
    """Finds and loads a model; `progress` is called with the name of a stage and the share of it that is done.

    On a CPU bf16 weights are also kept in 8 bits, which decodes faster, or in 4 bits on request; on a GPU only on
    request. `low_memory` keeps one format only.

    Raises: ModelError, with what to do.
    """
    notify = progress or (lambda stage, share: None)
    # without a callback the library shows its progress in a terminal
    folder = locate(model, partial(notify, "fetching") if progress else None)
    on = _device(device)
    loading = partial(notify, "loading")
    card = read_card(folder)
    decode_format = _decode_format(dtype, on, low_memory)
    transformer = checkpoint.load(
        folder, on, _dtype(dtype, on, folder), loading, decode_format, low_memory
    )
    tokenizer = Tokenizer.load(folder)
    layout = find_template(tokenizer, suffix_first=card.layout == "suffix-first")
    config = transformer.config
    if config.n_vocabulary < tokenizer.n_vocabulary:
        raise TokenizerError(
            f"{folder}: the tokenizer has {tokenizer.n_vocabulary} tokens and the model "
            f"{config.n_vocabulary}; they do not match"
        )
    suppressed_ids = torch.zeros(config.n_vocabulary, dtype=torch.bool, device=on)
    suppressed_ids[tokenizer.n_vocabulary :] = True  # padding of the embedding
    suppressed_ids[list(tokenizer.control_ids - layout.stop_ids)] = True
    shape = RowShape(config.n_layers, config.n_kv_heads, config.head_size, transformer.dtype, on)
    return LoadedModel(
        card,
        checkpoint.fingerprint(folder),
        transformer,
        tokenizer,
        Spellings(tokenizer),
        layout,
        suppressed_ids,
        Arena(shape, cache_mebibytes * MEBIBYTE),
        Shares.read(folder / "recall.json"),
        confidence.read(folder / "confidence.json"),
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _decode_format(dtype: str, device: torch.device, low_memory: bool) -> str:
    """The format of weights for passes of few rows."""
    if dtype == "auto":
        return "" if low_memory or device.type == "cuda" else AUTO_FEW
    return dtype if dtype in FORMATS else ""


def _dtype(name: str, device: torch.device, folder: Path) -> torch.dtype:
    if name in FORMATS:
        return torch.bfloat16
    if name != "auto":
        return checkpoint.DTYPES[name]
    if device.type == "cuda" or library() is not None:
        return torch.bfloat16
    shapes = checkpoint.read_config(folder).tensor_shapes().values()
    n_weights = sum(math.prod(shape) for shape in shapes)
    return torch.float32 if n_weights < FEW_WEIGHTS else torch.bfloat16
