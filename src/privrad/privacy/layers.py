"""One rule a layer: its ordinary forward and backward pass, and what each unit's gradient at its parameters amounts to.

A rule takes the place of a layer's `forward`. Its backward pass gives the gradient at the input, and, instead of the
gradient at the parameters, contributions: squared norms at once, sums weighted by clipping factors later. Whatever the
precision of the pass, they are made in float32 (float64 for a float64 model).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from privrad.privacy import convolution
from privrad.privacy.convolution import DIRECT, GHOST, Convolution
from privrad.privacy.suited import CONVOLUTIONS, ByPlanes

Choice = Callable[[Convolution, Tensor, Tensor, int], str]
Weigh = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class Contribution:
    """The units' gradients at one parameter, each the sum over the unit's views.

    `squares` are their squared norms, [units] in float64, rounded up. `weigh(factors, kept)` is their sum with these
    factors, [len(kept)] where only the units `kept` count, and one factor for each unit where it is None.
    """

    parameter: nn.Parameter
    squares: Tensor
    weigh: Weigh


class Rule(Protocol):
    """A layer's passes: what `forward` saves is given back to `backward`, with the gradient at the output."""

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]: ...

    def backward(
        self, saved: tuple[Tensor, ...], g: Tensor, units: int, *, to_input: bool
    ) -> tuple[Tensor | None, list[Contribution]]: ...


class _Tapped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, rule: Rule, take: Callable[..., Tensor | None]) -> Tensor:
        out, saved = rule.forward(x)
        ctx.save_for_backward(*saved)
        ctx.take = take
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, None, None, None]:
        return ctx.take(ctx.saved_tensors, g, to_input=ctx.needs_input_grad[0]), None, None, None


def tapped(rule: Rule, anchor: nn.Parameter, take: Callable[..., Tensor | None]) -> Callable[[Tensor], Tensor]:
    """A forward function by `rule`; the backward pass calls `take(saved, g, to_input=)` for the input's gradient."""

    def forward(x: Tensor) -> Tensor:
        return cast(Tensor, _Tapped.apply(x, anchor, rule, take))  # type: ignore[no-untyped-call]

    return forward


def rule_of(layer: nn.Module, *, name: str, choose: Callable[[str], Choice]) -> Rule:
    """The rule of a layer; `choose(key)` picks the method of each of its convolutions."""
    if isinstance(layer, CONVOLUTIONS):
        part = _Part(_geometry(layer), slice(None), None, choose(name))
        weight, bias = cast(nn.Parameter, layer.weight), cast(nn.Parameter | None, layer.bias)
        return _Convolutions(weight, bias, (part,), _beforehand(layer), None)
    if isinstance(layer, ByPlanes):
        return _Convolutions(layer.weight, None, _planes(layer, name=name, choose=choose), (), layer.memory_format)
    if isinstance(layer, nn.Linear):
        return _Linear(cast(nn.Parameter, layer.weight), cast(nn.Parameter | None, layer.bias))
    if isinstance(layer, nn.GroupNorm):
        return _GroupNorm(layer)
    return _LayerNorm(cast(nn.LayerNorm, layer))


def by_count(conv: Convolution, x: Tensor, g: Tensor, units: int) -> str:
    """The method with the fewest multiply-adds: the same on every machine."""
    return convolution.methods(conv, x, g, units)[0]


def by_time(conv: Convolution, x: Tensor, g: Tensor, units: int) -> str:
    """The method that takes the least time here and now, norms and weighted sum together."""
    factors = torch.ones(units, dtype=x.dtype, device=x.device)

    def taken(method: str) -> float:
        _synchronise(x)
        start = time.perf_counter()
        _measured(conv, method, x, g, units)[1](factors, None)
        _synchronise(x)
        return time.perf_counter() - start

    fitting = convolution.methods(conv, x, g, units)
    if len(fitting) == 1:
        return fitting[0]
    first = {method: taken(method) for method in fitting}
    close = [method for method in first if first[method] < 4 * min(first.values())]
    return min(close, key=lambda method: min(taken(method) for _ in range(5)))


@dataclass(frozen=True)
class _Part:
    """A convolution of some output channels; `axis` is the one of three along which a plane's kernels do not extend."""

    conv: Convolution
    rows: slice
    axis: int | None
    choose: Choice

    def weight(self, whole: Tensor) -> Tensor:
        own = whole[self.rows]
        return own if self.axis is None else own.unsqueeze(2 + self.axis)


