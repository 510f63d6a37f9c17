"""From where the slices of a series lie to the regular grid that its volume is given on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from privrad.imaging.scan import SQUARE
from privrad.imaging.unreadable import Unreadable

PARALLEL = 1.75e-3
"""How much a cosine may differ between two slices that count as parallel: 0.1 degrees."""
NEAR, ROUNDING_MM, NEAREST = 0.1, 0.1, 0.25
"""How far from its place on the grid a slice may lie and still count as at it: a tenth of the spacing; or 0.1 mm, as
headers are rounded, though no more than a quarter of the spacing."""
WIDEST, WIDEST_MM = 3.0, 6.0
"""The widest gap that is bridged, in usual spacings and in millimetres: what is a centimetre across still shows."""
TILT = 30.0
"""The largest gantry tilt, in degrees, that scanners have."""
STRAIGHT, IN_LINE = 0.25, 0.5
"""Pixels that a stack may drift sideways and count as straight, and that a slice may lie off a tilted line."""
ROUNDED = 1e-3
"""The part of a pixel within which a shift counts as whole."""
SPACINGS = (0.01, 50.0)
"""Millimetres that pixels and slices can be apart."""
LARGEST = 4096 * 4096


@dataclass(frozen=True)
class Grid:
    """A regular grid of voxels, and where on it the slices lie.

    `shape` and `affine` are those of a Scan. `places` says for each slice, in order, at which plane it lies, in planes
    from the first; between two slices the planes are mixed from both. `shifts` says how many pixels along `axis` (0:
    rows, 1: columns) each slice lies from the grid's first row or column, 0 or more; None where the stack is straight.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    places: np.ndarray
    shifts: np.ndarray | None = None
    axis: int = 0


def axes(orientation: np.ndarray) -> np.ndarray:
    """The directions along the columns, along the rows, and of the normal, as the rows of a rotation [3, 3].

    `orientation` holds the six cosines of ImageOrientationPatient. Raises Unreadable where they are no two directions
    at right angles.
    """
    across, down = np.asarray(orientation, dtype=np.float64).reshape(2, 3)
    lengths = np.linalg.norm([across, down], axis=1)
    if not (np.abs(lengths - 1) <= 1e-2).all() or abs(across @ down) > SQUARE:
        remedy = f"ImageOrientationPatient is {_listed(orientation)}, not two cosines at right angles; export it again"
        raise Unreadable("impossible_geometry", remedy)
    across = across / lengths[0]
    normal = np.cross(across, down)
    normal /= np.linalg.norm(normal)
    return np.stack([across, np.cross(normal, across), normal])


