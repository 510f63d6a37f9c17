"""Clipped sums of per-unit gradients: the only way in which private images reach the weights."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn

from privrad.privacy import layers
from privrad.privacy.layers import Contribution
from privrad.privacy.plan import Precision
from privrad.privacy.suited import has_rule, refuse_unsuited

Loss = Callable[[Tensor, Tensor], Tensor]
LARGE_IMAGE = 256 * 256
"""From so many pixels on, convolutions and pooling are faster with the channels last."""
PRECISIONS: Mapping[Precision, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16}


class Gradients(ABC):
    """Sums of clipped per-unit gradients.

    A unit is `views` consecutive samples; the mean of their gradients is clipped, over all parameters as one vector,
    to `clip`: `clipping_norm` less the stated rounding bound `error_bound`. Adding or removing one unit thus changes a
    sum by at most `clipping_norm` in Euclidean norm. A unit whose gradient is not finite contributes zero.

    `loss(outputs, targets)` gives one loss per sample, [n]. The model is left as it was when the context ends.
    """

    def __init__(self, model: nn.Module, *, loss: Loss, clipping_norm: float, views: int = 1):
        if not (clipping_norm > 0 and math.isfinite(clipping_norm)):
            raise ValueError(f"clipping_norm {clipping_norm} must be above 0 and finite")
        if views < 1:
            raise ValueError(f"views {views} must be at least 1")
        refuse_unsuited(model)
        self.model, self.loss, self.views, self.clipping_norm = model, loss, views, clipping_norm
        self.parameters = [value for value in model.parameters() if value.requires_grad]
        self.error_bound = _error_bound(self.parameters)
        self.clip = clipping_norm / (1 + self.error_bound)
        self._sums: dict[nn.Parameter, Tensor] = {}

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *error: object) -> None: ...

    def add(self, inputs: Tensor, targets: Tensor, *, padding: int = 0) -> None:
        """Add the clipped gradients of some units; inputs are [(units + padding) · views, ...], floating point.

        The last `padding` units fill the batch up to a size and contribute zero.
        """
        units, rest = divmod(len(inputs), self.views)
        if rest or len(inputs) != len(targets) or not 0 <= padding <= units:
            raise ValueError(
                f"{len(inputs)} inputs, {len(targets)} targets, padding {padding}: give equally many inputs and "
                f"targets, a multiple of views {self.views}, and no more padding than units"
            )
        if units == padding:
            return
        self.model.train()
        with _without_tf32():
            self._add(inputs, targets, units, padding)

    def take(self) -> list[Tensor]:
        """The sum of clipped unit gradients since the last call, one tensor per trainable parameter in model order."""
        sums, self._sums = self._sums, {}
        return [sums[value] if value in sums else torch.zeros_like(value) for value in self.parameters]

    @abstractmethod
    def _add(self, inputs: Tensor, targets: Tensor, units: int, padding: int) -> None: ...

    def _losses(self, inputs: Tensor, targets: Tensor) -> Tensor:
        losses = self.loss(self.model(inputs).to(self.parameters[0].dtype), targets)
        if losses.shape != (len(inputs),):
            raise ValueError(f"loss of shape {tuple(losses.shape)} must be one number per sample, ({len(inputs)},)")
        return losses.sum()

    def _accumulate(self, contributions: Sequence[Contribution], units: int, padding: int) -> None:
        """Clip and sum what the layers found, each unit's gradient being the sum over its views."""
        squares = torch.stack([each.squares for each in contributions]).sum(0)
        norms = squares.sqrt() / self.views
        counted = norms.isfinite()
        counted[units - padding :] = False
        kept = None if bool(counted.all()) else counted.nonzero()[:, 0]
        factors = (self.clip / (norms if kept is None else norms[kept])).clamp(max=1.0) / self.views
        factors = factors.to(self.parameters[0].dtype)
        for each in contributions:
            value = each.weigh(factors, kept).reshape(each.parameter.shape)
            if each.parameter in self._sums:
                self._sums[each.parameter] += value
            else:
                self._sums[each.parameter] = value.contiguous()


