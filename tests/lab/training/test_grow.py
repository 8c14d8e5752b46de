"""A grown model says what the small one says, and its copies do not stay copies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from warmline_lab.train import decoder
from warmline_lab.train.decoder import ModelShape, TrainableDecoder
from warmline_lab.train.net2net import grown

SMALL = ModelShape(
    n_tokens=60,
    width=12,
    n_layers=2,
    n_heads=4,
    n_kv_heads=2,
    head_size=6,
    mlp_width=20,
    rope_theta=10000.0,
    max_context=64,
)


def _pair(
    new: ModelShape, monkeypatch: pytest.MonkeyPatch
) -> tuple[TrainableDecoder, TrainableDecoder]:
    monkeypatch.setattr(decoder, "working_type", lambda device: torch.float32)
    torch.manual_seed(4)
    small, large = TrainableDecoder(SMALL), TrainableDecoder(new)
    for weight in small.weights.values():
        weight.data.add_(torch.randn_like(weight) * 0.2)
    weights = {name: weight.detach() for name, weight in small.weights.items()}
    for name, weight in grown(weights, SMALL, new).items():
        large.weights[name].data.copy_(weight)
    return small, large


@pytest.mark.parametrize(
    "sizes",
    [
        {"width": 24},
        {"head_size": 12},
        {"mlp_width": 60},
        {"width": 36, "head_size": 12, "mlp_width": 40},
    ],
)
def test_a_grown_model_computes_the_same(
    sizes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = _pair(replace(SMALL, **sizes), monkeypatch)
    tokens, targets = torch.randint(0, 60, (2, 40)), torch.randint(0, 60, (2, 40))
    positions = torch.arange(40) + 11  # the rotation must be the same, too
    ours, theirs = large(tokens, targets, positions), small(tokens, targets, positions)
    assert float((ours - theirs).abs().max().detach()) < 1e-4
    assert float(theirs.std().detach()) > 0.5  # not deaf


def test_copies_learn_different_things(monkeypatch: pytest.MonkeyPatch) -> None:
    _, large = _pair(replace(SMALL, width=24, head_size=12, mlp_width=40), monkeypatch)
    tokens = torch.randint(0, 60, (2, 40))
    large(tokens, tokens.roll(-1, 1)).mean().backward()
    for name, weight in large.weights.items():
        gradient = weight.grad
        assert gradient is not None
        if name.endswith(("gate_proj.weight", "embed_tokens.weight")):
            one, other = gradient.chunk(2, 0 if "gate" in name else 1)
            assert float((one - other).norm() / one.norm()) > 0.01, name
        if name.endswith("k_proj.weight"):  # the new frequencies are learnt from the first step on
            by_head = gradient.view(SMALL.n_kv_heads, 2, 6, -1)
            assert bool((by_head[:, :, 1::2].norm(dim=-1) > 0).all()), name


def test_what_cannot_grow_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples"):
        grown({}, SMALL, replace(SMALL, width=18))
    with pytest.raises(ValueError, match="only width"):
        grown({}, SMALL, replace(SMALL, n_layers=3))
