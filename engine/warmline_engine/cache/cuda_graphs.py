"""Passes of few tokens on a GPU, each shape captured once in a CUDA graph and replayed with other numbers.

A pass of one token is some two hundred launches, which a GPU does faster than Python asks for them. A graph knows
addresses and sizes. A splice changes neither: what it changes are numbers, which slots are used and where their
tokens stand, and these lie in one buffer that is written before each pass. Slots not in use are there, and unseen. So
graphs last as long as the rows do.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from warmline_engine.model.quant.linear import FEW_ROWS
from warmline_engine.model.transformer import Transformer
from warmline_kernels.choose import Kernels, is_fast
from warmline_kernels.view import EVERY_SPAN, UNSEEN, AttentionMetadata, cos_sin

from .arena import KVStore
from .slots import Ints

MIN_ASKED = 2  # a shape that is asked for once only is not worth capturing, which takes as long as some passes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PassInputs:
    """Tokens on their way through the layers, and the slots that are there.

    `spans` and `seen` are the attention rule as an `AttentionMetadata` has it, None where each token sees all.

    Shapes: tokens, slots, at and seen [T], standing, rotated_at and spans [S].
    """

    tokens: Ints
    slots: Ints
    at: Ints
    offset: int
    seen_at: Ints
    rotated_at: Ints
    spans: Ints | None
    seen: Ints | None


class Replayed(Protocol):
    """Does again what was captured."""

    def replay(self) -> None: ...


class CudaGraphRunner:
    """The graphs of one sequence."""

    def __init__(self, model: Transformer, kernels: Kernels) -> None:
        self._model, self._kernels = model, kernels
        # on the device beforehand: what is captured may copy nothing there
        self._frequencies = model.config.rope.inverse_frequencies.to(model.device)
        self._is_off = False
        self.drop()

    def drop(self) -> None:
        """Forgets all graphs, and gives their memory back."""
        self._known: tuple[int, ...] = ()
        self._graphs: dict[tuple[int, int], tuple[Replayed, Tensor]] = {}
        self._n_asked: Counter[tuple[int, int]] = Counter()
        self._n_used = 0

    def run(self, rows: KVStore, numbers: PassInputs, n_logits: int) -> Tensor | None:
        """The logits of the last n_logits tokens; None where this pass has no graph, and nothing has happened.

        Shape: [n_logits, V] float32. Modifies: the tokens' rows.
        """
        if self._is_off or len(numbers.tokens) > FEW_ROWS:
            return None
        shape = (len(numbers.tokens), n_logits)
        where = (*(store.data_ptr() for store in rows.stores), rows.n_slots)
        if where != self._known:
            self._begin(rows, where)
        self._n_asked[shape] += 1
        if self._n_asked[shape] < MIN_ASKED:
            return None
        self._write(numbers)
        if shape not in self._graphs:
            try:
                self._graphs[shape] = self._captured(rows, *shape)
            except RuntimeError as error:
                log.warning("no CUDA graphs, so tokens come slower: %s", error)
                self.drop()
                self._is_off = True
                return None
        graph, logits = self._graphs[shape]
        graph.replay()
        return logits.clone()  # the next replay writes there

    @torch.inference_mode(False)
    def _begin(self, rows: KVStore, where: tuple[int, ...]) -> None:
        self.drop()
        self._known = where
        sizes = (*[FEW_ROWS] * 5, *[rows.n_slots] * 3)
        host = torch.zeros(sum(sizes), dtype=torch.int64)
        self._host, self._device = host, host.to(self._model.device)
        self._written = [part.numpy() for part in host.split(sizes)]
        self._read = self._device.split(sizes)
        self._written[5][:] = UNSEEN

    def _write(self, numbers: PassInputs) -> None:
        """Hands the numbers of a pass over, in one copy."""
        n_tokens, n_used = len(numbers.tokens), len(numbers.seen_at)
        tokens, slots, at, rotated_for, seen, seen_at, rotated_at, spans = self._written
        tokens[:n_tokens], slots[:n_tokens] = numbers.tokens, numbers.slots
        at[:n_tokens], rotated_for[:n_tokens] = numbers.at, numbers.at - numbers.offset
        seen[:n_tokens] = EVERY_SPAN if numbers.seen is None else numbers.seen
        seen_at[:n_used], seen_at[n_used : self._n_used] = numbers.seen_at, UNSEEN
        rotated_at[:n_used] = numbers.rotated_at
        spans[:n_used] = 0 if numbers.spans is None else numbers.spans
        self._n_used = n_used
        self._device.copy_(self._host)

    def _captured(self, rows: KVStore, n_tokens: int, n_logits: int) -> tuple[Replayed, Tensor]:
        def work() -> Tensor:
            return self._forward(rows, n_tokens, n_logits)

        if self._model.device.type != "cuda":
            repeated = _Repeated(work)
            return repeated, repeated.logits
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            work()  # kernels are compiled, workspaces are taken: neither may happen in a capture
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


class _Repeated:
    """A graph's twin where there are none: the work itself, done again."""

    def __init__(self, work: Callable[[], Tensor]) -> None:
        self._work, self.logits = work, work()

    def replay(self) -> None:
        with torch.inference_mode():
            self.logits.copy_(self._work())


def passes_for(model: Transformer, kernels: Kernels) -> CudaGraphRunner | None:
    """Graphs where they pay: on a GPU with the kernels that were made for it, whose sizes wait for no number."""
    is_served = model.device.type == "cuda" and is_fast(kernels)
    return CudaGraphRunner(model, kernels) if is_served else None
