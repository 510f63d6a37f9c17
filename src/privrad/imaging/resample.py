"""Resizing one axis exactly: by area average where it shrinks, linearly where it grows."""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse


def weights(length: int, wanted: int) -> sparse.csr_array:
    """The whole numbers [wanted, length] by which an axis is resized; each row adds up to `total(length, wanted)`.

    Both grids cover the same stretch, voxel edge to voxel edge. Where the axis shrinks, a new voxel is the average of
    the old ones by their overlap (OpenCV's INTER_AREA); where it grows, it is interpolated linearly between the two
    nearest centres and takes the last one beyond them (OpenCV's INTER_LINEAR). Sums of whole numbers with these weights
    are exact in float64, so that neither the order of the axes nor a flip can change a bit.
    """
    if length < 1 or wanted < 1:
        raise ValueError(f"an axis of {length} voxels cannot become one of {wanted}; both must be 1 or more")
    entries = _overlaps(length, wanted) if length >= wanted else _between(length, wanted)
    rows, columns, values = np.array(entries).T
    return sparse.csr_array((values.astype(np.float64), (rows, columns)), shape=(wanted, length))


def total(length: int, wanted: int) -> int:
    """What each row of `weights` adds up to."""
    return length // math.gcd(length, wanted) if length >= wanted else 2 * wanted


def _overlaps(length: int, wanted: int) -> list[tuple[int, int, int]]:
    """(new, old, overlap in units of 1/part of an old voxel), by the smallest numbers that are whole."""
    common = math.gcd(length, wanted)
    whole, part = length // common, wanted // common
    found = []
    for new in range(wanted):
        start, end = new * whole, (new + 1) * whole
        for old in range(start // part, -(-end // part)):
            found.append((new, old, min(end, (old + 1) * part) - max(start, old * part)))
    return found


def _between(length: int, wanted: int) -> list[tuple[int, int, int]]:
    """(new, old, nearness in units of 1/(2 wanted) of the distance of two old centres)."""
    found = []
    for new in range(wanted):
        old, part = divmod((2 * new + 1) * length - wanted, 2 * wanted)
        found.append((new, max(old, 0), 2 * wanted - part))
        found.append((new, min(old + 1, length - 1), part))
    return found
