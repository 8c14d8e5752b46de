"""The gradients of a batch, in pieces that stay in a core's cache, on one process for each core.

The same mathematics as `TrainableDecoder`, its slow reference, in another order: query, key and value in one product,
gate and up in one, the loss and its gradient chunk by chunk without keeping logits, attention at short lengths by
blocks of queries that skip the keys behind them. Gradients of the pieces are summed in float32. Processes split a
batch by rows and synchronize once a step: threads would synchronize at each operation, and wait for a core that
others use.

This file is longer than 300 lines because forward and backward of each part are next to each other.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Self

import numpy as np
import torch
import torch.multiprocessing  # so that processes share tensors
import torch.nn.functional as F
from torch import Tensor

from warmline_lab.data.samples import IGNORED
from warmline_protocol import processes

from .decoder import ModelShape, TrainableDecoder, norm, turn, working_type

PIECE = 1024  # tokens that go through the layers at once on a CPU; and through the loss
BLOCK = 128  # queries of one product in attention
SHORT = 1024  # up to here attention by blocks is faster than PyTorch's own
GROUPS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
    "before": ("input_layernorm",),
    "behind": ("post_attention_layernorm",),
}
EMBEDDING, LAST = "model.embed_tokens.weight", "model.norm.weight"

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Teacher:
    """A model that another one learns from: its expectations have this share, what the text says has the rest.

    Source: Hinton et al. 2015, "Distilling the knowledge in a neural network", at temperature 1.
    """

    name: str
    shape: ModelShape
    weights: Tensors
    share: float


class TrainStep:
    """Computes gradients of a model's weights with a number of processes, itself one of them."""

    def __init__(
        self,
        model: TrainableDecoder,
        n_processes: int = 1,
        is_compiled: bool = True,
        piece: int = PIECE,
        teacher: Teacher | None = None,
    ) -> None:
        self._shape, self._weights = model.shape, model.weights
        weights = {name: weight.detach() for name, weight in model.weights.items()}
        self._pieces = GradientWorker(model.shape, weights, is_compiled, piece, teacher)
        self._workers: list[tuple[Any, Connection, Tensors]] = []
        context: Any = processes.workers("spawn")
        for weight in model.weights.values() if n_processes > 1 else ():
            weight.share_memory_()
        for _ in range(n_processes - 1):
            ours, theirs = context.Pipe()
            sums = {name: total.share_memory_() for name, total in _zeros(weights, model).items()}
            arguments = (theirs, model.shape, weights, sums, is_compiled, piece, teacher)
            worker = context.Process(target=_work, args=arguments, daemon=True)
            worker.start()
            theirs.close()
            self._workers.append((worker, ours, sums))
        self._sums = _zeros(weights, model)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker, pipe, _sums in self._workers:
            pipe.close()
            worker.join()

    def gradients(
        self,
        tokens: Tensor,
        targets: Tensor,
        rounding: Callable[[Tensor], Tensor] | None = None,
        positions: Tensor | None = None,
        loss_weights: Tensor | None = None,
    ) -> float:
        """The mean loss in nats a token of the text. With `rounding` the weights are used as it makes them.

        `loss_weights` is how often a target is learnt from, once each without; the loss stays that of the text.

        Shapes: tokens, targets and counts [B, T], positions [T]. Modifies: `grad` of each weight.
        """
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device)
        if loss_weights is None:
            loss_weights = torch.ones(targets.shape, device=targets.device)
        loss_weights = loss_weights * (targets != IGNORED)
        n_targets, n_learnt = int((targets != IGNORED).sum()), float(loss_weights.sum())
        n_parts = min(len(tokens), len(self._workers) + 1)
        parts = list(
            zip(
                tokens.chunk(n_parts),
                targets.chunk(n_parts),
                loss_weights.chunk(n_parts),
                strict=True,
            )
        )
        busy = self._workers[: len(parts) - 1]
        for (_, pipe, _sums), part in zip(busy, parts[1:], strict=True):
            pipe.send((*(tensor.numpy() for tensor in part), positions.numpy(), rounding))
        loss = self._pieces.add_gradients(*parts[0], positions, self._sums, rounding)
        for _, pipe, sums in busy:
            loss += pipe.recv()
            for name, total in self._sums.items():
                total.add_(sums[name])
        for total in self._sums.values():
            total.div_(n_learnt)
        for name, gradient in _by_name(self._sums, self._shape).items():
            self._weights[name].grad = gradient
        return loss / n_targets