def local(positions: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Positions [n, 3] in millimetres along the columns, along the rows and along the normal of the slices."""
    along: np.ndarray = positions @ axes(orientation).T
    return along


def lay(positions: np.ndarray, *, orientation: np.ndarray, spacing: tuple[float, ...], size: tuple[int, int]) -> Grid:
    """The grid of slices at `positions`, float64 [n, 3] of LPS millimetres, n at least 2, in order along the normal.

    `spacing` is from row to row and from column to column, `size` (rows, columns). Slices within a tenth of a spacing
    (or 0.1 mm) of an even row lie at it. Otherwise the planes are laid at the usual spacing and those without a slice
    of their own are mixed linearly from the two beside, where that is sound: no gap is under half, nor over three times
    the usual spacing; those over 1.5 times are at most one in twenty (one is always allowed) and at most 6 mm wide.
    A stack that leans along one axis by up to 30 degrees (a tilted gantry) is laid upright: each slice is shifted in
    its plane, and the grid grows to hold them all. Raises Unreadable for every other stack.
    """
    if not all(SPACINGS[0] <= length <= SPACINGS[1] for length in spacing):
        raise Unreadable("impossible_geometry", f"PixelSpacing is {_listed(spacing)} mm; {_allowed()}")
    along = local(positions, orientation)
    places, step = _places(along[:, 2])
    lean = _lean(along, spacing)
    frame = axes(orientation)
    affine = np.eye(4)
    affine[:3, :3] = frame.T * [spacing[1], spacing[0], step]
    affine[:3, 3] = positions[0]
    shape = (int(places[-1]) + 1, *size)
    if lean is None:
        return Grid(shape, affine, places)
    axis, shifts = lean
    first = np.floor(shifts.min() + ROUNDED)
    shifts = shifts - first
    affine[:3, 3] += first * affine[:3, 1 - axis]
    grown = [*size]
    grown[axis] += int(np.floor(shifts.max() + ROUNDED))
    if grown[0] * grown[1] > LARGEST:
        raise Unreadable("too_large", f"laid upright it has planes of {grown[0]} x {grown[1]}; over {LARGEST} pixels")
    return Grid((shape[0], grown[0], grown[1]), affine, places, shifts, axis)


def _places(along: np.ndarray) -> tuple[np.ndarray, float]:
    """Where the slices lie in planes from the first, and the millimetres from one plane to the next."""
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    if not SPACINGS[0] <= usual <= SPACINGS[1]:
        raise Unreadable("impossible_geometry", f"the slices are {usual:g} mm apart; {_allowed()}")
    _check_gaps(gaps, usual)
    step = float(along[-1] - along[0]) / np.rint(gaps / usual).clip(1).sum()
    places = (along - along[0]) / step
    near = np.abs(places - np.rint(places)) <= _near(step)
    places[near] = np.rint(places[near])
    if np.diff(places).min() <= 0:
        _refuse_uneven(gaps, usual)
    return places, step


def _check_gaps(gaps: np.ndarray, usual: float) -> None:
    even = float(gaps.mean())
    if np.abs(np.cumsum(gaps - even)).max() <= _near(even) * even:
        return
    wide = gaps[gaps > 1.5 * usual]
    said = f"{len(gaps) + 1} slices lie {usual:.3g} mm apart, but {len(wide)} gaps are wider, up to {gaps.max():.3g} mm"
    limit = min(WIDEST * usual, WIDEST_MM) * (1 + NEAR / 5)
    if len(wide) and (gaps.max() > limit or len(wide) > max(1, len(gaps) // 20)):
        bridged = f"up to {min(WIDEST * usual, WIDEST_MM):.3g} mm are bridged, and one gap in 20"
        raise Unreadable("missing_slices", f"{said} ({bridged}); restore the slices that are missing")
    if gaps.min() < 0.5 * usual:
        _refuse_uneven(gaps, usual)


def _near(step: float) -> float:
    return min(max(NEAR, ROUNDING_MM / step), NEAREST)


def _refuse_uneven(gaps: np.ndarray, usual: float) -> NoReturn:
    remedy = f"slices lie {gaps.min():.3g} to {gaps.max():.3g} mm apart, usually {usual:.3g}; export as one even series"
    raise Unreadable("uneven_spacing", remedy)


def _lean(along: np.ndarray, spacing: tuple[float, ...]) -> tuple[int, np.ndarray] | None:
    """The axis along which the stack leans (0: rows, 1: columns) and each slice's shift in pixels; None if straight."""
    drift = (along[:, 1::-1] - along[0, 1::-1]) / np.asarray(spacing)
    extent = np.ptp(drift, axis=0)
    if (extent <= STRAIGHT).all():
        return None
    height = along[:, 2] - along[0, 2]
    slopes = (height @ drift) / (height @ height)
    axis = int(np.argmax(extent))
    off = drift - np.outer(height, slopes)
    if np.abs(off).max() > IN_LINE:
        _refuse_lean(
            "shifted_slices", f"they lie up to {np.abs(off).max():.3g} pixels off the line that the others are on"
        )
    if extent[1 - axis] > IN_LINE:
        _refuse_lean("gantry_tilt", "they lean along the rows and along the columns, which no gantry does")
    angle = float(np.degrees(np.arctan(abs(slopes[axis]) * spacing[axis])))
    if angle > TILT:
        _refuse_lean("gantry_tilt", f"they lean by {angle:.3g} degrees; up to {TILT:g} are laid upright")
    return axis, drift[:, axis]


def _refuse_lean(reason: str, what: str) -> NoReturn:
    raise Unreadable(reason, f"the slices are not stacked along their normal: {what}; export an upright reconstruction")


def _allowed() -> str:
    return f"{SPACINGS[0]:g} to {SPACINGS[1]:g} are possible; export the series again"


def _listed(numbers: object) -> str:
    return np.array2string(np.asarray(numbers, dtype=np.float64), separator=", ", precision=6)
