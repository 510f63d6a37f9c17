"""Telling a CT scan in Hounsfield units from what only looks like one, by the values alone."""

from __future__ import annotations

import numpy as np

from privrad.imaging.unreadable import Unreadable

_LOOKED_AT = 64
_LIGHT, _LEAST_LIGHT = (-950, -50), 1e-3
_TISSUE, _LEAST_TISSUE = (-200, 300), 1e-2
_FLAT = 0.6


def counts(plane: np.ndarray) -> np.ndarray:
    """What one plane tells, to be added up over a scan, from 64 of its rows or a few more.

    Whole numbers: voxels; those of lung, fat or the edge of air (-950 to -50 HU); those of soft tissue (-200 to 300
    HU); those not 0; those that a label can have (0, 1, 2, ...); pairs of neighbours that are not 0, and of these the
    equal ones; the last four only of planes without lung, fat or edges. Neither air itself nor padding (-1000, -1024,
    -2000, -2048, -3024, 63536) counts as a tissue, since any volume can be padded with them.
    """
    rows = plane[:: max(1, len(plane) // _LOOKED_AT)]
    light, tissue = (np.count_nonzero(_within(rows, ends)) for ends in (_LIGHT, _TISSUE))
    if light:
        return np.array([rows.size, light, tissue, light, 0, 0, 0])
    marked = rows != 0
    pairs = marked[:, 1:] & marked[:, :-1]
    labels = (rows >= 0) & (rows == np.rint(rows) if rows.dtype.kind == "f" else True)
    equal = pairs & (rows[:, 1:] == rows[:, :-1])
    return np.array([rows.size, light, tissue, *map(np.count_nonzero, (marked, labels, pairs, equal))])


def _within(values: np.ndarray, ends: tuple[int, int]) -> np.ndarray:
    inside: np.ndarray = (values >= ends[0]) & (values <= ends[1])
    return inside


def check(found: np.ndarray) -> None:
    """Refuse a volume that is no CT scan in Hounsfield units, by the added `counts` of its planes.

    A scan of a body has lung, fat or the edge of air in at least 1 voxel of 1,000 and soft tissue in at least 1 of 100.
    Label maps, stored values without their rescale (air 0, water 1024), 8-bit copies, scans scaled to 0..1 or to unit
    variance, and MR fail the first, padded as CT is or not; a rescale applied twice (water -1024) fails the second, and
    a brain alone or a window that begins above fat (-50) the first too. A volume that fails the first is a label
    map when all values are whole, none is negative, and of neighbours that are not 0, six in ten or more are equal.
    Raises Unreadable: constant_image (0 everywhere), label_map or not_hounsfield.
    """
    voxels, light, tissue, marked, labels, pairs, equal = (int(number) for number in found)
    if light < _LEAST_LIGHT * voxels:
        if not marked:
            raise Unreadable("constant_image", "every voxel is 0; leave the scan out, or export it again")
        if labels == voxels and equal >= _FLAT * pairs:
            raise Unreadable("label_map", "its values are labels, not densities; name the CT scan that they belong to")
        lacking = f"{light / voxels:.2%} of its voxels are lung, fat or edges of air ({_LIGHT[0]} to {_LIGHT[1]})"
        raise Unreadable("not_hounsfield", f"{lacking}; export the scan in Hounsfield units")
    if tissue < _LEAST_TISSUE * voxels:
        lacking = f"{tissue / voxels:.2%} of its voxels are soft tissue ({_TISSUE[0]} to {_TISSUE[1]})"
        raise Unreadable("not_hounsfield", f"{lacking}; export the scan in Hounsfield units, rescaled once")
