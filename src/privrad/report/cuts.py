"""The middle slices of a CT scan, axial, coronal and sagittal, side by side in one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from privrad.imaging import ct, hounsfield
from privrad.imaging.scan import Scan

Cut = NDArray[Any]
Lengths = tuple[float, float, float]
GAP = 4


def of_scan(scan: Scan, *, window: tuple[float, float], beside: Sequence[int]) -> list[Cut]:
    """The three cuts of a scan as it came, at its own resolution: float32, the window spread over 0 to 255.

    They lie where the middle ones of its prepared volume of the shape `beside` (slices, rows, columns) do, and are
    turned as `middles` has them. The planes are read once, and no more than three cuts are held.
    """
    slices, rows, columns = (side // 2 for side in beside)
    onto = _onto_stored(scan, size=(beside[2], beside[1], beside[0]))
    column, row, plane = np.rint(onto @ (columns, rows, slices, 1))[:3].astype(int).tolist()
    kept: list[list[Cut]] = [[], [], []]
    for place, values in enumerate(scan.planes()):
        if place == plane:
            kept[0].append(_in_window(values, window))
        kept[1].append(_in_window(values[row : row + 1], window))
        kept[2].append(_in_window(values[:, column : column + 1], window))
    stored = [np.stack(planes) for planes in kept]
    runs = np.abs(onto[:3, :3]).argmax(axis=0)  # of columns, rows and slices: along which stored axis
    order = [int(2 - axis) for axis in runs[::-1]]
    turned = tuple(2 - world for world in range(3) if onto[runs[world], world] < 0)
    return _shown([np.flip(stored[axis].transpose(order), turned) for axis in order])


def middles(volume: NDArray[np.uint8]) -> list[Cut]:
    """The three middle cuts of a prepared volume [slices, rows, columns]: axial, coronal and sagittal, the head up."""
    slices, rows, columns = (side // 2 for side in volume.shape)
    cuts = (volume[slices : slices + 1], volume[:, rows : rows + 1], volume[:, :, columns : columns + 1])
    return _shown([cut.astype(np.float32) for cut in cuts])


def lengths(scan: Scan) -> Lengths:
    """Millimetres that a scan covers along the slices, rows and columns of its prepared volume."""
    columns, rows, slices = np.linalg.norm(ct.grid(scan, size=(1, 1, 1))[:3, :3], axis=0).tolist()
    return slices, rows, columns


def counts(scan: Scan) -> tuple[int, int, int]:
    """How many columns, rows and slices a scan has, turned as its prepared volume is."""
    columns, rows, slices = np.rint(np.abs(_onto_stored(scan, size=(1, 1, 1))[:3, :3]).max(axis=0)).astype(int).tolist()
    return columns, rows, slices


def montage(cuts: Sequence[Cut], *, lengths: Lengths, longest: int) -> NDArray[np.uint8]:
    """Cuts side by side on black, uint8, `longest` pixels wide; a millimetre is as long in each and along both axes.

    Two montages of the same lengths have their cuts in the same places, whatever the resolution of the cuts.
    """
    slices, rows, columns = lengths
    sides = ((rows, columns), (slices, columns), (slices, rows))
    scale = (longest - 2 * GAP) / sum(width for _, width in sides)
    sizes = [(max(1, round(height * scale)), max(1, round(width * scale))) for height, width in sides]
    tallest = max(height for height, _ in sizes)
    canvas = np.zeros((tallest, sum(width for _, width in sizes) + 2 * GAP), dtype=np.uint8)
    left = 0
    for cut, (height, width) in zip(cuts, sizes, strict=True):
        top = (tallest - height) // 2
        canvas[top : top + height, left : left + width] = np.round(_scaled(cut, height, width))
        left += width + GAP
    return canvas


def _scaled(cut: Cut, height: int, width: int) -> Cut:
    """Each axis by area average where it shrinks, else linearly, as in preparation."""
    smaller = (min(width, cut.shape[1]), min(height, cut.shape[0]))
    shrunk = cv2.resize(np.ascontiguousarray(cut), smaller, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR))


def _shown(cuts: Sequence[Cut]) -> list[Cut]:
    """Cuts [slices, rows, columns], each with one axis of length 1, as they are looked at."""
    axial, coronal, sagittal = cuts
    return [axial[0], coronal[::-1, 0], sagittal[::-1, :, 0]]


def _onto_stored(scan: Scan, *, size: ct.Size) -> NDArray[np.float64]:
    """From (column, row, slice, 1) of a prepared volume of this size to (column, row, plane, 1) as stored."""
    return np.linalg.solve(scan.affine, ct.grid(scan, size=size))


def _in_window(values: Cut, window: tuple[float, float]) -> Cut:
    low, high = window
    known = np.where(values > hounsfield.MOST, low, values)
    return ((np.clip(known, low, high) - low) * (255 / (high - low))).astype(np.float32)
