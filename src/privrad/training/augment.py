"""Random views of training radiographs: mirrored, with left and right labels swapped, and rotated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from privrad.config import Augmentation, mirrored


def partners(findings: Sequence[str]) -> list[int]:
    """For each finding the place of its mirror image: the same finding on the other side, or itself.

    Raises ValueError for a finding of one side without its other side.
    """
    places = {finding: place for place, finding in enumerate(findings)}
    others = [mirrored(finding) for finding in findings]
    for finding, other in zip(findings, others, strict=True):
        if other not in places:
            raise ValueError(
                f"finding {finding} has no {other} to swap with in a mirrored image; add it or set flip: 0"
            )
    return [places[other] for other in others]


@dataclass(frozen=True)
class Views:
    """Which images of a batch are mirrored, and by how many degrees each is turned anticlockwise."""

    mirrored: npt.NDArray[np.bool_]
    degrees: npt.NDArray[np.float32]

    def part(self, start: int, stop: int) -> Views:
        """The views of images start to stop of the batch."""
        return Views(self.mirrored[start:stop], self.degrees[start:stop])


def draw(count: int, *, augmentation: Augmentation, generator: np.random.Generator) -> Views:
    """Views of `count` images: mirrored with the given share, angles uniform within ± rotation_degrees."""
    mirrored = generator.random(count) < augmentation.flip
    degrees = generator.uniform(-augmentation.rotation_degrees, augmentation.rotation_degrees, count)
    return Views(mirrored, degrees.astype(np.float32))


def apply(images: Tensor, labels: Tensor, *, views: Views, partners: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mirror, then rotate about the centre by bilinear interpolation; what lies outside is black.

    `images` is [n, h, w], uint8 or float, `labels` [n, findings]; gives float32 images and labels of the same shapes. A
    mirrored heart or letter marker stays mirrored.
    """
    mirrored = torch.from_numpy(views.mirrored).to(images.device)
    pixels = torch.where(mirrored[:, None, None], images.flip(2), images).to(torch.float32)
    labels = torch.where(mirrored[:, None], labels[:, list(partners)], labels)
    if views.degrees.any():
        grid = _grid(torch.from_numpy(views.degrees).to(images.device), pixels.shape[1], pixels.shape[2])
        pixels = functional.grid_sample(pixels[:, None], grid, padding_mode="zeros", align_corners=False)[:, 0]
    return pixels, labels


def _grid(degrees: Tensor, height: int, width: int) -> Tensor:
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = torch.stack([cos, -sin * height / width, zero, sin * width / height, cos, zero], 1)
    return functional.affine_grid(rows.view(-1, 2, 3), [len(degrees), 1, height, width], align_corners=False)