@dataclass(frozen=True)
class _Convolutions:
    weight: nn.Parameter
    bias: nn.Parameter | None
    parts: tuple[_Part, ...]
    beforehand: tuple[int, ...]
    memory_format: Callable[[Tensor], torch.memory_format] | None

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        if any(self.beforehand):
            x = functional.pad(x, self.beforehand)
        x = self._within(x)
        weight = self.weight.to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if self._identical_channels(x):
            x, weight = _first_channel(x, like=weight), _first_channel(weight.sum(1, keepdim=True), like=weight)
        done = [self._outside(part.conv.forward(x, part.weight(weight), bias)) for part in self.parts]
        return done[0] if len(done) == 1 else torch.cat(done, 1), (x,)

    def backward(
        self, saved: tuple[Tensor, ...], g: Tensor, units: int, *, to_input: bool
    ) -> tuple[Tensor | None, list[Contribution]]:
        (x,) = saved
        at_input = self._at_input(x, g) if to_input else None
        found = []
        if self.weight.requires_grad:
            found = [self._at_weight(_wide(x), g, units)]
        if self.bias is not None and self.bias.requires_grad:
            g = _wide(g)
            found.append(one_by_one(self.bias, _over_views(g.flatten(2).sum(2), units)))
        return at_input, found

    def _within(self, value: Tensor) -> Tensor:
        """In the order in memory in which the layer convolves."""
        return value if self.memory_format is None else value.contiguous(memory_format=self.memory_format(value))

    def _outside(self, value: Tensor) -> Tensor:
        """In the order in memory of what the layer gives."""
        return value if self.memory_format is None else value.contiguous()

    def _identical_channels(self, x: Tensor) -> bool:
        return x.shape[1] > 1 and x.stride(1) == 0 and len(self.parts) == 1 and self.parts[0].conv.groups == 1

    def _at_input(self, x: Tensor, g: Tensor) -> Tensor:
        """The gradient at the input; identical channels are one channel here, and autograd sums over them."""
        weight, total = self.weight.to(g.dtype), None
        if self._one_stands_for_all(x, self.parts[0].conv):
            x = x.expand(-1, weight.shape[1], *x.shape[2:])
        for part in self.parts:
            own = part.conv.backward(x, self._within(g[:, part.rows]), part.weight(weight), (True, False, False))[0]
            total = own if total is None else total.add_(own)
        own = self._outside(cast(Tensor, total))
        if any(self.beforehand):
            own = functional.pad(own, [-side for side in self.beforehand])
        return own

    def _at_weight(self, x: Tensor, g: Tensor, units: int) -> Contribution:
        found = [self._of_part(part, x, _wide(self._within(g[:, part.rows])), units) for part in self.parts]
        squares, weighs = zip(*found, strict=True)

        def weigh(factors: Tensor, kept: Tensor | None) -> Tensor:
            sums = [each(factors, kept).view(part.conv.shape) for each, part in zip(weighs, self.parts, strict=True)]
            return torch.cat([value.flatten(1) for value in sums])

        return Contribution(self.weight, torch.stack(squares).sum(0), weighs[0] if len(weighs) == 1 else weigh)

    def _of_part(self, part: _Part, x: Tensor, g: Tensor, units: int) -> tuple[Tensor, Weigh]:
        conv, alike = part.conv, 1
        if self._one_stands_for_all(x, conv):
            conv, alike = replace(conv, shape=torch.Size((conv.shape[0], 1, *conv.kernel))), conv.shape[1]
        squares, weigh = _measured(conv, part.choose(conv, x, g, units), x, g, units)
        if alike == 1:
            return squares, weigh

        def for_all(factors: Tensor, kept: Tensor | None) -> Tensor:
            return weigh(factors, kept).view(conv.shape).expand(-1, alike, *conv.kernel)

        return alike * squares, for_all

    @staticmethod
    def _one_stands_for_all(x: Tensor, conv: Convolution) -> bool:
        return conv.groups == 1 and x.shape[1] == 1 < conv.shape[1]


