"""Muon for the layers' matrices, AdamW for the embedding and the norms.

Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
"""

# pyright: reportPrivateImportUsage=false
# operations on lists have no other name; PyTorch's own optimizers are made of them

from __future__ import annotations

import torch
from torch import Tensor, nn

from .decoder import working_type

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Optimizer:
    """One step at a time, state in named tensors that a checkpoint can hold."""

    def __init__(self, weights: dict[str, nn.Parameter]) -> None:
        self._matrices: dict[tuple[int, ...], list[str]] = {}
        self._others: list[str] = []
        for name, weight in weights.items():
            if weight.ndim == 2 and "layers" in name:
                self._matrices.setdefault(tuple(weight.shape), []).append(name)
            else:
                self._others.append(name)
        self._weights = weights
        self.state: dict[str, Tensor] = {}
        for name, weight in weights.items():
            self.state[f"momentum/{name}"] = torch.zeros_like(weight)
            if name in self._others:
                self.state[f"square/{name}"] = torch.zeros_like(weight)

    @torch.no_grad()
    def step(self, step: int, scale: float, matrix_rate: float, other_rate: float) -> None:
        """Applies the gradients and clears them; `scale` is the schedule's factor, 1 at its height."""
        for names in self._matrices.values():
            self._muon(names, scale * matrix_rate)
        for name in self._others:
            self._adam(name, step, scale * other_rate)

    def _muon(self, names: list[str], rate: float) -> None:
        weights: list[Tensor] = [self._weights[name] for name in names]
        momenta = [self.state[f"momentum/{name}"] for name in names]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        assert len(gradients) == len(names), names
        # lists at once: a GPU does each of these operations faster than it is asked for
        torch._foreach_lerp_(momenta, gradients, 0.05)
        updates = torch._foreach_lerp(gradients, momenta, 0.95)
        n_rows, n_columns = updates[0].shape
        turned = _orthogonal(torch.stack(updates)).unbind(0)
        gain = max(1.0, n_rows / n_columns) ** 0.5
        torch._foreach_mul_(weights, 1 - rate * 0.05)
        torch._foreach_add_(weights, turned, alpha=-rate * gain)
        for weight in weights:
            weight.grad = None

    def _adam(self, name: str, step: int, rate: float) -> None:
        weight = self._weights[name]
        gradient, mean, square = (
            weight.grad,
            self.state[f"momentum/{name}"],
            self.state[f"square/{name}"],
        )
        assert gradient is not None, name
        mean.lerp_(gradient, 0.1)
        square.lerp_(gradient.square(), 0.05)
        corrected = mean / (1 - 0.9 ** (step + 1))
        spread = (square / (1 - 0.95 ** (step + 1))).sqrt_().add_(1e-8)
        weight.addcdiv_(corrected, spread, value=-rate)
        weight.grad = None


def _orthogonal(matrices: Tensor) -> Tensor:
    """Nearly the closest orthogonal matrices, in the working type, which is near enough.

    Shapes: [n, rows, columns] → the same.
    """
    a, b, c = _NEWTON_SCHULZ
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if is_tall else matrices
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(working_type(x.device))
    for _ in range(5):
        gram = x @ x.transpose(1, 2)
        mixed = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, mixed, x, beta=a)
    x = x.to(matrices.dtype)
    return x.transpose(1, 2) if is_tall else x
