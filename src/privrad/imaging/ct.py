"""Preparation of a CT scan for a network: pure array functions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from scipy import sparse

from privrad.imaging import plausible
from privrad.imaging.hounsfield import MOST
from privrad.imaging.resample import total, weights
from privrad.imaging.scan import Scan
from privrad.imaging.unreadable import Unreadable

Size: TypeAlias = tuple[int, int, int]
"""Columns, rows and slices of a prepared volume."""
Window: TypeAlias = tuple[float, float]
"""The lowest and the highest Hounsfield unit that are told apart."""

FEWEST, LARGEST_SIZE = 8, 1024

_LARGEST_PLANE, _LARGEST_AXIS, _MOST_VOXELS = 2**24, 2**14, 2**32
_APART = 8  # numbers between rows of sums: rows a power of two apart fall into one place of the cache when transposed
_SMALLEST_EXTENT, _LARGEST_EXTENT, _WIDEST_VOXEL = 10.0, 3000.0, 30.0


def prepare(scan: Scan, *, size: Size, window: Window) -> np.ndarray:
    """Prepare a scan for a network: uint8 [slices, rows, columns], running to the Superior, Posterior and Left.

    The law: clip to the window, resize each axis by area average where it shrinks and else linearly, map the window
    to 0..255 and round to the nearest. Clipping comes first, so that padding counts as air and neither it nor metal,
    however far outside the window, darkens or brightens the tissue beside it; values above 32767 are padding too. Of
    the 48 ways to order and flip the axes the one closest to the patient's is taken; a tilt that is left, up to 45
    degrees, is kept. Raises Unreadable for a scan of fewer than 8 voxels or 1 cm along an axis, of absurd spacing, not
    in Hounsfield units, with values that are not finite, or the same everywhere in the window; ValueError for a size
    or window out of bounds.
    """
    check_wanted(size, window)
    _check_grid(scan)
    found: list[np.ndarray] = []
    prepared = _resized(scan, _looked_at(scan, found), size=size, window=window)
    plausible.check(np.sum(found, axis=0))
    if np.ptp(prepared) == 0:
        remedy = f"every voxel shows {prepared.flat[0]} of 255 in the window {window}; leave the scan out"
        raise Unreadable("constant_image", remedy)
    return prepared


def resample(scan: Scan, *, size: Size, window: Window) -> np.ndarray:
    """As `prepare`, of any scan whose values are finite, whatever it covers or shows."""
    check_wanted(size, window)
    return _resized(scan, scan.planes(), size=size, window=window)


def grid(scan: Scan, *, size: Size) -> np.ndarray:
    """The affine of the prepared volume, float64 [4, 4]: (column, row, slice, 1) to millimetres L, P, S."""
    onto = np.zeros((4, 4))
    onto[3, 3] = 1
    for world, (stored, flipped) in enumerate(_axes(scan.affine)):
        length = scan.shape[2 - stored]
        step = length / size[world]
        first = (step - 1) / 2
        onto[stored, world] = -step if flipped else step
        onto[stored, 3] = length - 1 - first if flipped else first
    return scan.affine @ onto


def _axes(affine: np.ndarray) -> list[tuple[int, bool]]:
    """For L, P and S in turn: which stored axis (0 column, 1 row, 2 plane) runs along it, and whether backwards."""
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    closest = max(itertools.permutations(range(3)), key=lambda order: np.abs(cosines[range(3), order]).sum())
    return [(stored, bool(cosines[world, stored] < 0)) for world, stored in enumerate(closest)]


def _resized(scan: Scan, planes: Iterator[np.ndarray], *, size: Size, window: Window) -> np.ndarray:
    """Resize plane by plane as they come; of the third axis only the sums not yet complete are held."""
    prepared = np.empty(size[::-1], dtype=np.uint8)
    stored = _as_stored(prepared, scan.affine)
    lengths = list(zip(scan.shape, stored.shape, strict=True))
    along, rows, columns = (weights(*pair) for pair in lengths)
    units = (window[1] - window[0]) * math.prod(total(*pair) for pair in lengths)
    by_type = {np.dtype(dtype): rows.astype(dtype) for dtype in (np.float32, np.float64)}
    clipped = (_in_window(plane, window, parts=total(*lengths[1])) for plane in planes)
    for new, plane in _summed((by_type[values.dtype] @ values for values in clipped), along):
        stored[new] = np.rint((columns @ plane.T).T * 255 / units)
    return prepared


def _in_window(plane: np.ndarray, window: Window, *, parts: int) -> np.ndarray:
    """Hounsfield units above the window's lower end, its width at most; padding counts as air.

    Float32 where the values are whole and so is every sum of `parts` of them, else float64.
    """
    low, high = window
    values: np.ndarray
    if plane.dtype == np.int16 and low == int(low) and high == int(high) and (high - low) * parts < 2**24:
        values = np.clip(plane, int(low), int(high)).astype(np.float32)
    else:
        values = _as_floats(plane, padding=low)
        np.clip(values, low, high, out=values)
    values -= values.dtype.type(low)
    return values


def _as_floats(plane: np.ndarray, *, padding: float) -> np.ndarray:
    if plane.dtype.kind == "f" and not np.isfinite(plane).all():
        raise Unreadable(
            "non_finite_image", "some voxels are not finite numbers; write air (-1024) where nothing was scanned"
        )
    values = plane.astype(np.float64)
    values[values > MOST] = padding
    return values


def _summed(planes: Iterator[np.ndarray], along: sparse.csr_array) -> Iterator[tuple[int, np.ndarray]]:
    """The weighted sums of planes that `along` [new, old] asks for, float64, each with its number when complete."""
    last = along.indices[along.indptr[1:] - 1]
    parts = along.tocsc()
    sums: dict[int, np.ndarray] = {}
    for number, plane in zip(range(along.shape[1]), planes, strict=True):
        span = slice(*parts.indptr[number : number + 2])
        for new, weight in zip(parts.indices[span].tolist(), parts.data[span].tolist(), strict=True):
            if new not in sums:
                sums[new] = np.zeros((len(plane), plane.shape[1] + _APART))[:, :-_APART]
            sums[new] += np.float64(weight) * plane
            if number == last[new]:
                yield new, sums.pop(new)


def _as_stored(prepared: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """A view of the prepared volume whose axes run as those of the stored one: planes, rows, columns."""
    order, steps = [0, 0, 0], [1, 1, 1]
    for world, (stored, flipped) in enumerate(_axes(affine)):
        order[2 - stored] = 2 - world
        steps[2 - stored] = -1 if flipped else 1
    return prepared.transpose(order)[tuple(slice(None, None, step) for step in steps)]


def _looked_at(scan: Scan, found: list[np.ndarray]) -> Iterator[np.ndarray]:
    """The planes, each counted into `found` as it passes."""
    for plane in scan.planes():
        found.append(plausible.counts(plane))
        yield plane


def check_wanted(size: Size, window: Window) -> None:
    """Raise ValueError for a size or window out of bounds."""
    if len(size) != 3 or not all(1 <= length <= LARGEST_SIZE for length in size):
        raise ValueError(f"size is {tuple(size)}; give columns, rows and slices of 1 to {LARGEST_SIZE} voxels each")
    if not -MOST <= window[0] < window[1] <= MOST:
        allowed = f"give two Hounsfield units from -{MOST} to {MOST}, the lower one first"
        raise ValueError(f"window is {tuple(window)}; {allowed}")


def _check_grid(scan: Scan) -> None:
    """Refuse, before a voxel is read, a scan that cannot show a body."""
    planes, rows, columns = scan.shape
    fits = rows * columns <= _LARGEST_PLANE and max(scan.shape) <= _LARGEST_AXIS
    if not fits or math.prod(scan.shape) > _MOST_VOXELS:
        held = f"{planes} planes of {rows} x {columns} voxels"
        raise Unreadable("too_large", f"{held}; export planes of at most 4096 x 4096, and {_MOST_VOXELS} voxels in all")
    for name, (stored, _) in zip(("columns", "rows", "slices"), _axes(scan.affine), strict=True):
        length, spacing = scan.shape[2 - stored], scan.spacing[2 - stored]
        if length < FEWEST:
            reason = "too_few_slices" if name == "slices" else "too_few_voxels"
            raise Unreadable(reason, f"{length} {name}; a scan needs {FEWEST} or more: name the whole series")
        if spacing > _WIDEST_VOXEL or not _SMALLEST_EXTENT <= length * spacing <= _LARGEST_EXTENT:
            covers = f"{length} {name} of {spacing:g} mm cover {length * spacing:g} mm"
            raise Unreadable(
                "absurd_spacing",
                f"{covers}; a scan covers {_SMALLEST_EXTENT:g} to {_LARGEST_EXTENT:g} mm in voxels of at most "
                f"{_WIDEST_VOXEL:g} mm: correct the spacing, or name the whole series",
            )
