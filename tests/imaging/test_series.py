"""CT volumes from folders of DICOM slices."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)
from scipy.ndimage import map_coordinates

from privrad.imaging.hounsfield import AIR
from privrad.imaging.scan import Scan
from privrad.imaging.series import read_series, shifted
from privrad.imaging.unreadable import Unreadable
from tests.imaging.made_ct import (
    CORONAL,
    FEET_FIRST,
    OBLIQUE,
    SAGITTAL,
    SPACING,
    body,
    normal,
    positions,
    write_series,
)
from tests.imaging.outcome import refusal, volume

itk: Any = SimpleITK
nib: Any = nibabel


def by_itk(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels [planes, rows, columns] and affine of the series in a folder, read by ITK."""
    reader = itk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return itk.GetArrayFromImage(image), affine


def slanted(scan: Scan, slices: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """The stored slices of a leaning series as they are, and where they would be stacked, an affine that is sheared."""
    files = [dcmread(path) for path in slices]
    stored = np.stack([file.pixel_array.astype(float) * file.RescaleSlope + file.RescaleIntercept for file in files])
    affine = scan.affine.copy()
    first, last = (np.array(file.ImagePositionPatient, dtype=float) for file in (files[0], files[-1]))
    affine[:3, 3] = first
    affine[:3, 2] = (last - first) / (scan.shape[0] - 1)
    return stored, affine


def sampled(values: np.ndarray, affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values of a volume [planes, rows, columns] at points [4, n] by scipy, linear, NaN outside."""
    places = np.linalg.solve(affine, points)[2::-1]
    places = np.where(np.abs(places - np.rint(places)) < 1e-6, np.rint(places), places)
    found: np.ndarray = map_coordinates(values, places, order=1, mode="constant", cval=np.nan)
    return found


def centres(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """The centres of the voxels of a volume [planes, rows, columns], [4, n]."""
    planes, rows, columns = np.indices(shape).reshape(3, -1)
    points: np.ndarray = affine @ np.stack([columns, rows, planes, np.ones_like(planes)])
    return points


# Real series


@pytest.mark.parametrize("name", ["phantom_5mm", "liver_3slices"])
def test_real_series_equal_dcm2niix(real_data: Path, name: str) -> None:
    folder = real_data / "ct_series" / name
    reference = nib.load(folder / "dcm2niix.nii.gz")
    stored = np.asarray(reference.dataobj).T[:, ::-1]  # its rows run to the front
    scan = read_series(folder / "dicom")
    np.testing.assert_array_equal(volume(scan), np.where(stored == -3024, AIR, stored))  # -2000 - 1024 is padding
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    flip[1, 3] = stored.shape[1] - 1
    np.testing.assert_allclose(scan.affine, np.diag([-1, -1, 1, 1]) @ reference.affine @ flip, atol=5e-5)


@pytest.mark.parametrize("name", ["phantom_5mm", "liver_3slices"])
def test_real_series_equal_itk(real_data: Path, name: str) -> None:
    scan = read_series(real_data / "ct_series" / name / "dicom")
    voxels, affine = by_itk(real_data / "ct_series" / name / "dicom")
    np.testing.assert_array_equal(volume(scan), voxels.clip(AIR))
    np.testing.assert_allclose(scan.affine, affine, atol=1e-5)


def test_a_real_tilted_series_stands_upright(real_data: Path) -> None:
    folder = real_data / "ct_series/gantry_tilt/dicom"
    scan = read_series(folder)
    values = volume(scan)
    slices = sorted(folder.iterdir())
    first, last = (np.array(dcmread(path).ImagePositionPatient, dtype=float) for path in (slices[0], slices[-1]))
    assert scan.affine[:3, 2] @ (last - first) / scan.spacing[0] == pytest.approx(15 * 0.9702957, rel=1e-6)
    for index, path in enumerate(slices):  # each plane is the slice that lies there, moved within it
        file = dcmread(path)
        alone = np.repeat(file.pixel_array[None] - 1024.0, 2, axis=0)
        affine = scan.affine.copy()
        affine[:3, 3] = [*map(float, file.ImagePositionPatient)]
        there = sampled(
            alone, affine, centres(scan.shape, scan.affine)[:, index * values[0].size :][:, : values[0].size]
        )
        expected = np.where(np.isnan(there), AIR, there).reshape(values.shape[1:])
        np.testing.assert_allclose(values[index], expected, atol=2e-2)
        assert (values[index] > AIR).mean() > 0.9


def test_a_real_gap_is_bridged_as_the_source_of_the_series_does(real_data: Path) -> None:
    """The volume beside the series has planes 0.778 mm apart, ours 0.750 mm, and both are noise, mixed anew.

    It is the stored slices, mixed along the line on which the tilted stack leans, at the points where our geometry puts
    them, to half a unit: it was rounded. Ours are mixed along the normal and here a second time, so that of the noise
    a correlation of 0.90 is left; off by half a voxel along any axis it would be 0.83 or less.
    """
    folder = real_data / "ct_series/missing_slice"
    truth = nib.load(folder / "ground_truth_of_the_source.nii.gz")
    values = np.asarray(truth.dataobj).T.astype(float)
    affine = np.diag([-1, -1, 1, 1]) @ truth.affine
    scan = read_series(folder / "dicom")
    assert (scan.shape, truth.shape) == ((5, 514, 512), (512, 514, 5))
    points = centres(values.shape, affine).reshape(4, *values.shape)[:, :, ::3, ::7].reshape(4, -1)
    values = values[:, ::3, ::7]
    stored, leaning = slanted(scan, sorted((folder / "dicom").iterdir()))
    stored = np.insert(stored, 3, (stored[2] + stored[3]) / 2, axis=0)
    exact = sampled(stored, leaning, points).reshape(values.shape)
    both = ~np.isnan(exact) & (values != 0)
    assert both.mean() > 0.6
    assert np.abs(exact - values)[both].max() < 0.51
    ours = volume(scan)

    def agreement(move: np.ndarray) -> float:
        moved = points.copy()
        moved[:3] += scan.affine[:3, :3] @ move[:, None]
        there = sampled(ours, scan.affine, moved).reshape(values.shape)
        inside = both & ~np.isnan(there)
        return float(np.corrcoef(there[inside], values[inside])[0, 1])

    assert agreement(np.zeros(3)) > 0.88
    for axis, sign in itertools.product(range(3), (-1, 1)):
        assert agreement(0.5 * sign * np.eye(3)[axis]) < 0.84


# Made series: what is refused


def test_slices_are_sorted_by_position_whatever_their_names_and_numbers(tmp_path: Path) -> None:
    units = body()
    write_series(tmp_path, units)
    scan = read_series(tmp_path)
    values, affine = by_itk(tmp_path)
    np.testing.assert_array_equal(volume(scan), units)
    np.testing.assert_array_equal(volume(scan), values)
    np.testing.assert_allclose(scan.affine, affine, atol=1e-9)
    assert scan.spacing == pytest.approx(SPACING)
    assert next(scan.planes()).dtype == np.int16


@pytest.mark.parametrize("orientation", [SAGITTAL, CORONAL, OBLIQUE, FEET_FIRST])
def test_any_orientation_equals_itk(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    units = body()
    write_series(tmp_path, units, ImageOrientationPatient=[*orientation])
    scan = read_series(tmp_path)
    values, affine = by_itk(tmp_path)
    np.testing.assert_array_equal(volume(scan), units)
    np.testing.assert_array_equal(values, units)
    np.testing.assert_allclose(scan.affine, affine, atol=1e-9)
    np.testing.assert_allclose(scan.affine[:3, 2] / SPACING[0], normal(orientation), atol=1e-9)


@pytest.mark.parametrize("compress", [RLELossless, JPEG2000Lossless])
def test_compressed_series(tmp_path: Path, compress: str) -> None:
    units = body((4, 40, 36))
    write_series(tmp_path, units, compress=compress)
    np.testing.assert_array_equal(volume(read_series(tmp_path)), units)


def test_a_series_in_jpeg_lossless(real_data: Path, tmp_path: Path) -> None:
    """Of a real slice, as pydicom writes no JPEG."""
    source = real_data / "dicom/fo-dicom/IM-0001-0001-0001.dcm"
    for index in range(3):
        file = dcmread(source)
        file.ImagePositionPatient = [0, 0, 2 * index]
        file.save_as(tmp_path / str(index))
    stored = itk.GetArrayFromImage(itk.ReadImage(str(source)))
    np.testing.assert_array_equal(volume(read_series(tmp_path)), stored.clip(AIR).repeat(3, axis=0))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_series_in_other_encodings(tmp_path: Path, syntax: UID) -> None:
    for path in write_series(tmp_path, body()):
        file = dcmread(path)
        plain = Dataset({element.tag: element for element in file})
        plain.file_meta = file.file_meta
        plain.file_meta.TransferSyntaxUID = syntax
        if not syntax.is_little_endian:
            plain.PixelData = np.frombuffer(file.PixelData, "<i2").astype(">i2").tobytes()
        plain.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(volume(read_series(tmp_path)), body())


def test_a_series_without_the_preamble(tmp_path: Path) -> None:
    for path in write_series(tmp_path, body()):
        path.write_bytes(path.read_bytes()[132:])
    np.testing.assert_array_equal(volume(read_series(tmp_path)), body())


def test_identical_slices_at_one_place_are_one(tmp_path: Path) -> None:
    write_series(tmp_path, body())
    write_series(tmp_path, body(), prefix="again")
    np.testing.assert_array_equal(volume(read_series(tmp_path)), body())


def test_a_missing_slice_is_the_mean_of_its_neighbours(tmp_path: Path) -> None:
    units = body()
    left = [0, 1, 2, 3, 5, 6, 7, 8]
    write_series(tmp_path, units[left], places=positions(9)[left])
    values = volume(read_series(tmp_path))
    assert len(values) == 9
    np.testing.assert_array_equal(values[left], units[left])
    np.testing.assert_allclose(values[4], (units[3].astype(float) + units[5]) / 2)


def test_two_missing_slices_are_mixed_by_distance(tmp_path: Path) -> None:
    units = body()
    left = [0, 1, 2, 5, 6, 7, 8]
    places = np.array([-12.0, -20, -300]) + np.outer(np.arange(9), [0, 0, 1.25])
    write_series(tmp_path, units[left], places=places[left])
    values = volume(read_series(tmp_path))
    np.testing.assert_allclose(values[3], (2 * units[2].astype(float) + units[5]) / 3, atol=1e-3)
    np.testing.assert_allclose(values[4], (units[2].astype(float) + 2.0 * units[5]) / 3, atol=1e-3)


def test_a_slice_off_its_place_is_mixed_linearly(tmp_path: Path) -> None:
    places = positions(9)
    ramp = np.tile((places[:, 2] * 10 + 3000)[:, None, None], (1, 12, 12))
    places[4, 2] += 1
    ramp[4] += 10
    write_series(tmp_path, ramp.astype(np.int16), places=places)
    values = volume(read_series(tmp_path))
    np.testing.assert_allclose(values[:, 5, 5], 25 * np.arange(9), atol=1e-3)


@pytest.mark.parametrize("lean", [(0, 0.6, 0), (0, -0.6, 0), (0.5, 0, 0), (0, 0.8, 0)])
def test_a_tilted_series_shows_each_slice_where_it_lies(tmp_path: Path, lean: tuple[float, float, float]) -> None:
    """Against the slices' own pictures by scipy, placed by the header and not by the code under test."""
    units, places = body((9, 16, 14)), positions(9, lean=lean)
    write_series(tmp_path, units, places=places)
    scan = read_series(tmp_path)
    values = volume(scan)
    points = centres(scan.shape, scan.affine)[:3].T.reshape(*scan.shape, 3)
    for index, place in enumerate(places):
        row, column = (points[index, ..., 1] - place[1]) / SPACING[1], (points[index, ..., 0] - place[0]) / SPACING[2]
        np.testing.assert_allclose(points[index, ..., 2], place[2], atol=1e-9)
        there = np.where(np.abs([row, column] - np.rint([row, column])) < 1e-6, np.rint([row, column]), [row, column])
        expected = map_coordinates(units[index].astype(float), there, order=1, mode="constant", cval=AIR)
        np.testing.assert_allclose(values[index], expected, atol=1e-2)
        assert np.count_nonzero(values[index] > -500) > 0.9 * np.count_nonzero(units[index] > -500)


def test_a_tilted_series_with_a_gap_bridges_it_upright(tmp_path: Path) -> None:
    units, places = body((9, 16, 14)), positions(9, lean=(0, 0.8, 0))
    left = [0, 1, 2, 3, 5, 6, 7, 8]
    write_series(tmp_path, units[left], places=places[left])
    values = volume(read_series(tmp_path))
    assert values.shape == (9, 24, 14)
    np.testing.assert_allclose(values[3, 3:19], units[3], atol=1e-3)
    np.testing.assert_allclose(values[4, 5:19], (units[3, 2:].astype(float) + units[5, :14]) / 2, atol=1e-3)


def test_shifting_by_part_of_a_row_mixes_two() -> None:
    plane = np.arange(6, dtype=np.float32).reshape(3, 2)
    expected = np.array([[AIR, AIR], [AIR, AIR], [1.5, 2.5], [3.5, 4.5], [AIR, AIR]])
    np.testing.assert_allclose(shifted(plane, 1.25, rows=5), expected)
    np.testing.assert_array_equal(shifted(plane, 2, rows=5)[2:], plane)


def test_different_slices_at_one_place_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, body())
    write_series(tmp_path, body()[::-1], prefix="late")
    reason, remedy = refusal(tmp_path)
    assert reason == "doubled_slices"
    assert "18 slices, of which up to 2" in remedy


def test_two_phases_between_each_other_are_refused(tmp_path: Path) -> None:
    """As one volume they would look even; acquisitions one after the other are one volume."""
    half = positions(9) + np.array([0, 0, SPACING[0] / 2])
    write_series(tmp_path / "two", body(), AcquisitionNumber=1)
    write_series(tmp_path / "two", body()[::-1], places=half, prefix="late", AcquisitionNumber=2)
    reason, remedy = refusal(tmp_path / "two")
    assert reason == "doubled_slices"
    assert "18 slices of 2 acquisitions" in remedy

    def edit(index: int, one: Dataset) -> None:
        one.AcquisitionNumber = [3, 1, 2][index // 3] if index != 4 else None

    write_series(tmp_path / "one", body(), edit=edit)
    np.testing.assert_array_equal(volume(read_series(tmp_path / "one")), body())


def test_all_slices_at_one_place_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, body(), places=positions(1).repeat(9, axis=0))
    assert refusal(tmp_path)[0] == "doubled_slices"


@pytest.mark.parametrize(
    ("left", "step"), [([0, 1, 2, 6, 7, 8], 1.0), ([0, 1, 2, 4, 5, 6], 5.0), ([0, 1, 3, 4, 6, 7], 1.0)]
)
def test_gaps_too_wide_or_too_many_are_refused(tmp_path: Path, left: list[int], step: float) -> None:
    write_series(tmp_path, body()[left], places=positions(9, step=step)[left])
    assert refusal(tmp_path)[0] == "missing_slices"


def test_a_lean_that_no_gantry_has_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, body(), places=positions(9, lean=(0, 2, 0)))
    assert refusal(tmp_path)[0] == "gantry_tilt"


def test_a_pixel_fault_met_late_is_a_refusal(tmp_path: Path) -> None:
    paths = write_series(tmp_path, body())
    scan = read_series(tmp_path)
    paths[5].unlink()
    with pytest.raises(Unreadable, match=paths[5].name):
        list(scan.planes())


def test_planes_may_be_read_again(tmp_path: Path) -> None:
    write_series(tmp_path, body())
    scan = read_series(tmp_path)
    np.testing.assert_array_equal(volume(scan), volume(scan))
