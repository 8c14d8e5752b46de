"""The optimizer's steps against what they approximate."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from warmline_lab.train.optimizer import Optimizer


@pytest.mark.parametrize("size", [(48, 96), (96, 48), (64, 64)])
def test_a_matrix_moves_along_its_gradient_made_orthogonal(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    before, gradient = torch.randn(size), torch.randn(size)
    weight = nn.Parameter(before.clone())
    weight.grad = gradient.clone()
    Optimizer({"layers.0.w": weight}).step(0, 1.0, 0.1, 0.1)
    gain = max(1.0, size[0] / size[1]) ** 0.5
    moved = (before * (1 - 0.1 * 0.05) - weight.detach()) / (0.1 * gain)
    found = torch.linalg.svdvals(moved)
    # five rounds bring each singular value near 1, not to it: between 0.7 and 1.2 by the source
    assert found.min() > 0.6
    assert found.max() < 1.3
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    likeness = torch.cosine_similarity(moved.flatten(), (u @ v).flatten(), dim=0)
    assert likeness > 0.95


def test_norms_move_as_adamw_moves_them() -> None:
    torch.manual_seed(0)
    weight, twin = nn.Parameter(torch.ones(32)), nn.Parameter(torch.ones(32))
    ours = Optimizer({"norm": weight})
    theirs = torch.optim.AdamW([twin], lr=0.01, betas=(0.9, 0.95), weight_decay=0.0)
    for step in range(5):
        gradient = torch.randn(32)
        weight.grad, twin.grad = gradient.clone(), gradient.clone()
        ours.step(step, 1.0, 0.1, 0.01)
        theirs.step()
        torch.testing.assert_close(weight, twin)
