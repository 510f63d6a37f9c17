"""Clipped sums of per-unit gradients: the only way in which private images reach the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

RULES = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.GroupNorm, nn.LayerNorm)

Loss = Callable[[Tensor, Tensor], Tensor]


def refuse_unsuited(model: nn.Module) -> None:
    """Raise ValueError, naming the layer and the remedy, where per-sample gradients would not be what they seem.

    Refused are layers that mix samples (BatchNorm and its kin), buffers, parameters that two layers share,
    convolutions that pad with anything but zeros, and trainable parameters in a layer without a rule for its
    per-sample gradient.
    """
    owners: dict[int, str] = {}
    for name, layer in model.named_modules():
        label = f"layer {name or 'the model itself'} ({type(layer).__name__})"
        if isinstance(layer, _NormBase) and (
            isinstance(layer, nn.modules.batchnorm._BatchNorm) or layer.track_running_stats
        ):
            raise ValueError(f"{label} mixes the samples of a batch; replace it by torch.nn.GroupNorm")
        buffers = [key for key, _ in layer.named_buffers(recurse=False)]
        if buffers:
            raise ValueError(
                f"{label} holds buffer {buffers[0]!r}, which can carry samples; make it a constant or remove it"
            )
        trained = [(key, value) for key, value in layer.named_parameters(recurse=False) if value.requires_grad]
        if trained and type(layer) not in RULES:
            known = ", ".join(rule.__name__ for rule in RULES)
            raise ValueError(
                f"{label} has no rule for the per-sample gradient of {trained[0][0]!r}; build it from {known}"
            )
        if trained and getattr(layer, "padding_mode", "zeros") != "zeros":
            raise ValueError(f"{label} pads by {layer.padding_mode!r}, and its rule knows 'zeros' alone; take that")
        for key, value in trained:
            if id(value) in owners:
                raise ValueError(f"{label} shares parameter {key!r} with {owners[id(value)]}; give each its own")
            owners[id(value)] = label
    if not owners:
        raise ValueError("the model has no trainable parameter; let requires_grad be true where it shall learn")


class OpacusGradients:
    """Sums of clipped per-unit gradients by Opacus' layer rules, each sample's gradient kept until it is summed.

    A unit is `views` consecutive samples; the mean of their gradients is clipped, over all parameters as one vector,
    to `clipping_norm` less the stated rounding bound `error_bound`. Adding or removing one unit thus changes a sum by
    at most `clipping_norm` in Euclidean norm. A unit whose gradient is not finite contributes zero.

    `loss(outputs, targets)` gives one loss per sample, [n]. The model is left without hooks when the context ends.
    """

    def __init__(self, model: nn.Module, *, loss: Loss, clipping_norm: float, views: int = 1):
        if not (clipping_norm > 0 and math.isfinite(clipping_norm)):
            raise ValueError(f"clipping_norm {clipping_norm} must be above 0 and finite")
        if views < 1:
            raise ValueError(f"views {views} must be at least 1")
        refuse_unsuited(model)
        from opacus.grad_sample import GradSampleModule

        self.model, self.loss, self.views, self.clipping_norm = model, loss, views, clipping_norm
        self.parameters = [value for value in model.parameters() if value.requires_grad]
        self.error_bound = _error_bound(self.parameters)
        self.clip = clipping_norm / (1 + self.error_bound)
        self._sums = [torch.zeros_like(value) for value in self.parameters]
        self._rules = GradSampleModule.GRAD_SAMPLERS
        self._samples: dict[nn.Parameter, Tensor] = {}
        trained = (layer for layer in model.modules() if any(p.requires_grad for p in layer.parameters(recurse=False)))
        self._handles = [layer.register_forward_hook(self._watch) for layer in trained]

    def __enter__(self) -> OpacusGradients:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._samples.clear()
        for handle in self._handles:
            handle.remove()

    def add(self, inputs: Tensor, targets: Tensor) -> None:
        """Add the clipped gradients of some units to the sum; inputs are [units · views, ...], floating point."""
        if len(inputs) % self.views or len(inputs) != len(targets):
            raise ValueError(
                f"{len(inputs)} inputs, {len(targets)} targets: give equally many, a multiple of views {self.views}"
            )
        if not len(inputs):
            return
        self.model.train()
        self._samples.clear()
        inputs = inputs.detach().requires_grad_()
        losses = self.loss(self.model(inputs), targets)
        if losses.shape != (len(inputs),):
            raise ValueError(f"loss of shape {tuple(losses.shape)} must be one number per sample, ({len(inputs)},)")
        torch.autograd.grad(losses.sum(), inputs)
        with torch.no_grad():
            self._accumulate()
        self._samples.clear()

    def take(self) -> list[Tensor]:
        """The sum of clipped unit gradients since the last call, one tensor per trainable parameter in model order."""
        sums, self._sums = self._sums, [torch.zeros_like(value) for value in self.parameters]
        return sums

    def _watch(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Have the per-sample gradients of a layer taken as soon as the gradient at its output is known."""
        if output.requires_grad:
            seen = inputs[0].detach()
            output.register_hook(lambda gradient: self._record(layer, seen, gradient))

    @torch.no_grad()
    def _record(self, layer: nn.Module, seen: Tensor, gradient: Tensor) -> None:
        for parameter, samples in self._rules[type(layer)](layer, [seen], gradient).items():
            earlier = self._samples.get(parameter)
            self._samples[parameter] = samples if earlier is None else earlier + samples

    def _accumulate(self) -> None:
        used = [
            (total, value) for total, value in zip(self._sums, self.parameters, strict=True) if value in self._samples
        ]
        gradients = [self._of_units(value) for _, value in used]
        squares = torch.stack([_squares(gradient) for gradient in gradients]).sum(0)
        norms = squares.sqrt()
        kept = norms.isfinite()
        factors = (self.clip / norms[kept]).clamp(max=1.0)
        for (total, _), gradient in zip(used, gradients, strict=True):
            flat = gradient.flatten(1)
            total.view(-1).add_(factors.to(flat.dtype) @ (flat if len(factors) == len(flat) else flat[kept]))

    def _of_units(self, parameter: nn.Parameter) -> Tensor:
        samples = self._samples[parameter]
        return samples if self.views == 1 else samples.unflatten(0, (-1, self.views)).mean(1)


def _squares(gradient: Tensor) -> Tensor:
    """Squared norms over all but the first axis, [units] in float64: short inner sums, then one in float64."""
    rows = gradient.flatten(2) if gradient.ndim > 2 else gradient.unsqueeze(1)
    norms: Tensor = torch.linalg.vector_norm(rows, dim=2)
    return norms.to(torch.float64).square().sum(1)


def _error_bound(parameters: list[nn.Parameter]) -> float:
    """A bound on how far rounding takes a clipped gradient beyond its norm, relative to it (Higham 2002, section 3.1).

    Half the error of the longest inner sum of squares, doubled, and the roundings of factor and product.
    """
    longest = max(value[0].numel() if value.ndim > 1 else value.numel() for value in parameters)
    return (longest + 8) * torch.finfo(parameters[0].dtype).eps / 2
