"""NIfTI files of every kind: the right voxels in the right place, or a written reason."""

from __future__ import annotations

import contextlib
import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from privrad.imaging import ct
from privrad.imaging.nifti import read_nifti
from privrad.imaging.read import read_scan
from privrad.imaging.unreadable import Unreadable
from tests.imaging.made_scan import body

RAS = np.array([[-2.0, 0, 0, 100], [0, -2.5, 0, 90], [0, 0, 4, 30], [0, 0, 0, 1]])
LPS = np.diag([-1.0, -1, 1, 1]) @ RAS
VALUES = body((12, 20, 24))
Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write values [planes, rows, columns] as NIfTI by nibabel, with fields of the header set last; gives its path."""

    def _save(
        values: np.ndarray = VALUES,
        *,
        affine: np.ndarray | None = RAS,
        name: str = "scan.nii.gz",
        kind: Any = nibabel.Nifti1Image,
        big: bool = False,
        **fields: Any,
    ) -> Path:
        image = kind(values.T, affine, dtype=values.dtype)
        content = bytearray(image.to_bytes())
        header = image.header.__class__(bytes(content[: image.header.sizeof_hdr]), check=False)
        for key, value in fields.items():
            header[key] = value
        voxels = bytes(content[int(header["vox_offset"]) :]) if "vox_offset" not in fields else b""
        if big:
            header = header.as_byteswapped(">")
            voxels = values.astype(values.dtype.newbyteorder(">")).tobytes()
        packed = header.binaryblock + b"\0" * 4 + voxels
        path = tmp_path / name
        path.write_bytes(gzip.compress(packed, 1) if name.endswith("gz") else packed)
        return path

    return _save


def voxels(path: Path) -> np.ndarray:
    return np.stack(list(read_scan(path).planes()))


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32, np.float64, np.int64])
def test_every_kind_of_file(save: Save, kind: Any, name: str, big: bool, dtype: Any) -> None:
    values = (VALUES + 2000 * (dtype == np.uint16)).astype(dtype)
    path = save(values, kind=kind, name=name, big=big)
    read = read_scan(path)
    assert read.shape == (12, 20, 24)
    np.testing.assert_allclose(read.affine, LPS, atol=1e-5)
    assert voxels(path).dtype == np.dtype(dtype)
    np.testing.assert_array_equal(voxels(path), values)
    np.testing.assert_array_equal(np.stack(list(read.planes())), np.stack(list(read.planes())))


def test_the_content_decides_not_the_name(save: Save) -> None:
    plain, packed = save(name="one.nii"), save(name="two.nii.gz")
    plain.rename(plain.with_name("plain.nii.gz"))
    packed.rename(packed.with_name("packed.dcm"))
    for name in ("plain.nii.gz", "packed.dcm"):
        np.testing.assert_array_equal(voxels(plain.with_name(name)), VALUES)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_as_simpleitk_reads_it(save: Save, name: str) -> None:
    itk: Any = SimpleITK
    path = save(name=name)
    image, read = itk.ReadImage(str(path)), read_nifti(path)
    np.testing.assert_array_equal(itk.GetArrayFromImage(image), voxels(path))
    for place in ((0, 0, 0), (23, 0, 0), (0, 19, 0), (0, 0, 11), (5, 6, 7)):
        expected = image.TransformIndexToPhysicalPoint(place)
        np.testing.assert_allclose((read.affine @ [*place, 1])[:3], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("slope", "intercept", "expected"),
    [(2, -1024, lambda v: 2.0 * v - 1024), (1, 0, None), (0, 50, None), (np.nan, 0, None), (0.5, 0, lambda v: v / 2)],
)
def test_slope_and_intercept(
    save: Save, slope: float, intercept: float, expected: Callable[[np.ndarray], np.ndarray] | None
) -> None:
    read = voxels(save(scl_slope=slope, scl_inter=intercept))
    np.testing.assert_array_equal(read, VALUES if expected is None else expected(VALUES))


def test_sform_before_qform(save: Save) -> None:
    qform = {"quatern_b": 0, "quatern_c": 0, "quatern_d": 0, "qoffset_x": 7, "qoffset_y": 8, "qoffset_z": 9}
    expected = np.diag([-2.0, -2.5, 4, 1])
    expected[:3, 3] = -7, -8, 9
    for sign in (0, 1):
        path = save(qform_code=1, sform_code=0, **qform, pixdim=[sign, 2, 2.5, 4, 0, 0, 0, 0])
        np.testing.assert_allclose(read_nifti(path).affine, expected, atol=1e-5)
    mirrored = save(qform_code=1, sform_code=0, **qform, pixdim=[-1, 2, 2.5, 4, 0, 0, 0, 0])
    np.testing.assert_allclose(read_nifti(mirrored).affine, expected @ np.diag([1, 1, -1, 1]), atol=1e-5)
    turned = qform | {"quatern_d": 1}
    np.testing.assert_allclose(read_nifti(save(qform_code=1, sform_code=2, **turned)).affine, LPS, atol=1e-5)
    np.testing.assert_allclose(read_nifti(save(qform_code=0, sform_code=2, **qform)).affine, LPS, atol=1e-5)


@pytest.mark.parametrize("degrees", [-10, 0, 10])
def test_a_sform_and_a_qform_that_disagree(save: Save, degrees: float) -> None:
    """Mirrored or turned by a quarter they are refused, turned a little they are not."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec([0, degrees, 0], degrees=True).as_matrix()
    for edit, taken in ((np.eye(4), True), (np.diag([-1, 1, 1, 1]), False), (np.eye(4)[[1, 0, 2, 3]], False)):
        header = nibabel.Nifti1Header()
        header.set_qform(edit @ turn @ RAS, code=1)
        names = ("pixdim", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
        path = save(qform_code=1, **{name: header[name] for name in names})
        if taken:
            np.testing.assert_allclose(read_nifti(path).affine, LPS, atol=1e-5)
        else:
            with pytest.raises(Unreadable, match=r"^no_orientation: its sform says LPS and its qform (RPS|PLS)"):
                read_nifti(path)


@pytest.mark.parametrize(("units", "factor"), [(0, 1), (2, 1), (10, 1), (1, 1000), (3, 0.001)])
def test_units_of_length(save: Save, units: int, factor: float) -> None:
    expected = np.diag([factor, factor, factor, 1]) @ LPS
    np.testing.assert_allclose(read_nifti(save(xyzt_units=units)).affine, expected, rtol=1e-5)


def test_one_volume_in_time_is_a_volume(save: Save) -> None:
    np.testing.assert_array_equal(voxels(save(VALUES[None])), VALUES)


def test_extensions_are_skipped(save: Save, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES.T, RAS)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 1000))
    nibabel.save(image, tmp_path / "extended.nii")
    np.testing.assert_array_equal(voxels(tmp_path / "extended.nii"), VALUES)


