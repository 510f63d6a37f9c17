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
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from scipy.ndimage import map_coordinates

from privrad.imaging.scan import Scan
from privrad.imaging.series import read_series, shifted
from privrad.imaging.unreadable import Unreadable
from tests.imaging.made_ct import SPACING, body, ct_slice, normal, positions, write_series

SAGITTAL = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]
CORONAL = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0]
OBLIQUE = [0.8, 0.6, 0.0, -0.36, 0.48, -0.8]
FEET_FIRST = [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
AIR = -1024

itk: Any = SimpleITK
nib: Any = nibabel


def volume(scan: Scan) -> np.ndarray:
    planes = np.stack(list(scan.planes()))
    assert planes.shape == scan.shape
    return planes


def refusal(path: Path) -> tuple[str, str]:
    with pytest.raises(Unreadable) as caught:
        volume(read_series(path))
    assert caught.value.remedy
    return caught.value.reason, caught.value.remedy


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


def test_a_segmentation_beside_its_slices_is_set_aside(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "ct_series/liver_3slices"
    for path in [*(folder / "dicom").iterdir(), folder / "liver_seg.dcm"]:
        (tmp_path / path.name).symlink_to(path)
    assert read_series(tmp_path).shape == (3, 512, 512)
    assert refusal(tmp_path / "liver_seg.dcm")[0] == "not_ct"


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
    """The volume beside the series is noise, resampled once, on planes 0.778 mm apart where ours are 0.750 mm apart.

    It is the stored slices, mixed along the line on which the tilted stack leans, at points where our geometry puts
    them: to the rounding to whole numbers. Ours are mixed along the normal, so the volumes differ by the
    noise that mixing removes; a volume off by half a voxel along any axis would agree far less.
    """
    folder = real_data / "ct_series/missing_slice"
    truth = nib.load(folder / "ground_truth_of_the_source.nii.gz")
    values = np.asarray(truth.dataobj).T.astype(float)
    affine = np.diag([-1, -1, 1, 1]) @ truth.affine
    scan = read_series(folder / "dicom")
    assert (scan.shape, truth.shape) == ((5, 514, 512), (512, 514, 5))
    points = centres(values.shape, affine)
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

    print([agreement(0.5 * x * np.eye(3)[k]) for k in range(3) for x in (-1, 0, 1)])
    assert agreement(np.zeros(3)) > 0.88
    for axis, sign in itertools.product(range(2), (-1, 1)):
        assert agreement(0.5 * sign * np.eye(3)[axis]) < 0.8


CT_SLICES = [
    "dcm4che/CT-JPEGLosslessSV1.dcm",
    "dicomParser/CT1_UNC.explicit_big_endian.dcm",
    "dicomParser/CT1_UNC.explicit_little_endian.dcm",
    "dicomParser/CT1_UNC.fragmented_bot_jpeg_ls.80.dcm",
    "fo-dicom/CT1_J2KI",
    "fo-dicom/D_CLUNIE_CT1_RLE_FRAGS.dcm",
    "fo-dicom/IM-0001-0001-0001.dcm",
    "pydicom-data/explicit_VR-UN.dcm",
    "pydicom/CT_small.dcm",
    "pylibjpeg-data/CT1_JLSN.dcm",
]
ODD = {
    "fo-dicom/GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm": "unreadable_file",
    "fo-dicom/GH342.dcm": "localizer",
    "fo-dicom/GH355.dcm": "secondary_image",
    "dcm4che/no_preamble_dicm_in_data": "unreadable_file",
    "pydicom/no_meta.dcm": "unknown_format",
}


def test_every_real_file_alone_gives_a_reason(real_data: Path, tmp_path: Path) -> None:
    expected, met = {}, {}
    for number, path in enumerate(sorted(path for path in (real_data / "dicom").rglob("*") if path.is_file())):
        name = str(path.relative_to(real_data / "dicom"))
        expected[name] = "too_few_slices" if name in CT_SLICES else ODD.get(name, "not_ct")
        (tmp_path / str(number)).mkdir()
        alone = tmp_path / str(number) / "image"
        alone.symlink_to(path)
        met[name] = refusal(alone)[0]
    assert met == expected


def test_one_real_slice_in_several_codings_is_one_slice(real_data: Path, tmp_path: Path) -> None:
    """Big and little endian and JPEG-LS without loss hold the same pixels at the same place, so one is kept."""
    for number, name in enumerate([*CT_SLICES[1:3], CT_SLICES[3]]):
        (tmp_path / str(number)).symlink_to(real_data / "dicom" / name)
    assert refusal(tmp_path)[0] == "too_few_slices"


# Made series: what is read


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
def test_any_orientation_equals_itk(tmp_path: Path, orientation: list[float]) -> None:
    units = body()
    write_series(tmp_path, units, ImageOrientationPatient=orientation)
    scan = read_series(tmp_path)
    values, affine = by_itk(tmp_path)
    np.testing.assert_array_equal(volume(scan), units)
    np.testing.assert_array_equal(values, units)
    np.testing.assert_allclose(scan.affine, affine, atol=1e-9)
    np.testing.assert_allclose(scan.affine[:3, 2] / SPACING[0], normal(orientation), atol=1e-9)


def test_one_file_names_its_series(tmp_path: Path) -> None:
    one, other = body(), body((5, 12, 16))
    write_series(tmp_path, one, SeriesInstanceUID="1.2.9")
    paths = write_series(tmp_path, other, prefix="b", SeriesInstanceUID="1.2.10", SeriesNumber=4)
    np.testing.assert_array_equal(volume(read_series(paths[2])), other)
    reason, remedy = refusal(tmp_path)
    assert reason == "several_series"
    assert "2 volumes" in remedy
    assert "series 4, 5 of 12 x 16 pixels" in remedy
    assert "b000" in remedy


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


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    units = body()

    def edit(index: int, one: Dataset) -> None:
        if index % 2:
            one.RescaleSlope, one.RescaleIntercept = 0.5, -2000
            one.PixelData = ((units[index].astype(int) + 2000) * 2).astype(np.int16).tobytes()

    write_series(tmp_path, units, edit=edit)
    np.testing.assert_array_equal(volume(read_series(tmp_path)), units)


def test_a_rescale_that_is_not_whole_gives_floats(tmp_path: Path) -> None:
    write_series(tmp_path, body(), RescaleSlope=0.25, RescaleIntercept=-200.5)
    values = volume(read_series(tmp_path))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, (body() + 1024.0) * 0.25 - 200.5)


@pytest.mark.parametrize(
    ("stored", "signed", "elements"),
    [
        (-2000, True, {}),
        (-1024, True, {}),  # -2048 HU
        (63536, False, {}),
        (0xF830, False, {"BitsStored": 12}),
        (63536, False, {"PixelPaddingValue": 63536}),
        (3000, False, {"PixelPaddingValue": 3000}),
        (3000, True, {"PixelPaddingValue": 2990, "PixelPaddingRangeLimit": 3010}),
        (3000, True, {"PixelPaddingValue": 3010, "PixelPaddingRangeLimit": 2990}),
    ],
)
def test_padding_is_air(tmp_path: Path, stored: int, signed: bool, elements: dict[str, Any]) -> None:
    units = body()

    def edit(index: int, one: Dataset) -> None:
        pixels = (units[index].astype(np.int32) + 1024).astype(np.int32)
        pixels[:3] = stored
        one.PixelRepresentation = int(signed)
        one.PixelData = pixels.astype(np.int64).astype(np.int16 if signed else np.uint16).tobytes()
        one.HighBit = one.BitsStored - 1

    write_series(tmp_path, units, edit=edit, **elements)
    units[:, :3] = AIR
    np.testing.assert_array_equal(volume(read_series(tmp_path)), units)


def test_padding_written_without_its_sign(tmp_path: Path) -> None:
    def edit(_: int, one: Dataset) -> None:
        one.add_new("PixelPaddingValue", "US", 65535)  # -1 in the signed pixels, as HU -1025 + 1024
        pixels = np.frombuffer(one.PixelData, np.int16).copy()
        pixels[:50] = -1
        one.PixelData = pixels.tobytes()
        one.RescaleIntercept = 0

    write_series(tmp_path, body() - 500, edit=edit)
    assert (volume(read_series(tmp_path)).reshape(9, -1)[:, :50] == AIR).all()


def test_overlay_bits_above_the_stored_ones_are_ignored(tmp_path: Path) -> None:
    def edit(_: int, one: Dataset) -> None:
        one.PixelRepresentation, one.BitsStored, one.HighBit = 0, 12, 11
        one.PixelData = (np.frombuffer(one.PixelData, np.uint16) | 0x1000).tobytes()

    write_series(tmp_path, body(), edit=edit)
    np.testing.assert_array_equal(volume(read_series(tmp_path)), body())


def test_identical_slices_at_one_place_are_one(tmp_path: Path) -> None:
    write_series(tmp_path, body())
    write_series(tmp_path, body(), prefix="again")
    np.testing.assert_array_equal(volume(read_series(tmp_path)), body())


def test_what_is_no_slice_is_set_aside(tmp_path: Path) -> None:
    units = body()
    write_series(tmp_path, units)
    (tmp_path / "notes.txt").write_text("Patient moved.\n" * 20)
    (tmp_path / ".hidden").write_text("")
    (tmp_path / "below").mkdir()
    write_series(tmp_path / "below", body((3, 8, 8)), SeriesInstanceUID="1.2.10")
    beside: list[tuple[str, dict[str, Any]]] = [
        ("scout", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "ImageOrientationPatient": CORONAL}),
        ("unmarked", {"ImageOrientationPatient": CORONAL}),
        ("lone", {"SeriesInstanceUID": "1.2.11"}),
        ("mip", {"ImageType": ["DERIVED", "SECONDARY", "MIP"]}),
        ("screen", {"SOPClassUID": SecondaryCaptureImageStorage}),
        ("seg", {"SOPClassUID": SegmentationStorage, "Modality": "SEG"}),
        ("mr", {"Modality": "MR"}),
        ("colour", {"SeriesInstanceUID": "1.2.12", "PhotometricInterpretation": "RGB"}),
    ]
    for name, elements in beside:
        ct_slice(units[0], position=(0, 0, 900), **elements).save_as(tmp_path / name, enforce_file_format=True)
    np.testing.assert_array_equal(volume(read_series(tmp_path)), units)