def _work(
    pipe: Connection,
    shape: ModelShape,
    weights: Tensors,
    sums: Tensors,
    is_compiled: bool,
    piece: int,
    teacher: Teacher | None,
) -> None:
    """A worker's life: it ends when its pipe does, not by the signals that its owner handles."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    pieces = GradientWorker(shape, weights, is_compiled, piece, teacher)
    while True:
        try:
            *arrays, rounding = pipe.recv()
        except EOFError:
            return
        tokens, targets, loss_weights, positions = (
            torch.from_numpy(np.asarray(part)) for part in arrays
        )
        pipe.send(pieces.add_gradients(tokens, targets, loss_weights, positions, sums, rounding))


class GradientWorker:
    """One process' share of a step."""

    def __init__(
        self,
        shape: ModelShape,
        weights: Tensors,
        is_compiled: bool,
        piece: int,
        teacher: Teacher | None = None,
    ) -> None:
        self._shape, self._weights, self._piece = shape, weights, piece
        self._type = working_type(weights[EMBEDDING].device)
        self._layers: Callable[..., Tensor] = _layers
        if is_compiled and weights[EMBEDDING].is_cuda:
            # one layer: compiling all would take half a minute a shape from a time that is lent, to save calls which
            # a GPU does not wait for
            self._layers = partial(_layers, layer=torch.compile(_layer, dynamic=False))
        elif is_compiled:
            self._layers = torch.compile(_layers, dynamic=False)
        self._head = torch.compile(_head, dynamic=False) if is_compiled else _head
        # made at once on the device of the weights: a compiled function takes them as they are
        self._turns = _turns(shape, weights[EMBEDDING].device)
        self._teacher = teacher
        if teacher:
            self._taught_with = _as_used(teacher.weights, teacher.shape, None, self._type)
            self._teacher_embedding = self._taught_with.pop("embedding")
            self._teacher_turns = _turns(teacher.shape, weights[EMBEDDING].device)

    def add_gradients(
        self,
        tokens: Tensor,
        targets: Tensor,
        loss_weights: Tensor,
        positions: Tensor,
        sums: Tensors,
        rounding: Callable[[Tensor], Tensor] | None,
    ) -> float:
        """The summed loss of some rows; their summed gradients replace what `sums` holds."""
        for total in sums.values():
            total.zero_()
        used = _as_used(self._weights, self._shape, rounding, self._type)
        embedding = used.pop("embedding")
        names, leaves = list(used), [leaf.requires_grad_() for leaf in used.values()]
        n_rows = max(1, self._piece // tokens.shape[1])
        turns = self._turns
        cos, sin = turns[0][positions], turns[1][positions]
        loss = torch.zeros((), device=embedding.device)
        given = (tokens, targets, loss_weights)
        for part, wanted, count in zip(*(one.split(n_rows) for one in given), strict=True):
            x = F.embedding(part, embedding).requires_grad_()
            hidden = self._layers(x, *leaves, cos, sin, self._shape)
            back, flat = torch.empty_like(hidden).flatten(0, 1), hidden.detach().flatten(0, 1)
            teacher_hidden = self._taught(part, positions)
            for begin in range(0, len(flat), self._piece):
                chunk = slice(begin, begin + self._piece)
                losses, back[chunk], gradient = self._head(
                    flat[chunk],
                    embedding,
                    wanted.flatten()[chunk],
                    count.flatten()[chunk],
                    None
                    if teacher_hidden is None
                    else (teacher_hidden[chunk], self._teacher_embedding),
                    self._teacher.share if self._teacher else 0.0,
                )
                sums["embedding"].add_(gradient)
                loss += losses
            found = torch.autograd.grad(hidden, [x, *leaves], back.view_as(hidden))
            for name, gradient in zip(names, found[1:], strict=True):
                sums[name].add_(gradient)
            sums["embedding"].index_add_(0, part.flatten(), found[0].flatten(0, 1).float())
        return float(loss)

    def _taught(self, tokens: Tensor, positions: Tensor) -> Tensor | None:
        """The teacher's outputs. Shapes: tokens [B, T] → [B · T, its width]."""
        if self._teacher is None:
            return None
        cos, sin = (turn[positions] for turn in self._teacher_turns)
        with torch.no_grad():
            x = F.embedding(tokens, self._teacher_embedding)
            leaves = self._taught_with.values()
            return self._layers(x, *leaves, cos, sin, self._teacher.shape).flatten(0, 1)


def _as_used(
    weights: Tensors,
    shape: ModelShape,
    rounding: Callable[[Tensor], Tensor] | None,
    working: torch.dtype,
) -> Tensors:
    """Weights as the products take them: in the working type, stacked over layers, joined where they share an input."""

    def used(name: str) -> Tensor:
        weight = weights[name]
        if weight.ndim == 1:
            return weight
        return (rounding(weight) if rounding else weight).to(working)

    stacked = {
        group: torch.stack(
            [
                torch.cat([used(f"model.layers.{layer}.{name}.weight") for name in names])
                for layer in range(shape.n_layers)
            ]
        )
        for group, names in GROUPS.items()
    }
    return {**stacked, "last": weights[LAST].clone(), "embedding": used(EMBEDDING)}


def _zeros(weights: Tensors, model: TrainableDecoder) -> Tensors:
    used = _as_used(weights, model.shape, None, torch.float32)
    return {name: torch.zeros_like(tensor) for name, tensor in used.items()}


def _by_name(sums: Tensors, shape: ModelShape) -> Tensors:
    """Each weight's gradient as a view of the sums."""
    found = {EMBEDDING: sums["embedding"], LAST: sums["last"]}
    hd = shape.head_size
    heights = {
        "qkv": (shape.n_heads * hd, shape.n_kv_heads * hd, shape.n_kv_heads * hd),
        "gate_up": (shape.mlp_width, shape.mlp_width),
    }
    for group, names in GROUPS.items():
        for layer in range(shape.n_layers):
            total = sums[group][layer]
            parts = total.split(heights.get(group, (len(total),)))
            for name, part in zip(names, parts, strict=True):
                found[f"model.layers.{layer}.{name}.weight"] = part
    return found


def _turns(shape: ModelShape, device: torch.device) -> tuple[Tensor, Tensor]:
    frequencies = shape.rope_theta ** (
        -torch.arange(0, shape.head_size, 2).float() / shape.head_size
    )
    angles = torch.outer(torch.arange(shape.max_context).float(), frequencies)[:, None, :]
    return angles.cos().to(device), angles.sin().to(device)


def _layer(
    x: Tensor,
    qkv: Tensor,
    out: Tensor,
    gate_up: Tensor,
    down: Tensor,
    before: Tensor,
    behind: Tensor,
    cos: Tensor,
    sin: Tensor,
    shape: ModelShape,
) -> Tensor:
    size = shape.head_size
    n_query, n_key = shape.n_heads * size, shape.n_kv_heads * size
    joined = F.linear(norm(x, before), qkv)
    q, k, v = (part.unflatten(-1, (-1, size)) for part in joined.split((n_query, n_key, n_key), -1))
    x = x + F.linear(_attend(turn(q, cos, sin), turn(k, cos, sin), v), out)
    gate, up = F.linear(norm(x, behind), gate_up).chunk(2, -1)
    return x + F.linear(F.silu(gate) * up, down)


def _layers(
    x: Tensor,
    qkv: Tensor,
    out: Tensor,
    gate_up: Tensor,
    down: Tensor,
    before: Tensor,
    behind: Tensor,
    last: Tensor,
    cos: Tensor,
    sin: Tensor,
    shape: ModelShape,
    layer: Callable[..., Tensor] = _layer,
) -> Tensor:
    """Embeddings to normalised outputs. Shapes: x [B, T, width] → the same; weights [layers, ...]."""
    stacks = (qkv, out, gate_up, down, before, behind)
    for weights in zip(*(stack.unbind(0) for stack in stacks), strict=True):
        x = layer(x, *weights, cos, sin, shape)
    return norm(x, last)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention. Shapes: q [B, T, H, D], k and v [B, T, Hkv, D] → [B, T, H·D]."""
    n_rows, n_tokens, n_heads, size = q.shape
    n_kv = k.shape[2]
    shared = n_heads // n_kv
    if n_tokens > SHORT or q.is_cuda:
        k, v = k.repeat_interleave(shared, 2), v.repeat_interleave(shared, 2)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    # the queries that share a key head stand in one product: [B·Hkv, shared, T, D]
    q = q.unflatten(2, (n_kv, shared)).permute(0, 2, 3, 1, 4).flatten(0, 1)
    k, v = (part.transpose(1, 2).flatten(0, 1) for part in (k, v))  # [B·Hkv, T, D]
    found: list[Tensor] = []
    for begin in range(0, n_tokens, BLOCK):
        end = min(n_tokens, begin + BLOCK)
        scores = torch.bmm(q[:, :, begin:end].flatten(1, 2), k[:, :end].transpose(1, 2))
        scores = scores.unflatten(1, (shared, end - begin)).float() * size**-0.5
        row, column = torch.arange(begin, end)[:, None], torch.arange(end)
        shares = scores.masked_fill(row < column, float("-inf")).softmax(-1).to(v.dtype)
        block = torch.bmm(shares.flatten(1, 2), v[:, :end])
        found.append(block.unflatten(1, (shared, end - begin)))
    joined = torch.cat(found, 2).unflatten(0, (n_rows, n_kv))  # [B, Hkv, shared, T, D]
    return joined.permute(0, 3, 1, 2, 4).flatten(2)


def _head(
    hidden: Tensor,
    embedding: Tensor,
    targets: Tensor,
    loss_weights: Tensor,
    teacher_hidden: tuple[Tensor, Tensor] | None,
    share: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The summed loss, and its gradients for the outputs and for the embedding, without keeping logits.

    `loss_weights` multiplies the gradients of each target.

    With `teacher_hidden`, a teacher's outputs and its embedding, the gradients are those of the cross entropy with
    `share` of
    what it expects and the rest of what the text says; the loss stays the text's.

    Shapes: hidden [N, width], embedding [V, width], targets and counts [N] → scalar, [N, width], [V, width].
    """
    logits = F.linear(hidden, embedding)
    is_wanted = (targets != IGNORED)[:, None]
    wanted = torch.where(is_wanted[:, 0], targets, 0)[:, None]
    most = logits.amax(-1, keepdim=True).float()
    grown = (logits.float() - most).exp()
    total = grown.sum(-1, keepdim=True)
    above = logits.gather(1, wanted).float() - most
    losses = (total.log() - above) * is_wanted
    beyond, of_target = grown / total, above.exp() / total - 1
    if teacher_hidden is not None:
        expected = F.linear(*teacher_hidden).float().softmax(-1)
        beyond = beyond - share * expected
        of_target = of_target + share - share * expected.gather(1, wanted)
    counted = loss_weights[:, None]
    back = (beyond * counted).to(hidden.dtype)
    # one number of each row, where comparing all of them with their target would cost as much as the rest
    back = back.scatter(1, wanted, (of_target * counted).to(hidden.dtype))
    return losses.sum(), back @ embedding, back.t() @ hidden