SHEARED = np.array([[2.0, 0.3, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])
ROW = {"srow_x": [0, 0, 0, 0], "srow_y": [0, 0, 0, 0], "srow_z": [0, 0, 0, 0]}
RGB = np.zeros((8, 8, 8), [("R", "u1"), ("G", "u1"), ("B", "u1")])
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "four dimensions": ({"values": np.stack([VALUES, VALUES])}, "several_volumes"),
    "vectors": ({"values": np.stack([VALUES, VALUES])[:, None]}, "several_volumes"),
    "two dimensions": ({"values": VALUES[0]}, "not_a_volume"),
    "one dimension": ({"values": VALUES[0, 0]}, "not_a_volume"),
    "colours": ({"values": RGB}, "colour_image"),
    "complex numbers": ({"values": VALUES.astype(np.complex64)}, "unusable_values"),
    "an unknown type": ({"datatype": 3}, "unreadable_file"),
    "single bits": ({"datatype": 1}, "unusable_values"),
    "no orientation": ({"sform_code": 0, "qform_code": 0}, "no_orientation"),
    "sheared": ({"affine": SHEARED}, "unusable_axes"),
    "no sform behind its code": (ROW, "unusable_axes"),
    "a sform that is no number": ({"srow_x": [np.nan, 0, 0, 0]}, "unusable_axes"),
    "a sform beyond all numbers": ({"kind": nibabel.Nifti2Image, "srow_x": [1e300, 0, 0, 0]}, "unusable_axes"),
    "a sform of infinite metres": (
        {"kind": nibabel.Nifti2Image, "srow_x": [1e308, 0, 0, 0], "xyzt_units": 1},
        "unusable_axes",
    ),
    "a qform of no rotation": ({"sform_code": 0, "qform_code": 1, "quatern_b": 3}, "unusable_axes"),
    "a qform of no size": ({"sform_code": 0, "qform_code": 1, "pixdim": [1, 0, 0, 0, 0, 0, 0, 0]}, "unusable_axes"),
    "negative dimensions": ({"dim": [3, -24, 20, 12, 1, 1, 1, 1]}, "unreadable_file"),
    "no dimensions": ({"dim": [0, 24, 20, 12, 1, 1, 1, 1]}, "unreadable_file"),
    "nine dimensions": ({"dim": [9, 24, 20, 12, 1, 1, 1, 1]}, "unreadable_file"),
    "an intercept that is no number": ({"scl_slope": 1, "scl_inter": np.inf}, "unreadable_file"),
    "voxels in the header": ({"vox_offset": 100}, "unreadable_file"),
    "an offset that is no number": ({"vox_offset": np.nan}, "unreadable_file"),
    "half of a pair": ({"magic": b"ni1"}, "separate_header"),
    "Analyze": ({"magic": b""}, "no_orientation"),
}


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(save: Save, what: str, name: str) -> None:
    fields, reason = REFUSED[what]
    path = save(**fields, name=name)
    with pytest.raises(Unreadable, match=r"^\w+: [^\n]+; [^\n]+$") as caught:
        read_scan(path)
    assert caught.value.reason == reason