class MixedGradients(Gradients):
    """Each layer's gradient norms by the cheapest exact method, in one backward pass (Bu et al. 2022, 2023).

    `methods` names the method of each convolution, as `methods` of an earlier object gave it: the same methods sum in
    the same order. One that it lacks is chosen at the first batch, by time or, where `timed` is false, by counting.
    `precision` is that of the forward and backward pass; norms and sums are float32 (float64 for a float64 model).
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        loss: Loss,
        clipping_norm: float,
        views: int = 1,
        precision: Precision = "float32",
        methods: Mapping[str, str] | None = None,
        timed: bool = False,
    ):
        super().__init__(model, loss=loss, clipping_norm=clipping_norm, views=views)
        self.methods: dict[str, str] = dict(methods or {})
        self._choose = layers.by_time if timed else layers.by_count
        self._dtype = PRECISIONS[precision]
        self._memory_format: torch.memory_format = torch.contiguous_format
        self._found: dict[str, list[Contribution]] = {}
        self._units = 0
        for name, layer in model.named_modules():
            if has_rule(layer) and list(layer.parameters(recurse=False)):
                layer.__dict__["forward"] = self._tapped(name, layer)

    def __exit__(self, *error: object) -> None:
        self._found = {}
        for layer in self.model.modules():
            layer.__dict__.pop("forward", None)
        self._lay_out(torch.contiguous_format)

    def _add(self, inputs: Tensor, targets: Tensor, units: int, padding: int) -> None:
        self._found, self._units = {}, units
        inputs = inputs if self._dtype is None else _rounded(inputs, self._dtype)
        if inputs.ndim == 4 and math.prod(inputs.shape[2:]) >= LARGE_IMAGE:
            self._lay_out(torch.channels_last)
        torch.autograd.backward(self._losses(inputs, targets))
        found = [each for contributions in self._found.values() for each in contributions]
        with torch.no_grad():
            self._accumulate(found, units, padding)
        self._found = {}

    def _lay_out(self, memory_format: torch.memory_format) -> None:
        """Order the weights in memory, and with them what the layers pass on; their values stay."""
        if memory_format != self._memory_format:
            self._memory_format = memory_format
            self.model.to(memory_format=memory_format)  # type: ignore[call-overload]

    def _tapped(self, name: str, layer: nn.Module) -> Callable[[Tensor], Tensor]:
        rule = layers.rule_of(layer, name=name, choose=self._chooser)

        @torch.no_grad()
        def take(saved: tuple[Tensor, ...], g: Tensor, *, to_input: bool) -> Tensor | None:
            if name in self._found:
                raise ValueError(f"layer {name} is used twice in one forward pass; give each use a layer of its own")
            at_input, self._found[name] = rule.backward(saved, g, self._units, to_input=to_input)
            return at_input

        anchor = max(layer.parameters(recurse=False), key=lambda value: value.requires_grad)
        return layers.tapped(rule, anchor, take)

    def _chooser(self, key: str) -> layers.Choice:
        def choose(*case: object) -> str:
            if key not in self.methods:
                self.methods[key] = self._choose(*case)  # type: ignore[arg-type]
            return self.methods[key]

        return choose


def _rounded(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """The inputs in another precision; channels that are one in memory stay one."""
    if inputs.ndim > 2 and inputs.stride(1) == 0:
        return inputs[:, :1].to(dtype).expand_as(inputs)
    return inputs.to(dtype)


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Products of float32 numbers in float32, also on a GPU."""
    cudnn, matmul = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = cudnn, matmul


def _error_bound(parameters: list[nn.Parameter]) -> float:
    """A bound on how far rounding takes a clipped gradient beyond its norm, relative to it (Higham 2002, section 3.1).

    Half the error of the longest inner sum of squares, doubled, and the roundings of factor and product.
    """
    longest = max(value[0].numel() if value.ndim > 1 else value.numel() for value in parameters)
    return (longest + 8) * torch.finfo(parameters[0].dtype).eps / 2