@dataclass(frozen=True)
class _Linear:
    weight: nn.Parameter
    bias: nn.Parameter | None

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return functional.linear(x, self.weight.to(x.dtype), bias), (x,)

    def backward(
        self, saved: tuple[Tensor, ...], g: Tensor, units: int, *, to_input: bool
    ) -> tuple[Tensor | None, list[Contribution]]:
        (x,) = saved
        at_input = g @ self.weight.to(g.dtype) if to_input else None
        x, g = (_wide(value).reshape(units, -1, value.shape[-1]) for value in (x, g))
        found = []
        if self.weight.requires_grad:
            found.append(self._at_weight(x, g))
        if self.bias is not None and self.bias.requires_grad:
            found.append(one_by_one(self.bias, g.sum(1)))
        return at_input, found

    def _at_weight(self, x: Tensor, g: Tensor) -> Contribution:
        if x.shape[1] ** 2 > self.weight.numel():
            return one_by_one(self.weight, torch.bmm(g.transpose(1, 2), x))
        square, error = convolution.contract(torch.bmm(x, x.transpose(1, 2)), g.transpose(1, 2), terms=x.shape[2])

        def weigh(factors: Tensor, kept: Tensor | None) -> Tensor:
            own, gradient = (x, g) if kept is None else (x[kept], g[kept])
            scaled = gradient * factors[:, None, None]
            return scaled.flatten(0, 1).T @ own.flatten(0, 1)

        return Contribution(self.weight, square.clamp_min(0) + error, weigh)


@dataclass(frozen=True)
class _GroupNorm:
    """B samples of C channels are normalised as one sample of B·C, so that its affine gradients are the samples'."""

    layer: nn.GroupNorm

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        x, layer = _in_order(x), self.layer
        kept = x if _mixed(x) else _wide(x)
        out, mean, deviation = torch.ops.aten.native_group_norm(
            kept, layer.weight, layer.bias, *self._sizes(kept), layer.eps
        )
        return out.to(x.dtype), (x, mean, deviation)

    def _sizes(self, x: Tensor) -> tuple[int, int, int, int]:
        return len(x), x.shape[1], math.prod(x.shape[2:]), self.layer.num_groups

    def backward(
        self, saved: tuple[Tensor, ...], g: Tensor, units: int, *, to_input: bool
    ) -> tuple[Tensor | None, list[Contribution]]:
        x, mean, deviation = saved
        wide, gradient = (x, g) if _mixed(x) else (_wide(x), _wide(g))
        if not wide.is_contiguous():
            gradient = gradient.contiguous(memory_format=torch.channels_last)
            own = range(len(x))
            parts = [self._passed(wide[i : i + 1], gradient[i : i + 1], mean[i], deviation[i], to_input) for i in own]
            at_input, *affine = (torch.cat(values) for values in zip(*parts, strict=True))
        else:
            at_input, *affine = self._passed(wide, gradient.contiguous(), mean, deviation, to_input)
        found = [
            one_by_one(parameter, _over_views(value.view(-1, x.shape[1]), units))
            for parameter, value in zip((self.layer.weight, self.layer.bias), affine, strict=True)
            if parameter.requires_grad
        ]
        return at_input.view_as(x).to(g.dtype) if to_input else None, found

    def _passed(self, x: Tensor, g: Tensor, mean: Tensor, deviation: Tensor, to_input: bool) -> tuple[Tensor, ...]:
        """The gradient at the input, [1, samples · channels, *space], and at scale and shift, [samples · channels]."""
        samples, channels, pixels, groups = self._sizes(x)
        if samples > 1:  # one sample stays as it is: reshaping gives its first axis a stride that hides channels_last
            x, g = (value.reshape(1, samples * channels, *x.shape[2:]) for value in (x, g))
        moments = mean.reshape(1, -1), deviation.reshape(1, -1)
        found: tuple[Tensor, ...] = torch.ops.aten.native_group_norm_backward(
            g,
            x,
            *moments,
            self.layer.weight.repeat(samples),
            *(1, samples * channels, pixels, samples * groups),
            [to_input, True, True],
        )
        return found


@dataclass(frozen=True)
class _LayerNorm:
    layer: nn.LayerNorm

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        layer = self.layer
        shape = list(layer.normalized_shape)
        out, mean, deviation = torch.ops.aten.native_layer_norm(_wide(x), shape, layer.weight, layer.bias, layer.eps)
        return out.to(x.dtype), (x, mean, deviation)

    def backward(
        self, saved: tuple[Tensor, ...], g: Tensor, units: int, *, to_input: bool
    ) -> tuple[Tensor | None, list[Contribution]]:
        layer, (x, mean, deviation) = self.layer, saved
        shape, wide, gradient = list(layer.normalized_shape), _wide(x), _wide(g)
        at_input = None
        if to_input:
            at_input = torch.ops.aten.native_layer_norm_backward(
                gradient, wide, shape, mean, deviation, layer.weight, layer.bias, [True, False, False]
            )[0].to(g.dtype)
        at_scale = gradient * (wide - mean) * deviation
        found = [
            one_by_one(parameter, value.reshape(units, -1, *shape).sum(1))
            for parameter, value in ((layer.weight, at_scale), (layer.bias, gradient))
            if parameter is not None and parameter.requires_grad
        ]
        return at_input, found


