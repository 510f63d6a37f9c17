"""The grid that slices are laid on, from their positions alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike

from privrad.imaging.geometry import Grid, axes, lay
from privrad.imaging.scan import Scan, is_orthogonal
from privrad.imaging.unreadable import Unreadable
from tests.imaging.made_ct import AXIAL, CORONAL, ORIGIN, SAGITTAL

PIXEL, SIZE = (0.8, 0.7), (24, 20)


def along(heights: ArrayLike, *, sideways: ArrayLike = 0.0, orientation: tuple[float, ...] = AXIAL) -> np.ndarray:
    """Positions at heights along the normal, drifted along the rows, in millimetres."""
    frame = axes(np.array(orientation))
    up = np.asarray(heights, dtype=np.float64)
    drift = np.zeros(up.shape) + np.asarray(sideways)
    positions: np.ndarray = np.array(ORIGIN) + np.outer(up, frame[2]) + np.outer(drift, frame[1])
    return positions


def laid(positions: np.ndarray, orientation: tuple[float, ...] = AXIAL) -> Grid:
    return lay(positions, orientation=np.array(orientation), spacing=PIXEL, size=SIZE)


def refusal(positions: np.ndarray) -> tuple[str, str]:
    with pytest.raises(Unreadable) as caught:
        laid(positions)
    return caught.value.reason, caught.value.remedy


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, (0.8, 0.6, 0.0, -0.6, 0.8, 0.0)])
def test_the_affine_takes_a_voxel_to_where_its_slice_lies(orientation: tuple[float, ...]) -> None:
    positions = along(np.arange(6) * 2.5, orientation=orientation)
    grid = laid(positions, orientation)
    assert grid.shape == (6, *SIZE)
    assert grid.shifts is None
    assert is_orthogonal(grid.affine)
    column, row, plane = 3, 5, 4
    across, down = np.reshape(orientation, (2, 3))
    expected = positions[plane] + column * PIXEL[1] * across + row * PIXEL[0] * down
    np.testing.assert_allclose(grid.affine @ [column, row, plane, 1], [*expected, 1], atol=1e-9)


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_even() -> None:
    grid = laid(along(np.round(np.arange(400) * 0.625, 1)))
    np.testing.assert_array_equal(grid.places, np.arange(400))
    np.testing.assert_allclose(np.linalg.norm(grid.affine[:3, 2]), 0.625, rtol=1e-3)


def test_a_missing_slice_leaves_its_plane_empty() -> None:
    grid = laid(along([0, 1, 2, 3, 5, 6, 7]))
    assert grid.shape[0] == 8
    np.testing.assert_array_equal(grid.places, [0, 1, 2, 3, 5, 6, 7])


def test_even_slices_are_not_moved_by_others_that_are_not() -> None:
    grid = laid(along([0, 1, 2, 3.3, 4, 5, 6]))
    np.testing.assert_allclose(grid.places, [0, 1, 2, 3.3, 4, 5, 6])
    assert grid.shape[0] == 7


@pytest.mark.parametrize(
    ("heights", "planes"),
    [
        ([0, 1, 2, 5, 6, 7], 8),  # three times the usual spacing
        ([0, 3, 6, 12, 15, 18], 7),  # 6 mm
        ([*range(20), *range(21, 31), *range(32, 43)], 43),  # two gaps among 40
    ],
)
def test_the_widest_gaps_that_are_bridged(heights: list[float], planes: int) -> None:
    assert laid(along(heights)).shape[0] == planes


@pytest.mark.parametrize(
    "heights",
    [
        [0, 1, 2, 5.2, 6.2, 7.2],  # over three times the usual spacing
        [0, 3.1, 6.2, 12.4, 15.5, 18.6],  # over 6 mm
        [0, 1, 2, 4, 5, 6, 8, 9, 10],  # two gaps among 8
    ],
)
def test_a_wider_gap_is_refused_with_its_numbers(heights: list[float]) -> None:
    reason, remedy = refusal(along(heights))
    assert reason == "missing_slices"
    assert f"{len(heights)} slices" in remedy
    assert f"{np.diff(heights).max():.3g} mm" in remedy


def test_slices_of_two_scans_in_one_series_are_refused() -> None:
    assert refusal(along([0, 2.5, 5, 5.8, 7.5, 10, 12.5]))[0] == "uneven_spacing"


@pytest.mark.parametrize("lean", [0.25, -0.25, 0.5])
def test_a_tilted_stack_stands_upright(lean: float) -> None:
    heights = np.arange(9) * 2.5
    positions = along(heights, sideways=heights * lean)
    grid = laid(positions)
    assert grid.shifts is not None
    assert (grid.axis, grid.shape[0], grid.shape[2]) == (0, 9, 20)
    assert grid.shifts.min() >= 0
    assert grid.shape[1] == 24 + int(np.floor(grid.shifts.max() + 1e-3))
    for plane in (0, 4, 8):  # the first pixel of a slice is still where the slice says
        np.testing.assert_allclose(grid.affine @ [0, grid.shifts[plane], plane, 1], [*positions[plane], 1], atol=1e-9)


def test_a_stack_that_leans_along_its_columns_is_shifted_along_these() -> None:
    positions = along(np.arange(5) * 2.5) + np.outer(np.arange(5), [0.7, 0, 0])
    grid = laid(positions)
    assert grid.shifts is not None
    np.testing.assert_allclose(grid.shifts, np.arange(5), atol=1e-9)
    assert (grid.axis, grid.shape) == (1, (5, 24, 24))


def test_tilt_up_to_30_degrees_is_laid_upright() -> None:
    heights = np.arange(5) * 2.5
    assert laid(along(heights, sideways=heights * np.tan(np.radians(29.9)))).axis == 0
    reason, remedy = refusal(along(heights, sideways=heights * np.tan(np.radians(31))))
    assert (reason, "31 degrees" in remedy) == ("gantry_tilt", True)


def test_a_stack_that_leans_both_ways_is_refused() -> None:
    assert refusal(along(np.arange(9)) + np.outer(np.arange(9), [0.2, 0.2, 0]))[0] == "gantry_tilt"


def test_a_slice_beside_the_others_is_refused() -> None:
    positions = along(np.arange(9))
    positions[4, 1] += 2
    assert refusal(positions)[0] == "shifted_slices"


def test_a_drift_below_a_quarter_of_a_pixel_counts_as_straight() -> None:
    heights = np.arange(9)
    assert laid(along(heights, sideways=heights * 0.024)).shifts is None
    assert laid(along(heights, sideways=heights * 0.026)).shifts is not None


@pytest.mark.parametrize(
    "orientation", [(0,) * 6, (1, 0, 0, 1, 0, 0), (1, 0, 0, 0, 0.5, 0), (1, 0, 0, 0.01, 1, 0), (np.nan,) * 6]
)
def test_cosines_that_are_none_are_refused(orientation: tuple[float, ...]) -> None:
    with pytest.raises(Unreadable, match="impossible_geometry"):
        axes(np.array(orientation, dtype=np.float64))


@pytest.mark.parametrize(("pixel", "step"), [((0, 0.7), 1), ((0.8, 70), 1), ((-0.8, 0.8), 1), ((0.8, 0.7), 60)])
def test_lengths_that_no_scanner_has_are_refused(pixel: tuple[float, float], step: float) -> None:
    with pytest.raises(Unreadable, match="impossible_geometry"):
        lay(along(np.arange(4) * step), orientation=np.array(AXIAL), spacing=pixel, size=SIZE)


@pytest.mark.parametrize("fault", ["shear", "infinite", "flat", "shape"])
def test_a_scan_refuses_an_affine_that_is_none(fault: str) -> None:
    affine = np.diag([0.7, 0.8, 2.5, 1])
    if fault == "shape":
        affine = affine[:3]
    else:
        affine[{"shear": (1, 2), "infinite": (0, 3), "flat": (0, 0)}[fault]] = {"shear": 0.1, "infinite": np.inf}.get(
            fault, 0
        )
    with pytest.raises(ValueError, match="at right angles"):
        Scan((4, 3, 2), affine, lambda: iter(()))


def test_a_scan_knows_its_spacing() -> None:
    assert Scan((4, 3, 2), np.diag([0.7, 0.8, 2.5, 1]), lambda: iter(())).spacing == (2.5, 0.8, 0.7)
