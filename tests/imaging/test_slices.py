"""Headers of DICOM slices: read, faulty, cut short, or of something else."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, RLELossless, SecondaryCaptureImageStorage

from privrad.imaging.read import read_scan
from privrad.imaging.series import read_series
from privrad.imaging.slices import read_header
from tests.imaging.made import table
from tests.imaging.made_ct import body, write_series
from tests.imaging.outcome import refusal, volume

CT_SLICES = [
    "dcm4che/CT-JPEGLosslessSV1.dcm",
    "dicomParser/CT1_UNC.explicit_big_endian.dcm",
    "dicomParser/CT1_UNC.explicit_little_endian.dcm",
    "dicomParser/CT1_UNC.fragmented_bot_jpeg_ls.80.dcm",
    "fo-dicom/CT1_J2KI",
    "fo-dicom/D_CLUNIE_CT1_RLE_FRAGS.dcm",
    "fo-dicom/IM-0001-0001-0001.dcm",
    "pydicom/CT_small.dcm",
    "pylibjpeg-data/CT1_JLSN.dcm",
]
ODD = {
    "fo-dicom/GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm": "unreadable_file",
    "fo-dicom/GH342.dcm": "localizer",
    "fo-dicom/GH355.dcm": "secondary_image",
    "pydicom-data/explicit_VR-UN.dcm": "secondary_capture",
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
    ("not_hounsfield", {"RescaleType": "HU_MOD"}),
    ("not_hounsfield", {"RescaleType": "MGML"}),
    ("not_hounsfield", {"ModalityLUTSequence": [table(np.arange(8), first=0)[0]]}),
    ("unreadable_file", {"BitsAllocated": 32}),
    ("unreadable_file", {"BitsStored": 20}),
    ("unreadable_file", {"Rows": 0}),
    ("unreadable_file", {"Rows": 30}),
    ("unreadable_file", {"Rows": 30, "DataSetTrailingPadding": bytes(5000)}),
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


@pytest.mark.parametrize("scale", ["US", "hu", "", None])
def test_a_rescale_of_no_other_quantity_is_taken(tmp_path: Path, scale: str | None) -> None:
    write_series(tmp_path, body(), RescaleType=scale)
    np.testing.assert_array_equal(volume(read_series(tmp_path)), body())


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


def test_a_fault_of_ours_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_series(tmp_path, body((3, 6, 8)))[0]
    monkeypatch.delattr("privrad.imaging.slices.picture_words")
    with pytest.raises(NameError):
        read_header(path)
    with pytest.raises(NameError):
        read_scan(path)


def test_why_a_header_is_damaged_can_be_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_series(tmp_path, body((3, 6, 8)))[0]
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\x08\x00\x60\x00CS", b"\x08\x00\x60\x00ZZ"))
    with caplog.at_level(logging.DEBUG, logger="privrad"):
        assert refusal(path)[0] == "unreadable_file"
    assert "NotImplementedError" in caplog.text
    assert "slices.py" in caplog.text