def test_voxels_that_are_fewer_than_the_header_says_are_met_while_planes_are_read(save: Save) -> None:
    """What a gzipped file holds is known only then, unless no file of its length could hold as much."""
    scan = read_scan(save(datatype=64, bitpix=64))
    with pytest.raises(Unreadable, match=r"^unreadable_file: it ends within plane \d+ of 12; copy"):
        list(scan.planes())
    with pytest.raises(Unreadable, match=r"^unreadable_file: it is too short for 12 planes of 20 x 24 voxels; copy"):
        read_scan(save(datatype=64, bitpix=64, name="scan.nii"))


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.9999])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_file_cut_short(save: Save, name: str, kept: float) -> None:
    path = save(name=name)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(Unreadable, match=r"^unreadable_file: .*copy the file again$"):
        list(read_scan(path).planes())


def test_a_damaged_file_is_noticed_by_its_checksum(save: Save) -> None:
    path = save()
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=r"^unreadable_file: CRC check failed"):
        list(read_scan(path).planes())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "unknown_format"),
        (b"\x1f\x8b", "unreadable_file"),
        (b"\x1f\x8b" + b"\0" * 500, "unreadable_file"),
        (gzip.compress(b"", mtime=0), "unknown_format"),
        (gzip.compress(b"a table, not a scan" * 100, mtime=0), "unknown_format"),
        (struct.pack("<i", 348), "unknown_format"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 500, "unknown_format"),
        (b"NRRD0004\n" + b" " * 500, "unknown_format"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=r"^\w+: [^\n]+; [^\n]+$") as caught:
        read_scan(path)
    assert caught.value.reason == reason


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"^missing_file: "):
        read_scan(tmp_path / "none.nii.gz")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unreadable, match=r"^missing_file: "):
        read_scan(tmp_path / "file/none.nii.gz")


def test_a_file_that_goes_away_before_its_planes_are_read(save: Save) -> None:
    path = save()
    scan = read_scan(path)
    path.unlink()
    with pytest.raises(Unreadable, match=r"^missing_file: "):
        list(scan.planes())


def test_a_slope_beyond_all_numbers(save: Save) -> None:
    path = save(np.full((8, 8, 8), 1e300), kind=nibabel.Nifti2Image, scl_slope=1e300, scl_inter=0)
    with pytest.raises(Unreadable, match=r"^non_finite_image: "):
        ct.prepare(read_scan(path), size=(8, 8, 8), window=(-150, 250))


@settings(max_examples=150, deadline=None)
@given(changes=st.dictionaries(st.integers(0, 351), st.integers(0, 255), min_size=1, max_size=6))
def test_a_header_of_any_content_gives_a_volume_or_a_reason(
    changes: dict[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(nibabel.Nifti1Image(body((8, 8, 8)).T, RAS).to_bytes())
    for place, value in changes.items():
        content[place] = value
    path = tmp_path_factory.mktemp("any") / "scan.nii"
    path.write_bytes(content)
    with contextlib.suppress(Unreadable):
        assert ct.prepare(read_scan(path), size=(8, 8, 8), window=(-150, 250)).shape == (8, 8, 8)
