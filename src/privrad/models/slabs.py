"""Large volumes a few planes at a time: memory for a slab in place of memory for the volume."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor

LARGE_VOLUME = 1 << 20
"""From so many voxels on, what a block computes on its way is computed again in the backward pass, not kept."""
PLANES = 16
"""How many planes make a slab: an even number, so that max-pooling by two never reads from two slabs."""

Layer = Callable[[Tensor], Tensor]


def is_large(shape: Sequence[int]) -> bool:
    """Whether a volume of this shape, three axes in any order, is large; images, of two, never are."""
    return len(shape) == 3 and math.prod(shape) >= LARGE_VOLUME


def by_slabs(layer: Layer, x: Tensor) -> Tensor:
    """`layer(x)` for volumes [n, channels, d, h, w], slab after slab; its input is all that is kept for the gradient.

    `layer` must have no parameters, must not work in place, and must give planes that depend on no plane but their own
    or, of each two from the first on, the pair.
    """
    return cast(Tensor, _BySlabs.apply(x, layer))  # type: ignore[no-untyped-call]


class _BySlabs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Layer) -> Tensor:
        ctx.save_for_backward(x)
        ctx.layer = layer
        out: Tensor | None = None
        done = 0
        for start, stop in _slabs(x):
            part = layer(x[:, :, start:stop])
            if out is None:
                planes = x.shape[2] * part.shape[2] // (stop - start)
                out = part.new_empty((*part.shape[:2], planes, *part.shape[3:]))
            out[:, :, done : done + part.shape[2]] = part
            done += part.shape[2]
        return cast(Tensor, out)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        found, done = torch.empty_like(x), 0
        for start, stop in _slabs(x):
            with torch.enable_grad():
                own = x[:, :, start:stop].detach().requires_grad_()
                part = ctx.layer(own)
            (found[:, :, start:stop],) = torch.autograd.grad(part, own, g[:, :, done : done + part.shape[2]])
            done += part.shape[2]
        return found, None


def _slabs(x: Tensor) -> Iterator[tuple[int, int]]:
    """The first plane of each slab and the one behind its last; a last plane by itself joins the slab before."""
    starts = list(range(0, max(1, x.shape[2] - 1), PLANES))
    yield from zip(starts, [*starts[1:], x.shape[2]], strict=True)
