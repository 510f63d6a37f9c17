"""Which slices of a folder make the volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    XRayRadiationDoseSRStorage,
)

from privrad.imaging.choice import VIEW, view_numbers
from privrad.imaging.series import read_series
from tests.imaging.made_ct import CORONAL, body, ct_slice, write_series
from tests.imaging.outcome import refusal, volume


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


def test_a_segmentation_beside_its_slices_is_set_aside(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "ct_series/liver_3slices"
    for path in [*(folder / "dicom").iterdir(), folder / "liver_seg.dcm"]:
        (tmp_path / path.name).symlink_to(path)
    assert read_series(tmp_path).shape == (3, 512, 512)
    assert refusal(tmp_path / "liver_seg.dcm")[0] == "not_ct"


def test_what_is_no_slice_is_set_aside(tmp_path: Path) -> None:
    units = body()
    write_series(tmp_path, units)
    (tmp_path / "notes.txt").write_text("Patient moved.\n" * 20)
    (tmp_path / ".hidden").write_text("")
    (tmp_path / "below").mkdir()
    write_series(tmp_path / "below", body((3, 8, 8)), SeriesInstanceUID="1.2.10")
    beside: list[tuple[str, dict[str, Any]]] = [
        ("scout", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "ImageOrientationPatient": [*CORONAL]}),
        ("unmarked", {"ImageOrientationPatient": [*CORONAL]}),
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
    paths = write_series(tmp_path, body((6, 10, 12)), prefix="d", ImageType=derived, ImageOrientationPatient=[*CORONAL])
    np.testing.assert_array_equal(volume(read_series(tmp_path)), body())
    np.testing.assert_array_equal(volume(read_series(paths[0])), body((6, 10, 12)))
    write_series(tmp_path / "derived", body(), ImageType=derived)
    np.testing.assert_array_equal(volume(read_series(tmp_path / "derived")), body())


def test_reconstructions_of_two_types_in_one_series_are_told_apart(tmp_path: Path) -> None:
    write_series(tmp_path, body())
    types = ["ORIGINAL", "PRIMARY", "AXIAL", "SHARP"]
    paths = write_series(tmp_path, body((9, 24, 20))[::-1], prefix="sharp", ImageType=types)
    assert refusal(tmp_path)[0] == "several_series"
    np.testing.assert_array_equal(volume(read_series(paths[0])), body()[::-1])


def test_slices_turned_one_against_the_other_are_refused(tmp_path: Path) -> None:
    def edit(index: int, one: Dataset) -> None:
        angle = np.radians(20 * index)
        one.ImageOrientationPatient = [float(np.cos(angle)), float(np.sin(angle)), 0, 0, 0, -1]

    write_series(tmp_path, body((6, 8, 8)), edit=edit)
    assert refusal(tmp_path)[0] == "not_parallel"


def test_slices_in_frames_of_their_own_are_refused(tmp_path: Path) -> None:
    def edit(index: int, one: Dataset) -> None:
        one.FrameOfReferenceUID = f"1.2.7.{index}"

    write_series(tmp_path, body((6, 8, 8)), edit=edit)
    reason, remedy = refusal(tmp_path)
    assert reason == "differing_slices"
    assert "6 frames of reference" in remedy


def test_what_an_export_puts_beside_the_slices_is_set_aside(tmp_path: Path) -> None:
    """A directory of the disc, a dose report as structured report and as a picture, caches of a file browser."""
    write_series(tmp_path, body())
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    directory.FileSetID = "DISC"
    directory.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    (tmp_path / ".DS_Store").write_bytes(b"")
    (tmp_path / "VERSION").write_text("1")
    report = ct_slice(body()[0], position=(0, 0, 0), SOPClassUID=XRayRadiationDoseSRStorage, Modality="SR")
    report.save_as(tmp_path / "report", enforce_file_format=True)
    picture = ct_slice(body()[0], position=(0, 0, 0), SeriesInstanceUID="1.2.10", ImageType=["DERIVED", "SECONDARY"])
    del picture.ImagePositionPatient, picture.RescaleSlope
    picture.save_as(tmp_path / "picture", enforce_file_format=True)
    np.testing.assert_array_equal(volume(read_series(tmp_path)), body())
    assert refusal(tmp_path / "DICOMDIR")[0] == "secondary_image"


def test_folders_without_slices(tmp_path: Path) -> None:
    assert "it has no files" in refusal(tmp_path)[1]
    (tmp_path / "below").mkdir()
    assert "1 folder" in refusal(tmp_path)[1]
    (tmp_path / "notes.txt").write_text("nothing")
    reason, remedy = refusal(tmp_path)
    assert reason == "no_ct_slices"
    assert "none of them DICOM), and files in its 1 folder are not looked at" in remedy


def test_messages_name_no_patient(tmp_path: Path) -> None:
    write_series(tmp_path, body(), PatientName="Doe^Jane", PatientID="4711", SeriesDescription="Doe liver")
    write_series(tmp_path, body((5, 6, 8)), prefix="b", SeriesInstanceUID="1.2.11", PatientName="Doe^Jane")
    remedy = refusal(tmp_path)[1]
    assert not any(word in remedy for word in ("Doe", "4711", "liver", "1.2.9"))


def test_views_are_told_apart_as_one_by_one() -> None:
    """Of directions all over and of some that are near each other, in any order."""
    generator = np.random.default_rng(5)
    turns = np.linalg.qr(generator.normal(size=(60, 3, 3)))[0][:, :2]
    near = turns[:20] + generator.normal(0, 0.05, (20, 2, 3))
    orientations = [tuple(one.ravel().tolist()) for one in np.concatenate([turns, near, turns[:5]])]
    orientations = [orientations[index] for index in generator.permutation(len(orientations))]
    first: list[tuple[float, ...]] = []
    expected = []
    for one in orientations:
        alike = [
            number
            for number, other in enumerate(first)
            if one == other or min(np.dot(one[:3], other[:3]), np.dot(one[3:], other[3:])) > VIEW
        ]
        expected.append(alike[0] if alike else len(first))
        if not alike:
            first.append(one)
    numbers = view_numbers(orientations)
    assert [numbers[one] for one in orientations] == expected
    assert 40 < len(first) < 80
