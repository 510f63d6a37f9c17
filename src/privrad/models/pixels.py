"""From stored radiographs to a network's input: the one place where intensities are normalised."""

from __future__ import annotations

import torch
from torch import Tensor


def normalise(images: Tensor, *, channels: int = 3) -> Tensor:
    """Give each image mean 0 and standard deviation 1 over its own pixels, in identical channels.

    `images` is [n, h, w], uint8 or float; the result is float32 [n, channels, h, w], a view without copies of the
    channel. A constant image becomes zeros. No statistic is taken over more than one image.
    """
    pixels = images.to(torch.float32)
    pixels = pixels - pixels.mean((1, 2), keepdim=True)
    spread = pixels.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-3)
    return (pixels / spread).unsqueeze(1).expand(-1, channels, -1, -1)
