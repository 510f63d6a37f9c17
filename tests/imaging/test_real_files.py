"""Real files, healthy and odd: each gives a picture or a written reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from privrad.imaging.radiograph import prepare
from privrad.imaging.read import Unreadable, read_radiograph

PICTURE = "picture"
EXPECTED = {
    "dcm4che/CT-JPEGLosslessSV1.dcm": PICTURE,
    "dcm4che/no_preamble_dicm_in_data": "no_pixel_data",
    "dcm4che/test16signed.dcm": PICTURE,
    "dicomParser/CT1_UNC.explicit_big_endian.dcm": PICTURE,
    "dicomParser/CT1_UNC.explicit_little_endian.dcm": PICTURE,
    "dicomParser/CT1_UNC.fragmented_bot_jpeg_ls.80.dcm": PICTURE,
    "fo-dicom/CT1_J2KI": PICTURE,
    "fo-dicom/D_CLUNIE_CT1_RLE_FRAGS.dcm": PICTURE,
    "fo-dicom/GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm": "unreadable_file",
    "fo-dicom/GH342.dcm": PICTURE,
    "fo-dicom/GH355.dcm": PICTURE,
    "fo-dicom/GH538-jpeg1.dcm": "colour_image",
    "fo-dicom/IM-0001-0001-0001.dcm": PICTURE,
    "pydicom-data/RG1_J2KI.dcm": PICTURE,
    "pydicom-data/emri_small_RLE.dcm": "several_frames",
    "pydicom-data/explicit_VR-UN.dcm": PICTURE,
    "pydicom-data/vlut_04.dcm": PICTURE,
    "pydicom/CT_small.dcm": PICTURE,
    "pydicom/JPEG-lossy.dcm": PICTURE,
    "pydicom/MR_truncated.dcm": "unreadable_file",
    "pydicom/SC_rgb_rle_2frame.dcm": "several_frames",
    "pydicom/chrJapMulti.dcm": "no_pixel_data",
    "pydicom/image_dfl.dcm": PICTURE,
    "pydicom/no_meta.dcm": "unknown_format",
    "pydicom/rtplan.dcm": "no_pixel_data",
    "pydicom/test-SR.dcm": "no_pixel_data",
    "pylibjpeg-data/CT1_JLSN.dcm": PICTURE,
    "torchxrayvision/1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm": PICTURE,
    "torchxrayvision/Fake_MONOHR1.dcm": PICTURE,
}


def outcome(path: Path) -> str:
    try:
        prepared = prepare(read_radiograph(path), size=64)
    except Unreadable as error:
        return error.reason if error.remedy else "no remedy"
    return PICTURE if np.ptp(prepared) == 255 else "not of full range"


def test_every_dicom_file(real_data: Path) -> None:
    files = sorted(path for path in (real_data / "dicom").rglob("*") if path.is_file())
    assert {str(path.relative_to(real_data / "dicom")): outcome(path) for path in files} == EXPECTED


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
    upright, inverted = (
        read_radiograph(real_data / "dicom" / file) for file in EXPECTED if file.startswith("torchxrayvision")
    )
    np.testing.assert_array_equal(upright, 255 - inverted)


def test_the_spine_is_brighter_than_the_lungs(real_data: Path) -> None:
    prepared = prepare(read_radiograph(real_data / "dicom/pydicom-data/RG1_J2KI.dcm"), size=256)
    spine, lungs = prepared[60:150, 120:136], np.concatenate([prepared[60:150, 60:80], prepared[60:150, 175:195]])
    assert spine.mean() > lungs.mean() + 60


@pytest.mark.parametrize("folder", ["cxr_covid", "cxr_nih"])
def test_every_public_radiograph(real_data: Path, folder: str) -> None:
    files = sorted((real_data / folder / "images").iterdir())[::7]
    assert {path.name: outcome(path) for path in files} == {path.name: PICTURE for path in files}
    if folder == "cxr_covid":
        tinted = real_data / folder / "images/000005-5-a.jpg"
        assert outcome(tinted) == PICTURE
