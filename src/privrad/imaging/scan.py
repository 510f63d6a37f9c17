"""What a reader of CT hands on: where the voxels lie, and the planes one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

SQUARE = 1e-3


@dataclass(frozen=True)
class Scan:
    """A CT scan that is read plane by plane, in Hounsfield units.

    `shape` counts planes, rows and columns as stored. `affine`, float64 [4, 4], takes (column, row, plane, 1) to
    millimetres to the patient's Left, Posterior and Superior; its three axes stand at right angles, to a cosine of
    0.001. `planes` gives each plane in turn, real [rows, columns] in Hounsfield units, and may be called repeatedly;
    a fault met while they are read is Unreadable. Raises ValueError for another shape or affine.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    planes: Callable[[], Iterator[np.ndarray]]

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"shape is {self.shape}; it must be (planes, rows, columns), each 1 or more")
        if not is_orthogonal(self.affine):
            rows = np.array2string(np.asarray(self.affine), separator=", ")
            raise ValueError(f"affine is {rows}; it must be 4 x 4, finite, and its three axes at right angles")

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres from one plane, row and column to the next."""
        column, row, plane = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return plane, row, column


def is_orthogonal(affine: np.ndarray) -> bool:
    """Whether the affine is 4 x 4, finite, and takes the three axes to lengths above 0 at right angles."""
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or affine[3].tolist() != [0, 0, 0, 1]:
        return False
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not (lengths > 0).all() or not np.isfinite(lengths).all():
        return False
    axes = affine[:3, :3] / lengths
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() <= SQUARE)
