"""One axis resized: exact, as OpenCV's law has it, and as an independent account of the same law has it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from privrad.imaging.resample import total, weights
from tests.imaging.slow import resized

LENGTHS = [(1, 1), (1, 5), (5, 1), (2, 3), (7, 7), (300, 128), (301, 128), (512, 224), (97, 224), (30, 128), (9, 8)]


def applied(values: np.ndarray, wanted: int) -> np.ndarray:
    length = len(values)
    result: np.ndarray = weights(length, wanted) @ values.astype(np.float64) / total(length, wanted)
    return result


@pytest.mark.parametrize(("length", "wanted"), LENGTHS)
def test_against_an_independent_account(length: int, wanted: int) -> None:
    values = np.random.default_rng(length).normal(size=length)
    np.testing.assert_allclose(applied(values, wanted), resized(values, wanted, axis=0), atol=1e-12)


@pytest.mark.parametrize(("length", "wanted"), [(64, 32), (512, 128), (300, 100), (300, 60)])
def test_opencv_averages_areas(length: int, wanted: int) -> None:
    values = np.random.default_rng(1).normal(size=(length, 3))
    expected = cv2.resize(values, (3, wanted), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(applied(values, wanted), expected, atol=1e-6)


@pytest.mark.parametrize(("length", "wanted"), [(32, 64), (30, 128), (97, 224), (127, 128)])
def test_opencv_interpolates_linearly(length: int, wanted: int) -> None:
    values = np.random.default_rng(2).normal(size=(length, 3))
    expected = cv2.resize(values, (3, wanted), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(applied(values, wanted), expected, atol=1e-5)


@pytest.mark.parametrize(("length", "wanted"), LENGTHS)
def test_every_row_is_a_whole_average(length: int, wanted: int) -> None:
    table = weights(length, wanted).toarray()
    assert (table == np.rint(table)).all()
    assert (table >= 0).all()
    assert (table.sum(axis=1) == total(length, wanted)).all()


@pytest.mark.parametrize(("length", "wanted"), LENGTHS)
def test_a_flip_commutes(length: int, wanted: int) -> None:
    table = weights(length, wanted).toarray()
    np.testing.assert_array_equal(table, table[::-1, ::-1])


@pytest.mark.parametrize(
    ("length", "wanted", "most"), [(300, 100, 0), (30, 128, 0), (97, 224, 0), (300, 128, 1 / 8), (512, 224, 1 / 8)]
)
def test_a_ramp_stays_a_ramp_inside(length: int, wanted: int, most: float) -> None:
    """To an eighth of a step where parts of voxels are averaged, since each voxel is taken as even."""
    step = length / wanted
    expected = (np.arange(wanted) + 0.5) * step - 0.5
    inside = (expected >= 0) & (expected <= length - 1)
    assert inside.mean() > 0.9
    np.testing.assert_allclose(applied(np.arange(length), wanted)[inside], expected[inside], rtol=0, atol=most + 1e-9)


@pytest.mark.parametrize("lengths", [(0, 4), (4, 0), (-1, 4)])
def test_an_axis_without_voxels(lengths: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="both must be 1 or more"):
        weights(*lengths)
