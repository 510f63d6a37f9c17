"""CT scanners: slice thickness, noise, table, field of view, and the way each stores what it saw."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from privrad.cohorts.drawing_ct.space import Volume


@dataclass(frozen=True)
class Scanner:
    """A make of CT scanner and of the archive behind it; lengths in mm."""

    name: str
    share: float
    thickness: float  # of a slice at full size
    coarse: float  # of a slice at least, in columns
    noise: float  # HU at full size
    grain: float  # how far noise is smoothed
    curved_table: bool = False
    padding: int | None = None  # the stored value outside a round field of view; None: the field is a square
    names_padding: bool = False  # whether its files say which value that is
    signed: bool = True
    intercept: int = -1024
    implicit: bool = False  # value representations
    feet_first: bool = False
    downwards: bool = False  # slices from head to foot
    localizer: bool = False
    ras: bool = False  # whether its NIfTI files run to the right, the front and the head, as most do


SCANNERS = (
    Scanner("A", 0.36, 3.0, 0.95, 13, 0.9, curved_table=True, signed=False, downwards=True, localizer=True, ras=True),
    Scanner("B", 0.28, 2.5, 0.85, 16, 0.7, padding=-2000, names_padding=True, ras=True),
    Scanner("C", 0.22, 5.0, 1.30, 10, 1.3, curved_table=True, padding=-2048, intercept=0, implicit=True,
            feet_first=True, downwards=True, ras=True),
    Scanner("D", 0.14, 4.0, 1.10, 12, 0.8, padding=0, names_padding=True, signed=False, intercept=-8192,
            localizer=True),
)  # fmt: skip


@dataclass(frozen=True)
class Field:
    """What one scan covers: the size of a column or row, of a slice and from slice to slice, all in mm."""

    size: int
    slices: int
    pixel: float
    thickness: float
    centre: tuple[float, float, float]  # of the grid, in mm from the neck of the pancreas: x, y, z


def draw_scanner(rng: np.random.Generator) -> Scanner:
    """One of the scanners, by their shares."""
    return SCANNERS[int(rng.choice(len(SCANNERS), p=[scanner.share for scanner in SCANNERS]))]


def draw_field(
    rng: np.random.Generator, *, scanner: Scanner, size: int, width: float, middle: float, tall: float
) -> Field:
    """The field of a patient `width` mm wide whose middle lies at y = `middle`; `tall` is the scale of z."""
    across = 5 * round(width * rng.uniform(1.03, 1.12) / 5)
    pixel = across / size
    thickness = round(max(scanner.thickness, scanner.coarse * pixel), 2)
    top, bottom = tall * (118 + rng.normal(0, 5)), tall * (-104 + rng.normal(0, 5))
    off = rng.normal(0, 0.012 * across, 2)
    return Field(
        size=size,
        slices=max(8, round((top - bottom) / thickness)),
        pixel=pixel,
        thickness=thickness,
        centre=(float(off[0]), middle + float(off[1]), 0.5 * (top + bottom)),
    )


def expose(hu: Volume, *, scanner: Scanner, field: Field, level: float, rng: np.random.Generator) -> None:
    """Add a scanner's grain to a slab in place; `level` is about 1, more for a stout patient.

    Coarse voxels average noise away, though less than photon counts would have it, for they stand in for fine ones.
    """
    sigma = scanner.noise * level * (field.pixel / 0.75) ** -0.25
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    blur = scanner.grain / field.pixel
    if blur > 0.3:
        kernel = cv2.getGaussianKernel(2 * math.ceil(3 * blur) + 1, blur).astype(np.float32)
        sigma /= float((kernel**2).sum())
        for plane in noise:
            cv2.sepFilter2D(plane, -1, kernel, kernel, dst=plane)
    noise *= np.float32(sigma)
    hu += noise
