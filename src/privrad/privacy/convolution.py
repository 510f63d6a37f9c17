"""Exact ways to the gradient of each unit at a convolution's weight: the gradient itself, or its norm alone.

For one unit, with T output positions, the gradient at a weight of p·d numbers is G = g Aᵀ, where g [p, T] is the
gradient at the output and A [d, T] holds the input patch of each position. Direct methods give G. Ghost methods give
|G|² as the sum of AᵀA ∘ gᵀg over all pairs of positions (Goodfellow 2015; Bu et al. 2022, arXiv 2205.10683), and leave
the gradient of a weighted sum to one ordinary pass. A unit of several views has the positions of all of them.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

PATCH_BYTES = {"cpu": 1 << 25, "cuda": 1 << 29}
"""How much of the input's patches is laid out at once."""
LONE_VOLUME = 20480
"""PyTorch convolves a lone volume without oneDNN, many times slower, up to so many rows of voxels and channels."""


@dataclass(frozen=True)
class Convolution:
    """The shape of a convolution's weight [out, in / groups, *kernel] and how it moves."""

    shape: torch.Size
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def kernel(self) -> torch.Size:
        return self.shape[2:]

    @property
    def sides(self) -> list[int]:
        """The padding as torch.nn.functional.pad takes it."""
        return [side for pad in reversed(self.padding) for side in (pad, pad)]

    def offsets(self, axis: int, phase: int) -> tuple[int, int, int]:
        """How many kernel rows along `axis` read pixels of this phase, the first one's shift, and the step to the next.

        Shifts are in pixels of the phase: pixel i of phase f is pixel f + i · stride.
        """
        stride, dilation = self.stride[axis], self.dilation[axis]
        rows = [row for row in range(self.kernel[axis]) if row * dilation % stride == phase]
        return len(rows), rows[0] * dilation // stride if rows else 0, dilation // math.gcd(dilation, stride)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution of x [n, in, *space]."""
        place = (list(self.stride), list(self.padding), list(self.dilation), False, [0] * len(self.stride))
        out: Tensor = torch.ops.aten.convolution(x, weight, bias, *place, self.groups)
        return out

    def backward(
        self, x: Tensor, g: Tensor, weight: Tensor, mask: tuple[bool, bool, bool], groups: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """PyTorch's own gradients at input, weight and bias, as far as `mask` asks for them."""
        place = (list(self.stride), list(self.padding), list(self.dilation), False, [0] * len(self.stride))
        out: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
            g, x, weight, None, *place, groups or self.groups, list(mask)
        )
        return out

    def at_weight(self, x: Tensor, g: Tensor) -> Tensor:
        """The gradient at the weight, summed over the samples."""
        x, g = self._not_alone(x, g)
        return self.backward(x, g, _of_shape(x, self.shape), (False, True, False))[1]

    def _not_alone(self, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """A lone small volume as two, cut in halves along an axis along which the kernel does not extend."""
        if len(x) > 1 or x.ndim != 5 or x.is_cuda or math.prod(x.shape[:4]) > LONE_VOLUME:
            return x, g
        for axis in range(3):
            extends = (self.kernel[axis], self.stride[axis], self.padding[axis]) != (1, 1, 0)
            if not extends and x.shape[2 + axis] % 2 == 0:
                return torch.cat(x.chunk(2, 2 + axis)), torch.cat(g.chunk(2, 2 + axis))
        return x, g


def loop(conv: Convolution, x: Tensor, g: Tensor, units: int) -> Tensor:
    """G of each unit, [units, *shape]: one ordinary backward pass a unit."""
    out = x.new_empty((units, *conv.shape))
    for unit, (own, gradient) in enumerate(zip(x.chunk(units), g.chunk(units), strict=True)):
        out[unit] = conv.at_weight(own, gradient)
    return out


def grouped(conv: Convolution, x: Tensor, g: Tensor, units: int) -> Tensor:
    """G of each unit, [units, *shape]: one backward pass with a group of channels for each unit."""
    weight = _of_shape(x, (units * conv.shape[0], *conv.shape[1:]))
    x, g = _units_as_channels(x, units), _units_as_channels(g, units)
    found = conv.backward(x, g, weight, (False, True, False), groups=units * conv.groups)[1]
    return found.view(units, *conv.shape)


def grouped_by_16(conv: Convolution, x: Tensor, g: Tensor, units: int) -> Tensor:
    """As `grouped`, with 16 units in a pass."""
    out, views = x.new_empty((units, *conv.shape)), len(x) // units
    for start in range(0, units, 16):
        stop = min(start + 16, units)
        own = slice(start * views, stop * views)
        out[start:stop] = grouped(conv, x[own], g[own], stop - start)
    return out


def unfolded(conv: Convolution, x: Tensor, g: Tensor, units: int) -> Tensor:
    """G of each unit, [units, *shape]: patches laid out, then a product of matrices a unit."""
    out = x.new_empty((units, *conv.shape))
    for start, stop in _chunks(conv, x, g, units):
        views = len(x) // units
        patches, gradient = _matrices(
            conv, x[start * views : stop * views], g[start * views : stop * views], stop - start
        )
        out[start:stop] = torch.bmm(gradient, patches.transpose(1, 2)).view(stop - start, *conv.shape)
    return out


def ghost(conv: Convolution, x: Tensor, g: Tensor, units: int) -> tuple[Tensor, Tensor]:
    """|G|² of each unit and a bound on its error, [units] in float64: patches laid out and compared in pairs."""
    squares, errors = [], []
    for start, stop in _chunks(conv, x, g, units):
        views = len(x) // units
        patches, gradient = _matrices(
            conv, x[start * views : stop * views], g[start * views : stop * views], stop - start
        )
        pairs = torch.bmm(patches.transpose(1, 2), patches)
        square, error = contract(pairs, gradient, terms=patches.shape[1])
        squares.append(square.view(stop - start, -1).sum(1))
        errors.append(error.view(stop - start, -1).sum(1))
    return torch.cat(squares), torch.cat(errors)


def gram(conv: Convolution, x: Tensor, g: Tensor, units: int) -> tuple[Tensor, Tensor]:
    """As `ghost`, but pixels are compared in pairs once, and each offset of the kernel reads its pairs from there.

    With a stride, pixels of one phase meet only pixels of that phase.
    """
    views, space = len(x) // units, tuple(g.shape[2:])
    padded = functional.pad(x, conv.sides) if any(conv.padding) else x
    pairs: Tensor | None = None
    for phase in itertools.product(*(range(stride) for stride in conv.stride)):
        offsets = [conv.offsets(axis, phase[axis]) for axis in range(len(space))]
        if not all(count for count, _, _ in offsets):
            continue
        lattice = padded[(slice(None), slice(None), *map(slice, phase, itertools.repeat(None), conv.stride))]
        pixels = _split(lattice.flatten(2), units, conv.groups)
        among = torch.bmm(pixels.transpose(1, 2), pixels)
        among = _at_offsets(among, views, tuple(lattice.shape[2:]), space, offsets)
        pairs = among if pairs is None else pairs + among
    if pairs is None:
        raise ValueError(f"convolution {conv} reads no pixel; give it a kernel of at least 1")
    gradient = _split(g.flatten(2), units, conv.groups)
    terms = x.shape[1] // conv.groups + math.prod(conv.kernel)
    square, error = contract(pairs.view(len(pairs), gradient.shape[2], -1), gradient, terms=terms)
    return square.view(units, -1).sum(1), error.view(units, -1).sum(1)


Direct = Callable[[Convolution, Tensor, Tensor, int], Tensor]
Ghost = Callable[[Convolution, Tensor, Tensor, int], tuple[Tensor, Tensor]]
DIRECT: dict[str, Direct] = {"loop": loop, "grouped": grouped, "grouped_by_16": grouped_by_16, "unfolded": unfolded}
GHOST: dict[str, Ghost] = {"gram": gram, "ghost": ghost}


def methods(conv: Convolution, x: Tensor, g: Tensor, units: int) -> list[str]:
    """The methods that fit into memory, the one with the fewest multiply-adds first.

    A direct one keeps every unit's gradient, which may take up to twice the memory of the layer's input and
    output; so may a unit's patches, where they are laid out. The costs count what is done beyond the ordinary gradient,
    in its multiply-adds: for a direct method what its many small products lose, and the copies of volumes, as measured
    on a CPU. For one unit, to group is to loop.
    """
    positions = len(x) // units * math.prod(g.shape[2:])
    p, d = conv.shape[0], math.prod(conv.shape[1:])
    pixels = (
        len(x)
        // units
        * math.prod(
            math.ceil((size + 2 * pad) / stride)
            for size, pad, stride in zip(x.shape[2:], conv.padding, conv.stride, strict=True)
        )
    )
    phases = math.prod(min(stride, k) for stride, k in zip(conv.stride, conv.kernel, strict=True))
    contraction = positions**2 * (p + 2)
    copied = 20 * positions if len(conv.kernel) == 3 else 0
    cost = {
        "gram": phases * pixels**2 * x.shape[1] + contraction + 2 * math.prod(conv.kernel) * positions**2,
        "ghost": positions**2 * d * conv.groups + contraction + 8 * positions * d * conv.groups,
        "loop": 110 * p * d,
        "grouped": (350 if positions < 256 else 50) * p * d + copied * (x.shape[1] + p),
        "grouped_by_16": 60 * p * d + copied * (x.shape[1] + p),
        "unfolded": (40 if p * d < 1 << 14 else 100) * p * d + copied * d * conv.groups,
    }
    if units == 1:
        del cost["grouped"], cost["grouped_by_16"]
    most = 2 * (x.numel() + g.numel())
    patches = positions * d * conv.groups
    laid_out = patches if patches * x.element_size() > _patch_bytes(x) else 0
    kept = {
        "gram": 2 * units * (pixels**2 + positions**2),
        "ghost": max(2 * units * positions**2, laid_out),
        "unfolded": max(units * p * d, laid_out),
    }
    fitting = [name for name in cost if kept.get(name, units * p * d) <= most]
    return sorted(fitting, key=cost.__getitem__) or ["loop"]


def _of_shape(like: Tensor, shape: Sequence[int]) -> Tensor:
    """A tensor of which only the shape is read."""
    only_the_shape: Tensor = like.new_zeros(1).expand(*shape)
    return only_the_shape


def _units_as_channels(value: Tensor, units: int) -> Tensor:
    views = len(value) // units
    return value.reshape(units, views, *value.shape[1:]).transpose(0, 1).reshape(views, -1, *value.shape[2:])


def _split(value: Tensor, units: int, groups: int) -> Tensor:
    """From [units · views, groups · channels, positions] to [units · groups, channels, views · positions]."""
    if len(value) == units:
        return value if groups == 1 else value.reshape(units * groups, -1, value.shape[2])
    parts = value.reshape(units, len(value) // units, groups, -1, value.shape[2])
    return parts.permute(0, 2, 3, 1, 4).reshape(units * groups, parts.shape[3], -1)


def _at_offsets(
    among: Tensor, views: int, lattice: Sequence[int], space: Sequence[int], offsets: Sequence[tuple[int, int, int]]
) -> Tensor:
    """From pairs of pixels to pairs of positions: the sum over the kernel's offsets, which move both alike.

    [n, views, *lattice, views, *lattice] becomes [n, views, *space, views, *space].
    """
    size = [len(among), views, *lattice, views, *lattice]
    among = among.view(size)
    for axis, (count, first, step) in enumerate(offsets):
        one, other = 2 + axis, 3 + axis + len(space)
        size[one] = size[other] = space[axis]
        by = among.stride(one) + among.stride(other)
        windows = (
            among.as_strided(size, among.stride(), among.storage_offset() + by * (first + step * row))
            for row in range(count)
        )
        among = functools.reduce(torch.add, windows)
    return among


def _matrices(conv: Convolution, x: Tensor, g: Tensor, units: int) -> tuple[Tensor, Tensor]:
    """A [units · groups, d, positions] and g [units · groups, p / groups, positions]."""
    if not any(conv.padding) and math.prod(conv.kernel) == 1:
        laid_out = x[(slice(None), slice(None), *(slice(None, None, stride) for stride in conv.stride))].flatten(2)
    else:
        laid_out = _patches(conv, x, g)
    return _split(laid_out, units, conv.groups), _split(g.flatten(2), units, conv.groups)


def _patches(conv: Convolution, x: Tensor, g: Tensor) -> Tensor:
    """As torch.nn.functional.unfold, in any number of dimensions."""
    padded = functional.pad(x, conv.sides)
    sample, channel, *steps = padded.stride()
    size = (*padded.shape[:2], *conv.kernel, *g.shape[2:])
    by_kernel = [d * step for d, step in zip(conv.dilation, steps, strict=True)]
    by_position = [s * step for s, step in zip(conv.stride, steps, strict=True)]
    windows = padded.as_strided(size, (sample, channel, *by_kernel, *by_position))
    return windows.reshape(len(x), x.shape[1] * math.prod(conv.kernel), -1)


def _chunks(conv: Convolution, x: Tensor, g: Tensor, units: int) -> list[tuple[int, int]]:
    unit_bytes = len(x) // units * x.shape[1] * math.prod(conv.kernel) * math.prod(g.shape[2:]) * x.element_size()
    at_once = max(1, _patch_bytes(x) // unit_bytes)
    return [(start, min(start + at_once, units)) for start in range(0, units, at_once)]


def _patch_bytes(x: Tensor) -> int:
    return PATCH_BYTES.get(x.device.type, PATCH_BYTES["cpu"])


def contract(pairs: Tensor, gradient: Tensor, *, terms: int) -> tuple[Tensor, Tensor]:
    """The sum over pairs of positions of both tables' product, and the rounding error that it may carry.

    `terms` numbers were summed for an entry of `pairs`. With a_t and g_t the columns, an entry is off by at most
    e |a_t| |a_s|, and the sum of products by e (Σ |a_t| |g_t|)² (Higham 2002, section 3.1).
    """
    others = torch.bmm(gradient.transpose(1, 2), gradient)
    square = (pairs * others).flatten(1).sum(1, dtype=torch.float64)
    diagonals = pairs.diagonal(dim1=1, dim2=2) * others.diagonal(dim1=1, dim2=2)
    spread = diagonals.clamp_min(0).sqrt().sum(1, dtype=torch.float64).square()
    unit_roundoff = torch.finfo(pairs.dtype).eps / 2
    return square, (terms + gradient.shape[1] + 4) * unit_roundoff * spread
