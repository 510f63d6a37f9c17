"""Volumes convolved by planes: two-dimensional kernels laid along the axial, coronal and sagittal planes (ACS)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from privrad.models.order import reordered

AXES = 3
FEW = 64
"""A CPU convolves volumes faster with the channels last in memory where it gives fewer channels than these."""


class PlaneConv3d(nn.Module):
    """A convolution of volumes [n, inputs, d, h, w] by the weight of a 2D one, [outputs, inputs, kernel, kernel].

    The output channels come in thirds, the first ones larger by one where three does not divide them: axial (the
    kernel lies along h and w), coronal (d and w), sagittal (d and h). There is no bias; the padding, kernel // 2 in
    the plane, keeps the three parts of one shape; the stride holds for all axes. `parts`, `weight`, `stride` and
    `padding` are all that an engine of per-sample gradients has to know of it. Raises ValueError for fewer than
    three outputs, no input, an even kernel and a stride below 1. Source: Yang et al. 2021 (arXiv 1911.10477).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1):
        super().__init__()
        if inputs < 1:
            raise ValueError(f"inputs {inputs} must be at least 1")
        if outputs < AXES:
            raise ValueError(f"outputs {outputs} must be at least {AXES}, one channel for each plane")
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel {kernel} must be odd, so that the three planes give one shape")
        if stride < 1:
            raise ValueError(f"stride {stride} must be at least 1")
        self.stride = stride
        self.padding = kernel // 2
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def parts(self) -> tuple[tuple[slice, int], ...]:
        """Each plane's output channels, and the axis (0 d, 1 h, 2 w) along which its kernels have length 1."""
        each, more = divmod(len(self.weight), AXES)
        ends = [each * (axis + 1) + min(axis + 1, more) for axis in range(AXES)]
        starts = [0, *ends]
        return tuple((slice(start, end), axis) for axis, (start, end) in enumerate(zip(starts, ends, strict=False)))

    def memory_format(self, x: Tensor) -> torch.memory_format:
        """How volumes are best ordered in memory while they are convolved; what comes and goes is contiguous."""
        few = x.device.type == "cpu" and len(self.weight) < FEW
        return torch.channels_last_3d if few else torch.contiguous_format

    def forward(self, x: Tensor) -> Tensor:
        order = self.memory_format(x)
        x = reordered(x, order)
        planes = [self._plane(x, channels, axis) for channels, axis in self.parts()]
        return torch.cat([reordered(plane, torch.contiguous_format) for plane in planes], dim=1)

    def _plane(self, x: Tensor, channels: slice, axis: int) -> Tensor:
        padding = [0 if along == axis else self.padding for along in range(AXES)]
        return functional.conv3d(x, self.weight[channels].unsqueeze(2 + axis), stride=self.stride, padding=padding)

    def extra_repr(self) -> str:
        outputs, inputs, kernel, _ = self.weight.shape
        return f"{inputs}, {outputs}, kernel={kernel}, stride={self.stride}, padding={self.padding}"
