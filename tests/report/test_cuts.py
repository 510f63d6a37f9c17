"""The middle slices of a scan: which ones, which way round, and that before and after lie on each other."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from privrad.imaging import ct
from privrad.imaging.scan import Scan
from privrad.report import cuts

WINDOW = (-150.0, 250.0)
SPACING = (3.0, 2.0, 1.5)  # slices, rows, columns


def volume() -> np.ndarray:
    """Hounsfield units [slices, rows, columns] that differ everywhere, at most 200."""
    slices, rows, columns = np.meshgrid(np.arange(11), np.arange(14), np.arange(17), indexing="ij")
    return (12 * slices + 5 * rows + 3 * columns - 150).astype(np.int16)


def scan(held: np.ndarray, order: tuple[int, ...] = (0, 1, 2), turned: tuple[int, ...] = ()) -> Scan:
    """A scan of `held`, stored with its axes in another order and some of them the other way round."""
    stored = np.flip(held.transpose(order), turned)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for place, axis in enumerate(order):  # plane, row and column run along this axis of slices, rows and columns
        sign = -1 if place in turned else 1
        affine[2 - axis, 2 - place] = sign * SPACING[axis]
        affine[2 - axis, 3] = SPACING[axis] * (held.shape[axis] - 1) if sign < 0 else 0
    return Scan(stored.shape, affine, lambda: iter(stored))


def levels(values: np.ndarray) -> np.ndarray:
    return (values - WINDOW[0]) * 255 / (WINDOW[1] - WINDOW[0])


def test_a_cut_is_the_middle_slice_looked_at_from_below_the_front_and_the_left() -> None:
    held = volume()
    axial, coronal, sagittal = cuts.of_scan(scan(held), window=WINDOW, beside=held.shape)
    np.testing.assert_allclose(axial, levels(held[5]), atol=1e-4)
    np.testing.assert_allclose(coronal, levels(held[::-1, 7]), atol=1e-4)
    np.testing.assert_allclose(sagittal, levels(held[::-1, :, 8]), atol=1e-4)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("turned", [(), (0,), (1, 2), (0, 1, 2)])
def test_however_a_scan_is_stored_its_cuts_are_the_same(order: tuple[int, ...], turned: tuple[int, ...]) -> None:
    held = volume()
    stored = scan(held, order, turned)
    assert cuts.counts(stored) == held.shape[::-1]
    assert cuts.lengths(stored) == pytest.approx([side * step for side, step in zip(held.shape, SPACING, strict=True)])
    expected = cuts.of_scan(scan(held), window=WINDOW, beside=held.shape)
    for one, other in zip(cuts.of_scan(stored, window=WINDOW, beside=held.shape), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("beside", [(11, 14, 17), (5, 7, 9), (22, 30, 40)])
def test_cuts_of_a_scan_lie_where_those_of_its_prepared_volume_do(beside: tuple[int, int, int]) -> None:
    """Where a marked voxel of the scan is in a cut, the prepared volume's own cut is bright in the same place."""
    held = np.full((11, 14, 17), -150, dtype=np.int16)
    held[3:8, 5:9, 6:12] = 250
    stored = scan(held, (2, 0, 1), (1,))
    prepared = ct.resample(stored, size=(beside[2], beside[1], beside[0]), window=WINDOW)
    lengths = cuts.lengths(stored)
    before, after = (
        cuts.montage(each, lengths=lengths, longest=400).astype(np.float64)
        for each in (cuts.of_scan(stored, window=WINDOW, beside=beside), cuts.middles(prepared))
    )
    assert before.shape == after.shape
    assert before.max() == after.max() == 255
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9
    assert np.corrcoef(before.ravel(), after[:, ::-1].ravel())[0, 1] < 0.9


def test_a_millimetre_is_as_long_in_every_cut() -> None:
    held = np.full((11, 14, 17), 250, dtype=np.int16)
    white = cuts.montage(
        cuts.of_scan(scan(held), window=WINDOW, beside=held.shape), lengths=cuts.lengths(scan(held)), longest=400
    )
    assert white.shape[1] == pytest.approx(400, abs=2)
    lit = white.max(axis=0) > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lit, [False]]).astype(int)))
    scale = (400 - 2 * cuts.GAP) / (17 * 1.5 + 17 * 1.5 + 14 * 2.0)
    wide = np.diff(edges)[::2]
    assert wide.tolist() == pytest.approx([17 * 1.5 * scale, 17 * 1.5 * scale, 14 * 2.0 * scale], abs=1)
    tall = [(white[:, edge + 2] > 0).sum() for edge in edges[::2]]
    assert tall == pytest.approx([14 * 2.0 * scale, 11 * 3.0 * scale, 11 * 3.0 * scale], abs=1)


def test_what_lies_outside_the_window_is_black_or_white_and_padding_is_black() -> None:
    held = np.full((11, 14, 17), 50, dtype=np.int32)
    held[5, 0], held[5, 1], held[5, 2] = -3024, 2000, 63536
    axial = cuts.of_scan(scan(held), window=WINDOW, beside=held.shape)[0]
    assert [set(axial[row].tolist()) for row in range(4)] == [{0.0}, {255.0}, {0.0}, {127.5}]


def test_the_planes_are_read_once_and_not_kept() -> None:
    held, read = volume(), []

    def planes() -> Iterator[np.ndarray]:
        plane = np.empty(held.shape[1:], dtype=held.dtype)
        for number, values in enumerate(held):
            read.append(number)
            plane[:] = values  # one buffer for all: whoever keeps a plane keeps the last
            yield plane

    found = cuts.of_scan(Scan(held.shape, scan(held).affine, planes), window=WINDOW, beside=held.shape)
    assert read == list(range(11))
    for one, other in zip(found, cuts.of_scan(scan(held), window=WINDOW, beside=held.shape), strict=True):
        np.testing.assert_array_equal(one, other)
