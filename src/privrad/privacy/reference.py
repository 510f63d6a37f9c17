"""Opacus' layer rules as the reference: each sample's gradient kept until it is summed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from privrad.privacy.gradients import Gradients, Loss
from privrad.privacy.layers import one_by_one
from privrad.privacy.suited import RULES


class OpacusGradients(Gradients):
    """Sums of clipped per-unit gradients by Opacus' GradSampleModule.GRAD_SAMPLERS.

    Raises ValueError for a layer that Opacus has no rule for.
    """

    def __init__(self, model: nn.Module, *, loss: Loss, clipping_norm: float, views: int = 1):
        super().__init__(model, loss=loss, clipping_norm=clipping_norm, views=views)
        from opacus.grad_sample import GradSampleModule

        trained = {
            name: layer
            for name, layer in model.named_modules()
            if any(value.requires_grad for value in layer.parameters(recurse=False))
        }
        for name, layer in trained.items():
            if type(layer) not in RULES:
                raise ValueError(f"layer {name} ({type(layer).__name__}): Opacus has no rule; take clipping: mixed")
        self._rules = GradSampleModule.GRAD_SAMPLERS
        self._samples: dict[nn.Parameter, Tensor] = {}
        self._handles = [layer.register_forward_hook(self._watch) for layer in trained.values()]

    def __exit__(self, *error: object) -> None:
        self._samples.clear()
        for handle in self._handles:
            handle.remove()

    def _add(self, inputs: Tensor, targets: Tensor, units: int, padding: int) -> None:
        self._samples.clear()
        inputs = inputs.detach().requires_grad_()
        torch.autograd.grad(self._losses(inputs, targets), inputs)
        with torch.no_grad():
            found = [
                one_by_one(parameter, samples.unflatten(0, (units, self.views)).sum(1))
                for parameter, samples in self._samples.items()
            ]
            self._accumulate(found, units, padding)
        self._samples.clear()

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
