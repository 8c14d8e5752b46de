"""Passes of few tokens on a GPU: each shape is captured once in a CUDA graph and replayed with other inputs.

A pass of one token has some two hundred launches, which a GPU runs faster than Python requests them. A graph contains
addresses and sizes. A splice changes neither; it changes which slots are used and at which positions, and these numbers
are in one buffer that is written before each pass. Unused slots are part of each pass but masked. So graphs stay valid
until the rows are reallocated.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from warmline_engine.model.quant.linear import FEW_ROWS
from warmline_engine.model.transformer import Transformer
from warmline_kernels.choose import Kernels, is_fast
from warmline_kernels.view import EVERY_SPAN, UNSEEN, AttentionMetadata, cos_sin

from .arena import KVStore
from .pass_inputs import PassInputs

MIN_REQUESTS = (
    2  # capturing takes as long as several passes, so a shape that occurs once is not worth it
)

log = logging.getLogger(__name__)


class CapturedPass(Protocol):
    """A captured pass."""

    def replay(self) -> None: ...


class CudaGraphRunner:
    """The graphs of one sequence."""

    def __init__(self, model: Transformer, kernels: Kernels) -> None:
        self._model, self._kernels = model, kernels
        # on the device beforehand, since a capture must not contain copies to it
        self._frequencies = model.config.rope.inverse_frequencies.to(model.device)
        self._is_off = False
        self.drop()

    def drop(self) -> None:
        """Drops all graphs and releases their memory."""
        self._addresses: tuple[int, ...] = ()
        self._graphs: dict[tuple[int, int], tuple[CapturedPass, Tensor]] = {}
        self._n_requests: Counter[tuple[int, int]] = Counter()
        self._n_used = 0

    def run(self, rows: KVStore, inputs: PassInputs, n_logits: int) -> Tensor | None:
        """The logits of the last n_logits tokens; None without a graph for this shape, and then nothing is changed.

        Shape: [n_logits, V] float32. Modifies: the tokens' rows.
        """
        if self._is_off or len(inputs.tokens) > FEW_ROWS:
            return None
        shape = (len(inputs.tokens), n_logits)
        addresses = (*(store.data_ptr() for store in rows.stores), rows.n_slots)
        if addresses != self._addresses:
            self._begin(rows, addresses)
        self._n_requests[shape] += 1
        if self._n_requests[shape] < MIN_REQUESTS:
            return None
        self._write(inputs)
        if shape not in self._graphs:
            try:
                self._graphs[shape] = self._captured(rows, *shape)
            except RuntimeError as error:
                log.warning("no CUDA graphs, so decoding is slower: %s", error)
                self.drop()
                self._is_off = True
                return None
        graph, logits = self._graphs[shape]
        graph.replay()
        return logits.clone()  # the next replay writes there

    @torch.inference_mode(False)
    def _begin(self, rows: KVStore, addresses: tuple[int, ...]) -> None:
        self.drop()
        self._addresses = addresses
        sizes = (*[FEW_ROWS] * 5, *[rows.n_slots] * 3)
        host = torch.zeros(sum(sizes), dtype=torch.int64)
        self._host, self._device = host, host.to(self._model.device)
        self._written = [part.numpy() for part in host.split(sizes)]
        self._read = self._device.split(sizes)
        self._written[5][:] = UNSEEN

    def _write(self, inputs: PassInputs) -> None:
        """Copies the numbers of a pass to the device, in one copy."""
        n_tokens, n_used = len(inputs.tokens), len(inputs.seen_at)
        tokens, slots, at, rotated_for, seen, seen_at, rotated_at, spans = self._written
        tokens[:n_tokens], slots[:n_tokens] = inputs.tokens, inputs.slots
        at[:n_tokens], rotated_for[:n_tokens] = inputs.at, inputs.at - inputs.offset
        seen[:n_tokens] = EVERY_SPAN if inputs.seen is None else inputs.seen
        seen_at[:n_used], seen_at[n_used : self._n_used] = inputs.seen_at, UNSEEN
        rotated_at[:n_used] = inputs.rotated_at
        spans[:n_used] = 0 if inputs.spans is None else inputs.spans
        self._n_used = n_used
        self._device.copy_(self._host)

    def _captured(self, rows: KVStore, n_tokens: int, n_logits: int) -> tuple[CapturedPass, Tensor]:
        def work() -> Tensor:
            return self._forward(rows, n_tokens, n_logits)

        if self._model.device.type != "cuda":
            repeated = _RepeatedPass(work)
            return repeated, repeated.logits
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            work()  # compiles kernels and allocates workspaces, which a capture must not contain
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # other threads may use the GPU meanwhile
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            logits = work()
        return graph, logits

    @torch.inference_mode()
    def _forward(self, rows: KVStore, n_tokens: int, n_logits: int) -> Tensor:
        config = self._model.config
        tokens, slots, at, rotated_for, seen = (part[:n_tokens] for part in self._read[:5])
        seen_at, rotated_at, spans = self._read[5:]
        frequencies, factor = self._frequencies, config.rope.attention_factor
        view = AttentionMetadata(
            at, seen_at, rotated_at, frequencies, factor, config.attention_scale, spans, seen
        )
        cos, sin = cos_sin(rotated_for[:, None], frequencies, factor)
        layers, kernels = rows.layers(rows.n_slots), self._kernels

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            kernels.write_kv(k, v, slots, cos, sin, layers[layer])
            _, keys, values = layers[layer]
            return kernels.attention(q, keys, values, view, config.windows[layer])

        logits_for = slice(n_tokens - n_logits, None) if n_logits else None
        return self._model.forward(tokens, attend, logits_for)


class _RepeatedPass:
    """The reference for a graph, used on devices that have none: runs the pass again."""

    def __init__(self, work: Callable[[], Tensor]) -> None:
        self._work, self.logits = work, work()

    def replay(self) -> None:
        with torch.inference_mode():
            self.logits.copy_(self._work())


def graphs_for(model: Transformer, kernels: Kernels) -> CudaGraphRunner | None:
    """A runner on a GPU with its own kernels, which need no number on the CPU to choose their sizes; else None."""
    has_graphs = model.device.type == "cuda" and is_fast(kernels)
    return CudaGraphRunner(model, kernels) if has_graphs else None