def test_an_original_series_is_taken_before_what_is_derived_from_it(tmp_path: Path) -> None:
    derived = ["DERIVED", "SECONDARY", "REFORMATTED"]
    write_series(tmp_path, body())
    paths = write_series(tmp_path, body((6, 10, 12)), prefix="d", ImageType=derived, ImageOrientationPatient=CORONAL)
    np.testing.assert_array_equal(volume(read_series(tmp_path)), body())
    np.testing.assert_array_equal(volume(read_series(paths[0])), body((6, 10, 12)))
    write_series(tmp_path / "derived", body(), ImageType=derived)
    np.testing.assert_array_equal(volume(read_series(tmp_path / "derived")), body())


# Made series: what is resampled


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
    expected = [[AIR, AIR], [AIR, AIR], [1.5, 2.5], [3.5, 4.5], [AIR, AIR]]
    np.testing.assert_allclose(shifted(plane, 1.25, rows=5), expected)
    np.testing.assert_array_equal(shifted(plane, 2, rows=5)[2:], plane)


# Made series: what is refused


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("no_position", {"ImagePositionPatient": None}),
    ("no_position", {"ImageOrientationPatient": None}),
    ("no_position", {"PixelSpacing": None}),
    ("impossible_geometry", {"PixelSpacing": ["NaN", "0.8"]}),
    ("impossible_geometry", {"PixelSpacing": [0, 0]}),
    ("impossible_geometry", {"PixelSpacing": [-0.8, 0.8]}),
    ("impossible_geometry", {"PixelSpacing": [0.8]}),
    ("impossible_geometry", {"ImagePositionPatient": [0, 0, "inf"]}),
    ("impossible_geometry", {"ImagePositionPatient": [0, 0, 1e300]}),
    ("impossible_geometry", {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}),
    ("impossible_geometry", {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}),
    ("colour_image", {"PhotometricInterpretation": "RGB"}),
    ("colour_image", {"SamplesPerPixel": 3}),
    ("several_frames", {"NumberOfFrames": 4}),
    ("several_frames", {"SOPClassUID": EnhancedCTImageStorage}),
    ("not_hounsfield", {"RescaleSlope": None}),
    ("not_hounsfield", {"RescaleIntercept": None}),
    ("not_hounsfield", {"RescaleSlope": 0}),
    ("not_hounsfield", {"RescaleSlope": "NaN"}),
    ("not_hounsfield", {"RescaleIntercept": "inf"}),
    ("not_hounsfield", {"RescaleType": "US"}),
    ("unreadable_file", {"BitsAllocated": 32}),
    ("unreadable_file", {"BitsStored": 20}),
    ("unreadable_file", {"Rows": 0}),
    ("unreadable_file", {"Rows": 30}),
    ("too_large", {"Rows": 65535, "Columns": 65535}),
    ("not_ct", {"Modality": "PT"}),
    ("secondary_image", {"SOPClassUID": SecondaryCaptureImageStorage}),
    ("secondary_image", {"ImageType": ["DERIVED", "SECONDARY", "MIP"]}),
    ("localizer", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
]


