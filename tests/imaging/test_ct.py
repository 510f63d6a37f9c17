"""Preparing a CT scan: the law, exactly, in every orientation; and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from privrad.imaging import ct
from privrad.imaging.scan import Scan
from privrad.imaging.unreadable import Unreadable
from tests.imaging import slow
from tests.imaging.made_scan import AXIAL, body, scan, turned

WINDOW = (-150.0, 250.0)
SIZES = [(24, 20, 12), (31, 17, 11), (60, 50, 40), (24, 50, 24), (48, 40, 24)]


def marker(affine: np.ndarray, *, at: np.ndarray, shape: tuple[int, ...] = (24, 40, 48)) -> Scan:
    """A scan with a bright ball of 12 mm radius at a place in the patient."""
    planes, rows, columns = np.indices(shape)
    places = np.stack([columns, rows, planes, np.ones(shape)], axis=-1) @ affine.T
    values = np.where(np.linalg.norm(places[..., :3] - at, axis=-1) < 12, 250.0, -1000.0)
    return scan(values, affine)


def centre(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Where the brightness of a prepared volume lies in the patient."""
    weight = volume.astype(np.float64) / volume.sum()
    slices, rows, columns = ((grid * weight).sum() for grid in np.indices(volume.shape))
    place: np.ndarray = (affine @ np.array([columns, rows, slices, 1]))[:3]
    return place


@pytest.mark.parametrize("size", SIZES)
def test_against_an_independent_account(size: tuple[int, int, int]) -> None:
    values = body()
    prepared = ct.prepare(scan(values), size=size, window=WINDOW)
    expected = slow.prepared(values, size=size, window=WINDOW)
    assert prepared.dtype == np.uint8
    assert prepared.shape == size[::-1]
    assert np.abs(prepared - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("size", SIZES)
def test_all_orientations_give_the_same_volume(size: tuple[int, int, int]) -> None:
    values = body()
    expected = ct.prepare(scan(values), size=size, window=WINDOW)
    where = ct.grid(scan(values), size=size)
    found = 0
    for stored, affine in turned(values, AXIAL):
        turned_scan = scan(stored, affine)
        np.testing.assert_array_equal(ct.prepare(turned_scan, size=size, window=WINDOW), expected)
        np.testing.assert_allclose(ct.grid(turned_scan, size=size), where, atol=1e-9)
        found += 1
    assert found == 48


def test_all_orientations_of_fractions_give_the_same_volume() -> None:
    values = body().astype(np.float32) / 3
    volumes = [ct.prepare(scan(*one), size=(31, 17, 11), window=WINDOW) for one in turned(values, AXIAL)]
    assert all(np.array_equal(volume, volumes[0]) for volume in volumes)


def test_slices_of_different_types_give_the_same_volume() -> None:
    values = body()
    mixed = [plane.astype(np.float32) if number % 3 else plane for number, plane in enumerate(values)]
    made = Scan((24, 40, 48), AXIAL, lambda: iter(mixed))
    expected = ct.prepare(scan(values), size=(31, 17, 11), window=WINDOW)
    np.testing.assert_array_equal(ct.prepare(made, size=(31, 17, 11), window=WINDOW), expected)


@pytest.mark.parametrize("window", [(-150.5, 250.0), (-1024.0, 3071.0), (-32767.0, 32767.0)])
def test_other_windows(window: tuple[float, float]) -> None:
    values = body()
    prepared = ct.prepare(scan(values), size=(31, 17, 11), window=window)
    expected = slow.prepared(values, size=(31, 17, 11), window=window)
    assert np.abs(prepared - expected).max() <= 0.5 + 1e-9


def test_sums_beyond_float32_are_exact() -> None:
    """0 HU is 127.5 grey levels of this window; 65,534 x 1,021 has more digits than float32."""
    values = np.zeros((8, 1021, 8), np.int16)
    prepared = ct.resample(scan(values), size=(8, 1013, 8), window=(-32767.0, 32767.0))
    assert (prepared == 128).all()


def test_a_plane_too_few_or_too_many_is_a_fault() -> None:
    values = body()
    for given in (values[:-1], np.concatenate([values, values[:1]])):
        made = Scan((24, 40, 48), AXIAL, partial(iter, given))
        with pytest.raises(ValueError, match="zip"):
            ct.prepare(made, size=(31, 17, 11), window=WINDOW)


def test_ties_do_not_depend_on_the_order_of_the_axes() -> None:
    """-110 HU is 25.5 grey levels: the least error of rounding would show."""
    values = np.full((24, 40, 48), -110, np.int16)
    values[:, :20] = 250
    volumes = [ct.resample(scan(*one), size=(17, 11, 7), window=WINDOW) for one in turned(values, AXIAL)]
    assert all(np.array_equal(volume, volumes[0]) for volume in volumes)
    assert (volumes[0][:, -4:] == 26).all()


@pytest.mark.parametrize(("units", "grey"), [(-150, 0), (250, 255), (-151, 0), (251, 255), (50, 128), (-2048, 0)])
@pytest.mark.parametrize("size", SIZES)
def test_a_constant_stays_a_constant(units: int, grey: int, size: tuple[int, int, int]) -> None:
    values = np.full((24, 40, 48), units, np.int16)
    assert (ct.resample(scan(values), size=size, window=WINDOW) == grey).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ramp_stays_a_ramp(axis: int) -> None:
    shape = (24, 40, 48)
    values = np.indices(shape)[axis].astype(np.float32)
    size = (24, 20, 96)
    prepared = ct.resample(scan(values), size=size, window=(0.0, 51.0))
    wanted = size[2 - axis]
    places = np.clip((np.arange(wanted) + 0.5) * shape[axis] / wanted - 0.5, 0, shape[axis] - 1)
    line = np.moveaxis(prepared, axis, 0)
    assert (line == line[:, :1, :1]).all()
    assert np.abs(line[:, 0, 0] - 5 * places).max() <= 0.5 + 1e-9


def test_doubled_voxels_change_nothing() -> None:
    values = body()
    doubled = values.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    once, twice = (ct.prepare(scan(one), size=(24, 20, 12), window=WINDOW) for one in (values, doubled))
    np.testing.assert_array_equal(once, twice)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.float32, np.float64, ">i2", ">f4"])
