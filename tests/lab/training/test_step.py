"""A step in pieces gives the gradients of the plain decoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from warmline_lab.data.samples import IGNORED
from warmline_lab.train import decoder
from warmline_lab.train import step as steps
from warmline_lab.train.decoder import ModelShape, TrainableDecoder
from warmline_lab.train.step import Teacher, TrainStep

SHAPE = ModelShape(
    n_tokens=300,
    width=32,
    n_layers=2,
    n_heads=6,
    n_kv_heads=2,
    head_size=8,
    mlp_width=48,
    rope_theta=10000.0,
    max_context=1400,
)


def _batch(n_rows: int, n_tokens: int) -> tuple[Tensor, Tensor]:
    tokens = torch.randint(0, SHAPE.n_tokens, (n_rows, n_tokens))
    targets = tokens.roll(-1, 1)
    targets[0, : n_tokens // 3] = IGNORED
    targets[-1, -1] = IGNORED
    return tokens, targets


def _plain(
    model: TrainableDecoder, tokens: Tensor, targets: Tensor, positions: Tensor
) -> tuple[float, dict[str, Tensor]]:
    loss = model(tokens, targets, positions).sum() / (targets != IGNORED).sum()
    loss.backward()
    gradients: dict[str, Tensor] = {}
    for name, weight in model.weights.items():
        assert weight.grad is not None
        gradients[name], weight.grad = weight.grad, None
    return float(loss.detach()), gradients


@pytest.mark.parametrize(
    ("n_rows", "n_tokens"),
    [
        (3, 40),  # one block of queries
        (3, 300),  # several blocks, the last one short; several pieces
        (1, steps.SHORT + 8),  # longer than a piece, attention as PyTorch has it
    ],
)
def test_pieces_give_the_plain_gradients(
    n_rows: int, n_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # nothing is rounded to bf16 here: then both orders of the same mathematics must agree closely
    for module in (decoder, steps):
        monkeypatch.setattr(module, "working_type", lambda device: torch.float32)
    torch.manual_seed(1)
    model = TrainableDecoder(SHAPE)
    tokens, targets = _batch(n_rows, n_tokens)
    positions = torch.arange(n_tokens)
    positions[n_tokens // 2 :] += 150
    loss, expected = _plain(model, tokens, targets, positions)
    with TrainStep(model, 1, is_compiled=False, piece=512) as step:
        step.gradients(tokens, targets, positions=positions)
        # nothing of a step is left over in the next
        found = step.gradients(tokens, targets, positions=positions)
    assert found == pytest.approx(loss, rel=1e-5)
    for name, weight in model.weights.items():
        assert weight.grad is not None
        assert float(_distance(weight.grad, expected[name])) < 1e-4, name


@pytest.mark.parametrize("n_processes", [1, 2])
def test_what_counts_more_weighs_more(n_processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(6)
    model = TrainableDecoder(SHAPE)
    tokens, targets = _batch(3, 140)
    positions = torch.arange(140)
    counts = torch.randint(0, 5, tokens.shape).float()
    plain, _ = _plain(model, tokens, targets, positions)
    if n_processes == 1:  # a worker has the types that the module has; bf16 rounds there
        for module in (decoder, steps):
            monkeypatch.setattr(module, "working_type", lambda device: torch.float32)
    n_learnt = counts[targets != IGNORED].sum()
    weighed = (model(tokens, targets, positions) * counts).sum() / n_learnt
    expected = torch.autograd.grad(weighed, list(model.weights.values()))
    with TrainStep(model, n_processes, is_compiled=False, piece=256) as step:
        loss = step.gradients(tokens, targets, positions=positions, loss_weights=counts)
    assert loss == pytest.approx(plain, rel=5e-3), "the loss is the text's"
    most = 1e-4 if n_processes == 1 else 0.06
    for (name, weight), gradient in zip(model.weights.items(), expected, strict=True):
        assert weight.grad is not None
        assert float(_distance(weight.grad, gradient)) < most, name


def _plain_taught(
    model: TrainableDecoder, teacher: TrainableDecoder, tokens: Tensor, targets: Tensor, positions: Tensor, share: float
) -> dict[str, Tensor]:  # fmt: skip
    """Gradients of the mean cross entropy with a mixture of the text and the teacher, by torch alone."""

    def logprobs(one: TrainableDecoder) -> Tensor:
        embedding = one.weights["model.embed_tokens.weight"]
        return (one.hidden(tokens, positions).float() @ embedding.T).log_softmax(-1)

    expected = share * logprobs(teacher).exp().detach()
    is_wanted = targets != IGNORED
    text = torch.nn.functional.one_hot(targets.where(is_wanted, 0), SHAPE.n_tokens)
    expected = expected + (1 - share) * text
    loss = -(expected * logprobs(model)).sum(-1)[is_wanted].mean()
    gradients = torch.autograd.grad(loss, list(model.weights.values()))
    return dict(zip(model.weights, gradients, strict=True))


@pytest.mark.parametrize("n_processes", [1, 2])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_teacher_is_learnt_from(
    n_processes: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = replace(SHAPE, width=48, n_layers=3, rope_theta=500.0)
    torch.manual_seed(4)
    model, teacher = TrainableDecoder(SHAPE), TrainableDecoder(wide)
    tokens, targets = _batch(3, 140)
    positions = torch.arange(140)
    weights = {name: weight.detach() for name, weight in teacher.weights.items()}
    taught_by = Teacher("wide", wide, weights, share)
    plain, _ = _plain(model, tokens, targets, positions)
    if n_processes == 1:  # a worker has the types that the module has; bf16 rounds there
        for module in (decoder, steps):
            monkeypatch.setattr(module, "working_type", lambda device: torch.float32)
    expected = _plain_taught(model, teacher, tokens, targets, positions, share)
    with TrainStep(model, n_processes, is_compiled=False, piece=256, teacher=taught_by) as step:
        loss = step.gradients(tokens, targets, positions=positions)
    assert loss == pytest.approx(plain, rel=5e-3), "the loss is the text's"
    most = 1e-4 if n_processes == 1 else 0.06
    for name, weight in model.weights.items():
        assert weight.grad is not None
        assert float(_distance(weight.grad, expected[name])) < most, name


# torch's own, when its compiler is imported
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("n_processes", "is_compiled", "n_rows"),
    [
        (2, False, 5),  # rows that do not split evenly
        (2, False, 1),  # fewer rows than processes
        (1, True, 2),
    ],
)
def test_processes_and_compiling_change_no_more_than_bf16_does(
    n_processes: int, is_compiled: bool, n_rows: int
) -> None:
    torch.manual_seed(1)
    model = TrainableDecoder(SHAPE)
    tokens, targets = _batch(n_rows, 140)
    positions = torch.arange(140)
    positions[60:] += 150
    loss, expected = _plain(model, tokens, targets, positions)
    with TrainStep(model, n_processes, is_compiled, piece=512) as step:
        found = step.gradients(tokens, targets, positions=positions)
    assert found == pytest.approx(loss, rel=2e-3)
    for name, weight in model.weights.items():
        assert weight.grad is not None
        # bf16 rounds each product by 2⁻⁹, and a gradient of the first layer passes through some thirty
        assert float(_distance(weight.grad, expected[name])) < 0.06, name


def _distance(found: Tensor, expected: Tensor) -> Tensor:
    return (found - expected).norm() / expected.norm()


def test_rounding_is_passed_through_straight() -> None:
    torch.manual_seed(2)
    model = TrainableDecoder(SHAPE)
    rounded = TrainableDecoder(SHAPE)
    for name, weight in model.weights.items():
        value = weight.detach()
        rounded.weights[name].data.copy_(_to_eighths(value) if value.ndim == 2 else value)
    tokens, targets = _batch(2, 40)
    with TrainStep(model, 2, is_compiled=False) as step:
        loss = step.gradients(tokens, targets, _to_eighths)
    with TrainStep(rounded, 2, is_compiled=False) as step:
        assert step.gradients(tokens, targets) == pytest.approx(loss, rel=1e-5)
    for name, weight in model.weights.items():
        assert weight.grad is not None
        other = rounded.weights[name].grad
        assert other is not None
        assert torch.equal(weight.grad, other), name


def _to_eighths(weight: Tensor) -> Tensor:
    return (weight * 8).round() / 8
