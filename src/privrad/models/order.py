"""The order of a tensor in memory, chosen layer by layer for speed: no number depends on it."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def reordered(x: Tensor, order: torch.memory_format) -> Tensor:
    """Images or volumes in another order in memory; their gradient comes in the order that `x` has."""
    if x.is_contiguous(memory_format=order):
        return x
    return cast(Tensor, _Reordered.apply(x, order))  # type: ignore[no-untyped-call]


def channels_last(x: Tensor) -> torch.memory_format:
    """The order of images [n, channels, h, w] or volumes [n, channels, d, h, w] with the channels last in memory."""
    return torch.channels_last if x.ndim == 4 else torch.channels_last_3d


class _Reordered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, order: torch.memory_format) -> Tensor:
        ctx.order = torch.contiguous_format if x.is_contiguous() else channels_last(x)
        return x.contiguous(memory_format=order)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return g.contiguous(memory_format=ctx.order), None