def test_the_type_that_is_stored_changes_nothing(dtype: str) -> None:
    values = body()
    expected = ct.prepare(scan(values), size=(31, 17, 11), window=WINDOW)
    np.testing.assert_array_equal(ct.prepare(scan(values.astype(dtype)), size=(31, 17, 11), window=WINDOW), expected)


@pytest.mark.parametrize("padding", [-2048, -3024, 63536, 65535])
def test_padding_is_air(padding: int) -> None:
    values = body().astype(np.int32)
    padded = values.copy()
    outside = values < -900
    padded[outside] = padding
    padded[:2, :2] = values[:2, :2] = -1000
    padded[:, :3], values[:, :3] = -1000, -1000
    expected = ct.prepare(scan(values), size=(31, 17, 11), window=WINDOW)
    np.testing.assert_array_equal(ct.prepare(scan(padded), size=(31, 17, 11), window=WINDOW), expected)


def test_metal_does_not_outshine_its_surroundings() -> None:
    """Clipped first, one voxel of metal in eight lifts the average by at most an eighth of the window."""
    values = np.full((24, 40, 48), 50, np.int16)
    values[0, 0, 0] = 30_000
    prepared = ct.resample(scan(values), size=(24, 20, 12), window=WINDOW)
    assert prepared[0, 0, 0] == np.rint((200 + 200 / 8) * 255 / 400)
    assert (prepared.ravel()[1:] == 128).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("angle", [0, 12, 44])
def test_a_marker_is_where_it_was(size: tuple[int, int, int], angle: float) -> None:
    """Also in a scan that lies obliquely; its tilt is kept."""
    tilt = np.eye(4)
    tilt[:3, :3] = Rotation.from_rotvec([0, angle, 0], degrees=True).as_matrix()
    at = np.array([-45.0, -50.0, 70.0])
    affine = np.eye(4)
    affine[:3, 3] = at
    back = np.eye(4)
    back[:3, 3] = -at
    oblique = affine @ tilt @ back @ AXIAL
    for blank, stored in itertools.islice(turned(np.empty((24, 40, 48), bool), oblique), 0, None, 5):
        made = marker(stored, at=at, shape=blank.shape)
        grid = ct.grid(made, size=size)
        assert np.linalg.norm(centre(ct.resample(made, size=size, window=WINDOW), grid) - at) < 0.5
        cosines = grid[:3, :3] / np.linalg.norm(grid[:3, :3], axis=0)
        np.testing.assert_allclose(cosines, tilt[:3, :3], atol=1e-9)


