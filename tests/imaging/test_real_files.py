"""Real files, healthy and odd: each gives a picture or a written reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread

from privrad.imaging.radiograph import prepare
from privrad.imaging.read import Unreadable, read_radiograph, read_scan

itk: Any = SimpleITK
PICTURE = "picture"
EXPECTED = {  # of a source that is trusted to have taken out names, and of another
    "dcm4che/CT-JPEGLosslessSV1.dcm": (PICTURE, PICTURE),
    "dcm4che/no_preamble_dicm_in_data": ("unreadable_file", "unreadable_file"),
    "dcm4che/test16signed.dcm": (PICTURE, "secondary_capture"),
    "dicomParser/CT1_UNC.explicit_big_endian.dcm": (PICTURE, PICTURE),
    "dicomParser/CT1_UNC.explicit_little_endian.dcm": (PICTURE, PICTURE),
    "dicomParser/CT1_UNC.fragmented_bot_jpeg_ls.80.dcm": (PICTURE, PICTURE),
    "fo-dicom/CT1_J2KI": (PICTURE, PICTURE),
    "fo-dicom/D_CLUNIE_CT1_RLE_FRAGS.dcm": (PICTURE, PICTURE),
    "fo-dicom/GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm": ("unreadable_file", "unreadable_file"),
    "fo-dicom/GH342.dcm": (PICTURE, PICTURE),
    "fo-dicom/GH355.dcm": (PICTURE, "secondary_capture"),
    "fo-dicom/GH538-jpeg1.dcm": ("colour_image", "secondary_capture"),
    "fo-dicom/IM-0001-0001-0001.dcm": (PICTURE, PICTURE),
    "pydicom-data/RG1_J2KI.dcm": (PICTURE, PICTURE),
    "pydicom-data/emri_small_RLE.dcm": ("several_frames", "several_frames"),
    "pydicom-data/explicit_VR-UN.dcm": (PICTURE, "secondary_capture"),
    "pydicom-data/vlut_04.dcm": (PICTURE, "secondary_capture"),
    "pydicom/CT_small.dcm": (PICTURE, PICTURE),
    "pydicom/JPEG-lossy.dcm": (PICTURE, "secondary_capture"),
    "pydicom/MR_truncated.dcm": ("unreadable_file", "unreadable_file"),
    "pydicom/SC_rgb_rle_2frame.dcm": ("several_frames", "secondary_capture"),
    "pydicom/chrJapMulti.dcm": ("no_pixel_data", "no_pixel_data"),
    "pydicom/image_dfl.dcm": (PICTURE, "secondary_capture"),
    "pydicom/no_meta.dcm": ("unknown_format", "unknown_format"),
    "pydicom/rtplan.dcm": ("no_pixel_data", "no_pixel_data"),
    "pydicom/test-SR.dcm": ("no_pixel_data", "no_pixel_data"),
    "pylibjpeg-data/CT1_JLSN.dcm": (PICTURE, PICTURE),
    "torchxrayvision/1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm": (PICTURE, "secondary_capture"),
    "torchxrayvision/Fake_MONOHR1.dcm": (PICTURE, "secondary_capture"),
}
SERIES = {
    "gantry_tilt": (4, 521, 512),
    "liver_3slices": (3, 512, 512),
    "missing_slice": (5, 514, 512),
    "phantom_5mm": (5, 512, 512),
}
PICTURES = [name for name, (trusted, _) in EXPECTED.items() if trusted == PICTURE]


def outcome(path: Path, *, trusted: bool) -> str:
    try:
        prepared = prepare(read_radiograph(path, trusted=trusted), size=64)
    except Unreadable as error:
        return error.reason if error.remedy else "no remedy"
    return PICTURE if np.ptp(prepared) == 255 else "not of full range"


def by_another(path: Path) -> np.ndarray:
    """Presentation values of a file, its pixels decoded by GDCM, or as they lie in the file; windowed here.

    GDCM applies the rescale, and inverts MONOCHROME1 within the stored bits, which is undone for the window.
    """
    header = dcmread(path, force=True)
    if path.name == "GH355.dcm":  # of a class of its maker's own, which GDCM does not open
        values = np.frombuffer(header.PixelData, "<u2").reshape(header.Rows, header.Columns).astype(float)
        values = values * float(header.RescaleSlope) + float(header.RescaleIntercept)
    else:
        values = itk.GetArrayFromImage(itk.ReadImage(str(path), imageIO="GDCMImageIO"))[0].astype(float)
    inverted = header.PhotometricInterpretation == "MONOCHROME1"
    values = 2**header.BitsStored - 1 - values if inverted else values
    if "VOILUTSequence" in header:
        values = np.array(header.VOILUTSequence[0].LUTData, dtype=float)[values.astype(int)]
    elif "WindowCenter" in header:
        centre, width = (float(np.atleast_1d(header[key].value)[0]) for key in ("WindowCenter", "WindowWidth"))
        values = np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
        return 1 - values if inverted else values
    return 2**header.BitsStored - 1 - values if inverted else values


@pytest.mark.parametrize("trusted", [True, False])
def test_every_dicom_file(real_data: Path, trusted: bool) -> None:
    files = sorted(path for path in (real_data / "dicom").rglob("*") if path.is_file())
    met = {str(path.relative_to(real_data / "dicom")): outcome(path, trusted=trusted) for path in files}
    assert met == {name: expected[not trusted] for name, expected in EXPECTED.items()}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_as_another_reader_gives_it(real_data: Path, name: str) -> None:
    _compare(real_data / "dicom" / name)


def test_every_slice_of_a_series_alone(real_data: Path) -> None:
    files = sorted((real_data / "ct_series").glob("*/dicom/*"))
    assert len(files) == 16
    for path in files:
        assert outcome(path, trusted=False) == PICTURE
        _compare(path)


def test_every_series(real_data: Path) -> None:
    """That their voxels are right: test_series.py."""
    folders = sorted((real_data / "ct_series").iterdir())
    assert {folder.name: read_scan(folder / "dicom").shape for folder in folders} == SERIES
    label_map = real_data / "ct_series/liver_3slices/liver_seg.dcm"
    assert outcome(label_map, trusted=True) == outcome(label_map, trusted=False) == "several_frames"


def _compare(path: Path) -> None:
    """All pixels but padding, which is air or below it."""
    values, expected = read_radiograph(path, trusted=True), by_another(path)
    assert values.shape == expected.shape
    shown = expected > -1000 if "PixelPaddingValue" in dcmread(path, stop_before_pixels=True) else expected > -1e9
    assert shown.mean() > 0.3
    np.testing.assert_allclose(values[shown], expected[shown], atol=1e-5 * np.ptp(expected))


@pytest.mark.parametrize(
    ("file", "most", "mean"),
    [
        ("dicomParser/CT1_UNC.explicit_big_endian.dcm", 0, 0),
        ("dicomParser/CT1_UNC.fragmented_bot_jpeg_ls.80.dcm", 0, 0),
        ("fo-dicom/D_CLUNIE_CT1_RLE_FRAGS.dcm", 0, 0),
        ("pylibjpeg-data/CT1_JLSN.dcm", 4, 3),
        ("fo-dicom/CT1_J2KI", 400, 30),
    ],
)
def test_one_picture_in_several_compressions(real_data: Path, file: str, most: int, mean: int) -> None:
    reference = read_radiograph(real_data / "dicom/dicomParser/CT1_UNC.explicit_little_endian.dcm")
    values = read_radiograph(real_data / "dicom" / file)
    body = reference > reference.min()
    differences = np.abs(values - reference)[body]
    assert differences.max() <= most
    assert differences.mean() <= mean


def test_a_changed_photometric_interpretation_inverts(real_data: Path) -> None:
    files = [real_data / "dicom" / file for file in EXPECTED if file.startswith("torchxrayvision")]
    upright, inverted = (read_radiograph(file, trusted=True) for file in files)
    np.testing.assert_array_equal(upright, 255 - inverted)


def test_the_spine_is_brighter_than_the_lungs(real_data: Path) -> None:
    prepared = prepare(read_radiograph(real_data / "dicom/pydicom-data/RG1_J2KI.dcm"), size=256)
    spine, lungs = prepared[60:150, 120:136], np.concatenate([prepared[60:150, 60:80], prepared[60:150, 175:195]])
    assert spine.mean() > lungs.mean() + 60


@pytest.mark.parametrize("folder", ["cxr_covid", "cxr_nih"])
def test_every_public_radiograph(real_data: Path, folder: str) -> None:
    files = sorted((real_data / folder / "images").iterdir())[::7]
    assert {path.name: outcome(path, trusted=False) for path in files} == {path.name: PICTURE for path in files}
    if folder == "cxr_covid":
        tinted = real_data / folder / "images/000005-5-a.jpg"
        assert outcome(tinted, trusted=False) == PICTURE
