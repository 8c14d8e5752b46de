"""The file of an encoder beside a model's weights: the weight of each token, and a projection."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from warmline_engine.errors import CheckpointError
from warmline_engine.model import checkpoint
from warmline_engine.model.hub.sources import EMBEDDED, ENCODER
from warmline_engine.text.tokenizer import Tokenizer

from .encoder import WordEncoder

log = logging.getLogger(__name__)
DEFAULT = "small"  # the embedded model that has one


def load(folder: Path = EMBEDDED / DEFAULT) -> WordEncoder | None:
    """The encoder beside a model's weights; None, with a log line, if it was made for other weights.

    Raises: CheckpointError, if the file cannot be read.
    """
    made_for, weights, projection = read(folder / ENCODER)
    fingerprint = checkpoint.fingerprint(folder)
    if made_for != fingerprint:
        log.warning("%s was made for other weights; fit it again", folder / ENCODER)
        return None
    embedded = embedding(folder)
    if embedded.shape != (len(weights), len(projection)):
        raise CheckpointError(
            f"{folder / ENCODER}: {len(weights)} weights and {len(projection)} rows do not fit an embedding of "
            f"{list(embedded.shape)}; fit it anew"
        )
    table = weights.exp()[:, None] * (embedded @ projection)
    name = f"words-{fingerprint}-{_digest(weights, projection)}"
    return WordEncoder(table.numpy(), Tokenizer.load(folder), name)


def embedding(folder: Path) -> Tensor:
    """A model's embeddings as the encoder reads them: around their mean, of length 1. Shape: [V, width]."""
    whole = checkpoint.read_weights(folder)["model.embed_tokens.weight"]
    return torch.nn.functional.normalize(whole - whole.mean(0), dim=-1)


def read(path: Path) -> tuple[str, Tensor, Tensor]:
    """The model it was made for, and in float32 the logarithm of each token's weight [V] and the projection [width, D].

    Raises: CheckpointError, if it cannot be read.
    """
    try:
        with safe_open(path, "pt") as file:
            made_for = (file.metadata() or {}).get("model", "")
            weights, projection = (file.get_tensor(k).float() for k in ("weights", "projection"))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); install warmline again") from None
    if weights.dim() != 1 or projection.dim() != 2:
        raise CheckpointError(f"{path}: expected a vector and a matrix; install warmline again")
    return made_for, weights, projection


def _digest(*tensors: Tensor) -> str:
    joined = b"".join(tensor.numpy().tobytes() for tensor in tensors)
    return hashlib.sha256(joined).hexdigest()[:12]
