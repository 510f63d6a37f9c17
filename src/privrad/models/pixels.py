"""From stored images to a network's input: the one place where intensities are normalised."""

from __future__ import annotations

import torch
from torch import Tensor


def normalise(images: Tensor) -> Tensor:
    """Give each image mean 0 and standard deviation 1 over its own pixels, in the channels that its network takes.

    `images` is uint8 or float. Radiographs [n, h, w] become float32 [n, 3, h, w], identical channels in a view without
    copies; volumes [n, d, h, w] become [n, 1, d, h, w]. A constant image becomes zeros. No statistic is taken over more
    than one image.
    """
    own = tuple(range(1, images.ndim))
    pixels = images.to(torch.float32)
    pixels = pixels - pixels.mean(own, keepdim=True)
    spread = pixels.square().mean(own, keepdim=True).sqrt().clamp_min(1e-3)
    channels = 3 if images.ndim == 3 else 1
    return (pixels / spread).unsqueeze(1).expand(-1, channels, *images.shape[1:])
