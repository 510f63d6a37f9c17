"""Which networks can be trained privately: every trainable parameter has one rule, and no layer mixes samples."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
RULES = (*CONVOLUTIONS, nn.Linear, nn.GroupNorm, nn.LayerNorm)


@runtime_checkable
class ByPlanes(Protocol):
    """A layer that applies slices of one 2D weight [out, in, k, k] along the planes of a volume.

    `parts()` gives the slices of output channels in order, each with the axis, 0 to 2, that its kernels do not extend
    along; `stride` holds along all axes, `padding` within the plane. `memory_format(x)` is the order in memory in which
    x is convolved fastest; what the layer gives is contiguous.
    """

    weight: nn.Parameter
    stride: int
    padding: int

    def parts(self) -> tuple[tuple[slice, int], ...]: ...

    def memory_format(self, x: Tensor) -> torch.memory_format: ...


def has_rule(layer: nn.Module) -> bool:
    """Whether the engine knows the per-sample gradient of the layer's own parameters."""
    return type(layer) in RULES or isinstance(layer, ByPlanes)


def refuse_unsuited(model: nn.Module) -> None:
    """Raise ValueError, naming the layer and the remedy, where per-sample gradients would not be what they seem.

    Refused are layers that mix samples (BatchNorm and its kin), buffers, parameters that two layers share,
    convolutions that pad with anything but zeros, trainable parameters in a layer without a rule for its per-sample
    gradient, and compiled models, whose backward pass cannot be watched layer by layer.
    """
    owners: dict[int, str] = {}
    for name, layer in model.named_modules():
        label = f"layer {name or 'the model itself'} ({type(layer).__name__})"
        if hasattr(layer, "_orig_mod") or layer._compiled_call_impl is not None:
            raise ValueError(
                f"{label} is compiled, which fuses the layers whose gradients are to be clipped; give the one without "
                "compile(), which torch.compile keeps as its _orig_mod"
            )
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
        if trained and not has_rule(layer):
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