def _measured(conv: Convolution, method: str, x: Tensor, g: Tensor, units: int) -> tuple[Tensor, Weigh]:
    if method in DIRECT:
        whole = one_by_one(None, DIRECT[method](conv, x, g, units))
        return whole.squares, whole.weigh
    square, error = GHOST[method](conv, x, g, units)
    views = len(x) // units

    def weigh(factors: Tensor, kept: Tensor | None) -> Tensor:
        own, gradient = x, g
        if kept is not None:
            own, gradient = (value.unflatten(0, (units, views))[kept].flatten(0, 1) for value in (x, g))
        if not len(own):
            return x.new_zeros(conv.shape)
        by_sample = factors.repeat_interleave(views) if views > 1 else factors
        return conv.at_weight(own, gradient * by_sample.view(-1, *[1] * (g.ndim - 1)))

    return square.clamp_min(0) + error, weigh


def one_by_one(parameter: nn.Parameter | None, gradients: Tensor) -> Contribution:
    """The contribution of gradients [units, ...] that are there one by one."""
    if gradients.ndim == 2:
        squares = torch.linalg.vector_norm(gradients, dim=1, dtype=torch.float64).square()
    else:
        rows = torch.linalg.vector_norm(gradients.flatten(2), dim=2)
        squares = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64).square()

    def weigh(factors: Tensor, kept: Tensor | None) -> Tensor:
        flat = gradients.flatten(1)
        return factors @ (flat if kept is None else flat[kept])

    return Contribution(cast(nn.Parameter, parameter), squares, weigh)


def _first_channel(value: Tensor, *, like: Tensor) -> Tensor:
    """The first channel of `value` in the memory format of `like`, which one channel tells by its strides alone."""
    first = value[:, :1]
    if like.ndim != 4 or like.is_contiguous():
        return first
    rows, columns = first.shape[2:]
    return first.contiguous().as_strided(first.shape, (rows * columns, 1, columns, 1))


def _in_order(value: Tensor) -> Tensor:
    """The value as GroupNorm's passes read it: contiguous, or for images with the channels last where it is so."""
    if value.ndim == 4:
        _, channels, rows, columns = value.shape
        if value.stride() == (channels * rows * columns, 1, channels * columns, channels):
            return value
    return value.contiguous()


def _mixed(x: Tensor) -> bool:
    """Whether GroupNorm's kernels take it as it is: a CPU's read bfloat16 and compute in float32, channels first."""
    return x.device.type == "cpu" and x.is_contiguous()


def _over_views(value: Tensor, units: int) -> Tensor:
    """From [samples, ...] to [units, ...]: the sum over each unit's views."""
    return value if len(value) == units else value.unflatten(0, (units, -1)).sum(1)


def _wide(value: Tensor) -> Tensor:
    return value if value.dtype in (torch.float32, torch.float64) else value.to(torch.float32)


def _synchronise(value: Tensor) -> None:
    if value.is_cuda:
        torch.cuda.synchronize(value.device)


def _geometry(layer: nn.Module) -> Convolution:
    conv: Any = layer
    padding = (0,) * len(conv.kernel_size) if isinstance(conv.padding, str) else conv.padding
    return Convolution(conv.weight.shape, conv.stride, padding, conv.dilation, conv.groups)


def _beforehand(layer: nn.Module) -> tuple[int, ...]:
    """What to pad before the convolution, for padding="same", as torch.nn.functional.pad takes it."""
    conv: Any = layer
    return tuple(conv._reversed_padding_repeated_twice) if conv.padding == "same" else ()


def _planes(layer: ByPlanes, *, name: str, choose: Callable[[str], Choice]) -> tuple[_Part, ...]:
    parts = []
    for rows, axis in layer.parts():
        shape = layer.weight[rows].unsqueeze(2 + axis).shape
        padding = tuple(0 if other == axis else layer.padding for other in range(3))
        conv = Convolution(shape, (layer.stride,) * 3, padding, (1, 1, 1), 1)
        parts.append(_Part(conv, rows, axis, choose(f"{name}.{axis}")))
    return tuple(parts)
