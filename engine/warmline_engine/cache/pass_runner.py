"""Runs forward passes of a model over the rows of one sequence.

There are three ways, and all give the same logits within rounding:

    CUDA graph   few tokens on a GPU; the pass is recorded once and replayed with other numbers
    fused        few tokens on a CPU whose compiled kernels support the model: one call for all layers
    by layer     everything else, and the reference for the other two

A pass writes the tokens' rows layer by layer. One that fails leaves some layers written and others not.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from warmline_engine.model.transformer import Transformer
from warmline_kernels.choose import Kernels, is_fast, kernels_for
from warmline_kernels.decoder import NativePass
from warmline_kernels.view import AttentionMetadata, cos_sin

from .arena import KVStore
from .cuda_graphs import CudaGraphRunner, graphs_for
from .pass_inputs import PassInputs
from .slots import Ints


class PassRunner:
    """Chooses the way of each pass. Graphs know addresses, so each sequence has a runner."""

    def __init__(
        self, model: Transformer, kernels: Kernels, graphs: CudaGraphRunner | None
    ) -> None:
        self.graphs = graphs
        self._model = model
        self._kernels = kernels
        self._frequencies = model.config.rope.inverse_frequencies.to(model.device)

    @classmethod
    def of(cls, model: Transformer) -> PassRunner:
        """The fastest runner for the model's device."""
        kernels = kernels_for(model.device)
        return cls(model, kernels, graphs_for(model, kernels))

    def run(self, rows: KVStore, inputs: PassInputs, n_logits: int) -> Tensor:
        """Encodes the tokens and returns the logits of the last n_logits of them.

        Shape: [n_logits, V] float32. Modifies: the tokens' rows.
        """
        if self.graphs is not None:
            logits = self.graphs.run(rows, inputs, n_logits)
            if logits is not None:
                return logits
        view = self._view(inputs)
        key_angles = self._key_angles(inputs, view)
        if self._model.supports_fused(len(inputs.tokens)):
            return self._run_fused(rows, inputs, view, key_angles, n_logits)
        return self._run_by_layer(rows, inputs, view, key_angles, n_logits)

    def rotate(self, rows: KVStore, slots: Tensor, positions: Ints) -> None:
        """Derives the rotated keys of slots from the unrotated ones. Shapes: slots and positions [n]."""
        at = torch.from_numpy(positions).to(self._model.device)
        cos, sin = cos_sin(at, self._frequencies, self._model.config.rope.attention_factor)
        self._kernels.rotate(rows.unrotated, rows.rotated, slots, cos, sin)

    def drop(self) -> None:
        """Gives the memory of all graphs back."""
        if self.graphs is not None:
            self.graphs.drop()

    def _run_fused(
        self,
        rows: KVStore,
        inputs: PassInputs,
        view: AttentionMetadata,
        key_angles: tuple[Tensor, Tensor],
        n_logits: int,
    ) -> Tensor:
        step = NativePass(rows.stores, torch.from_numpy(inputs.slots), view, key_angles)
        return self._model.forward_at_once(self._on_device(inputs.tokens), step, n_logits)

    def _run_by_layer(
        self,
        rows: KVStore,
        inputs: PassInputs,
        view: AttentionMetadata,
        key_angles: tuple[Tensor, Tensor],
        n_logits: int,
    ) -> Tensor:
        kernels, windows, (cos, sin) = self._kernels, self._model.config.windows, key_angles
        layers = rows.layers(len(inputs.seen_at))
        # a GPU's kernels take no slices
        slots = (
            self._on_device(inputs.slots) if is_fast(kernels) else _as_slice_or_index(inputs.slots)
        )

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            kernels.write_kv(k, v, slots, cos, sin, layers[layer])
            _, keys, values = layers[layer]
            return kernels.attention(q, keys, values, view, windows[layer])

        n_tokens = len(inputs.tokens)
        logits_for = slice(n_tokens - n_logits, None) if n_logits else None
        return self._model.forward(self._on_device(inputs.tokens), attend, logits_for)

    def _view(self, inputs: PassInputs) -> AttentionMetadata:
        config = self._model.config
        return AttentionMetadata(
            query_positions=self._on_device(inputs.at),
            key_positions=self._on_device(inputs.seen_at),
            # a copy: the table changes while the view is in use
            rotated_at=self._on_device(inputs.rotated_at.copy()),
            inverse_frequencies=self._frequencies,
            attention_factor=config.rope.attention_factor,
            scale=config.attention_scale,
            key_spans=None if inputs.spans is None else self._on_device(inputs.spans),
            seen_spans=None if inputs.seen is None else self._on_device(inputs.seen),
            only_offset=inputs.offset if inputs.has_one_offset else None,
        )

    def _key_angles(self, inputs: PassInputs, view: AttentionMetadata) -> tuple[Tensor, Tensor]:
        """Cosines and sines that rotate the new keys. Shapes: [T, 1, R/2]."""
        if inputs.has_one_offset:  # queries and keys turn alike
            cos, sin = view.query_angles
            return cos[0], sin[0]
        at = view.query_positions[:, None] - inputs.offset
        return cos_sin(at, self._frequencies, self._model.config.rope.attention_factor)

    def _on_device(self, numbers: Ints) -> Tensor:
        return torch.from_numpy(numbers).to(self._model.device)


def _as_slice_or_index(slots: Ints) -> slice | Tensor:
    """Consecutive slots as a slice, which writes in place without an index."""
    first, last = int(slots[0]), int(slots[-1])
    if last - first == len(slots) - 1 and bool((np.diff(slots) == 1).all()):
        return slice(first, last + 1)
    return torch.from_numpy(slots)
