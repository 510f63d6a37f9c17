"""The reference of every clipped sum: one sample after another, by ordinary autograd."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean squared error of each sample; every target stands for as many outputs as it must."""
    return (outputs.flatten(1) - targets[:, :1]).square().mean(1)


def flat(values: list[Tensor]) -> Tensor:
    """The tensors as one vector."""
    return torch.cat([value.flatten() for value in values])


def by_unit(model: nn.Module, x: Tensor, y: Tensor, *, views: int = 1, loss: Loss = squared) -> list[Tensor]:
    """Each unit's gradient at the trainable parameters, one vector a unit: the mean over its views."""
    trained = [value for value in model.parameters() if value.requires_grad]
    found = []
    for start in range(0, len(x), views):
        own = [loss(model(x[i : i + 1]), y[i : i + 1]).sum() for i in range(start, start + views)]
        found.append(flat(list(torch.autograd.grad(torch.stack(own).mean(), trained))))
    return found


def clipped(gradients: list[Tensor], *, clip: float, like: nn.Module) -> Tensor:
    """Their sum, each scaled to a norm of at most `clip`; one that is not finite counts for nothing."""
    total = torch.zeros_like(flat([value for value in like.parameters() if value.requires_grad]))
    for gradient in gradients:
        if gradient.isfinite().all():
            total += gradient * min(1.0, clip / max(float(gradient.norm()), 1e-300))
    return total


def by_loop(model: nn.Module, x: Tensor, y: Tensor, *, clip: float, views: int = 1, loss: Loss = squared) -> Tensor:
    """The clipped sum as one vector."""
    return clipped(by_unit(model, x, y, views=views, loss=loss), clip=clip, like=model)


def apart(found: Tensor, expected: Tensor) -> float:
    """The norm of their difference over the norm of what is expected."""
    return float((found.double() - expected.double()).norm() / expected.double().norm().clamp_min(1e-12))