@pytest.mark.filterwarnings("ignore:.*Invalid value for VR:UserWarning")
@pytest.mark.parametrize(("reason", "elements"), REFUSED)
def test_headers_that_give_no_volume(tmp_path: Path, reason: str, elements: dict[str, Any]) -> None:
    def edit(_: int, one: Dataset) -> None:
        for keyword, value in elements.items():
            setattr(one, keyword, value)

    paths = write_series(tmp_path, body((3, 6, 8)), edit=edit)
    assert refusal(tmp_path)[0] == reason
    assert refusal(paths[0])[0] == reason


@pytest.mark.parametrize(
    ("reason", "elements"),
    [
        ("no_position", {"ImagePositionPatient": None}),
        ("colour_image", {"PhotometricInterpretation": "RGB"}),
        ("not_hounsfield", {"RescaleSlope": None}),
        ("differing_slices", {"PixelSpacing": [0.9, 0.8]}),
        ("not_parallel", {"ImageOrientationPatient": [1, 0, 0, 0, 0.9998, 0.02]}),
        ("differing_slices", {"Rows": 20}),
    ],
)
def test_one_faulty_slice_is_not_left_out(tmp_path: Path, reason: str, elements: dict[str, Any]) -> None:
    def edit(index: int, one: Dataset) -> None:
        for keyword, value in elements.items() if index == 4 else ():
            setattr(one, keyword, value)

    write_series(tmp_path, body(), edit=edit)
    assert refusal(tmp_path)[0] == reason


