"""Max-pooling with the channels last in memory, where a CPU compares many channels at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from privrad.models.order import channels_last, reordered

LARGE = 1 << 17
"""From so many pixels or voxels on, to reorder them takes longer than it saves."""


class MaxPool2d(nn.MaxPool2d):
    """The layer of torch, on a CPU several times faster; what it gives is ordered in memory as its input is."""

    def forward(self, x: Tensor) -> Tensor:
        return reordered(super().forward(_within(x)), _order(x))


class MaxPool3d(nn.MaxPool3d):
    """The layer of torch, on a CPU several times faster; what it gives is ordered in memory as its input is."""

    def forward(self, x: Tensor) -> Tensor:
        return reordered(super().forward(_within(x)), _order(x))


def _within(x: Tensor) -> Tensor:
    """In the order in which it is pooled."""
    fast = x.device.type == "cpu" and x.shape[2:].numel() < LARGE
    return reordered(x, channels_last(x)) if fast else x


def _order(x: Tensor) -> torch.memory_format:
    return torch.contiguous_format if x.is_contiguous() else channels_last(x)