def test_the_volume_looks_as_dicom_draws_it() -> None:
    """Rows run from front to back, columns from the patient's right to left, slices from feet to head."""
    for axis, end in ((0, [200, 0, 0]), (1, [0, 200, 0]), (2, [0, 0, 200])):
        made = marker(AXIAL, at=np.array([-52, -40, 78]) + 0.2 * np.array(end))
        slices, rows, columns = np.argwhere(ct.resample(made, size=(48, 40, 24), window=WINDOW) > 0).mean(axis=0)
        places = {0: columns / 48, 1: rows / 40, 2: slices / 24}
        assert places[axis] > 0.6
        assert all(0.4 < places[other] < 0.6 for other in places if other != axis)


def test_the_planes_are_asked_for_once_and_in_turn() -> None:
    values, given = body(), []

    def planes() -> Iterator[np.ndarray]:
        for number, plane in enumerate(values):
            given.append(number)
            yield plane

    ct.prepare(Scan((24, 40, 48), AXIAL, planes), size=(24, 20, 12), window=WINDOW)
    assert given == list(range(24))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value: float) -> None:
    values = body().astype(np.float32)
    values[3, 4, 5] = value
    with pytest.raises(Unreadable, match=r"^non_finite_image: .*; write air \(-1024\) where nothing was scanned$"):
        ct.prepare(scan(values), size=(24, 20, 12), window=WINDOW)


@pytest.mark.parametrize(
    ("shape", "spacing", "reason"),
    [
        ((7, 40, 48), (2, 2, 2), "too_few_slices: 7 slices"),
        ((24, 7, 48), (2, 2, 2), "too_few_voxels: 7 rows"),
        ((24, 40, 1), (2, 2, 2), "too_few_voxels: 1 columns"),
        ((24, 40, 48), (2, 2, 0.4), "absurd_spacing: 24 slices of 0.4 mm cover 9.6 mm"),
        ((24, 40, 48), (0.002, 0.002, 0.002), "absurd_spacing: 48 columns of 0.002 mm"),
        ((24, 40, 48), (2, 31, 2), "absurd_spacing: 40 rows of 31 mm"),
        ((1600, 8, 8), (2, 2, 2), "absurd_spacing: 1600 slices of 2 mm cover 3200 mm"),
        ((24, 4097, 4096), (0.1, 0.1, 2), "too_large: 24 planes of 4097 x 4096 voxels"),
        ((2**40, 40, 48), (2, 2, 2), f"too_large: {2**40} planes of 40 x 48 voxels"),
        ((24, 40, 2**15), (2, 2, 2), "too_large: 24 planes of 40 x 32768 voxels"),
    ],
)
def test_a_grid_that_cannot_show_a_body(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], reason: str
) -> None:
    def planes() -> Iterator[np.ndarray]:
        raise AssertionError("a voxel was read")

    with pytest.raises(Unreadable, match=f"^{reason}.*; "):
        ct.prepare(Scan(shape, np.diag([*spacing, 1.0]), planes), size=(24, 20, 12), window=WINDOW)


def test_just_enough() -> None:
    values, spacing = body((8, 8, 8)), np.diag([1.25, 1.25, 1.25, 1.0])
    assert ct.prepare(scan(values, spacing), size=(8, 8, 8), window=WINDOW).shape == (8, 8, 8)


def test_a_scan_outside_the_window() -> None:
    values = np.full((24, 40, 48), -300, np.int16)
    values[:, ::8] = 0
    with pytest.raises(Unreadable, match=r"^constant_image: every voxel shows 0 of 255 in the window"):
        ct.prepare(scan(values), size=(24, 20, 12), window=(1000.0, 2000.0))


@pytest.mark.parametrize(
    ("size", "window", "message"),
    [
        ((0, 20, 12), WINDOW, "size is (0, 20, 12); give columns, rows and slices of 1 to 1024 voxels each"),
        ((24, 20, 1025), WINDOW, "size is (24, 20, 1025)"),
        ((24, 20), WINDOW, "size is (24, 20)"),
        (
            (24, 20, 12),
            (250.0, -150.0),
            "window is (250.0, -150.0); give two Hounsfield units from -32767 to 32767, the lower one first",
        ),
        ((24, 20, 12), (0.0, 0.0), "window is (0.0, 0.0)"),
        ((24, 20, 12), (np.nan, 0.0), "window is (nan, 0.0)"),
        ((24, 20, 12), (-np.inf, 0.0), "window is (-inf, 0.0)"),
    ],
)
def test_a_size_or_window_out_of_bounds(size: tuple[int, int, int], window: tuple[float, float], message: str) -> None:
    with pytest.raises(ValueError, match=r"size|window") as caught:
        ct.prepare(scan(body()), size=size, window=window)
    assert message in str(caught.value)