def test_slices_turned_one_against_the_other_are_refused(tmp_path: Path) -> None:
    def edit(index: int, one: Dataset) -> None:
        angle = np.radians(20 * index)
        one.ImageOrientationPatient = [float(np.cos(angle)), float(np.sin(angle)), 0, 0, 0, -1]

    write_series(tmp_path, body((6, 8, 8)), edit=edit)
    assert refusal(tmp_path)[0] == "not_parallel"


def test_different_slices_at_one_place_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, body())
    write_series(tmp_path, body()[::-1], prefix="late")
    reason, remedy = refusal(tmp_path)
    assert reason == "doubled_slices"
    assert "18 slices, of which up to 2" in remedy


def test_all_slices_at_one_place_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, body(), places=positions(1).repeat(9, axis=0))
    assert refusal(tmp_path)[0] == "doubled_slices"


def test_reconstructions_of_two_types_in_one_series_are_told_apart(tmp_path: Path) -> None:
    write_series(tmp_path, body())
    types = ["ORIGINAL", "PRIMARY", "AXIAL", "SHARP"]
    paths = write_series(tmp_path, body((9, 24, 20))[::-1], prefix="sharp", ImageType=types)
    assert refusal(tmp_path)[0] == "several_series"
    np.testing.assert_array_equal(volume(read_series(paths[0])), body()[::-1])


@pytest.mark.parametrize(
    ("left", "step"), [([0, 1, 2, 6, 7, 8], 1.0), ([0, 1, 2, 4, 5, 6], 5.0), ([0, 1, 3, 4, 6, 7], 1.0)]
)
def test_gaps_too_wide_or_too_many_are_refused(tmp_path: Path, left: list[int], step: float) -> None:
    write_series(tmp_path, body()[left], places=positions(9, step=step)[left])
    assert refusal(tmp_path)[0] == "missing_slices"


def test_a_lean_that_no_gantry_has_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, body(), places=positions(9, lean=(0, 2, 0)))
    assert refusal(tmp_path)[0] == "gantry_tilt"


@pytest.mark.parametrize("compress", ["", RLELossless])
def test_a_slice_cut_short_is_refused_by_name(tmp_path: Path, compress: str) -> None:
    path = write_series(tmp_path, body(), compress=compress)[3]
    path.write_bytes(path.read_bytes()[:-100])
    reason, remedy = refusal(tmp_path)
    assert reason == "unreadable_file"
    assert path.name in remedy


def test_no_prefix_of_a_slice_is_left_out(tmp_path: Path) -> None:
    """However little of the last of nine slices was copied, no volume is made of the other eight."""
    path = write_series(tmp_path, body((9, 6, 8)))[8]
    whole = path.read_bytes()
    for kept in range(0, len(whole), 7):
        path.write_bytes(whole[:kept])
        assert path.name in refusal(tmp_path)[1], kept


def test_folders_without_slices(tmp_path: Path) -> None:
    assert "has no files" in refusal(tmp_path)[1]
    (tmp_path / "below").mkdir()
    assert "1 folder" in refusal(tmp_path)[1]
    (tmp_path / "notes.txt").write_text("nothing")
    reason, remedy = refusal(tmp_path)
    assert reason == "no_ct_slices"
    assert "none of them DICOM" in remedy


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


def test_messages_name_no_patient(tmp_path: Path) -> None:
    write_series(tmp_path, body(), PatientName="Doe^Jane", PatientID="4711", SeriesDescription="Doe liver")
    write_series(tmp_path, body((5, 6, 8)), prefix="b", SeriesInstanceUID="1.2.11", PatientName="Doe^Jane")
    remedy = refusal(tmp_path)[1]
    assert not any(word in remedy for word in ("Doe", "4711", "liver", "1.2.9"))
