"""RSNA Pneumonia Detection: one row an image however many boxes, and whose image it is by the RSNA's mapping."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from privrad.cohorts import rsna_pneumonia
from privrad.cohorts.tables import CohortError
from tests.cohorts.trees import Outputs, cohort, run_ingest

LABELS = {"pneumonia": "Target", "normal": "Normal"}
BOX = "264.0,152.0,213.0,379.0,1"
NONE = ",,,,0"
OPAQUE, OTHER, NORMAL = rsna_pneumonia.CLASS


def write_rsna(root: Path, boxes: Sequence[tuple[str, str]], classes: Sequence[tuple[str, str]]) -> Path:
    """The two tables as the challenge gives them, and a DICOM file for each image."""
    pictures = root / rsna_pneumonia.PICTURES
    pictures.mkdir(parents=True)
    lines = ["patientId,x,y,width,height,Target", *(f"{image},{box}" for image, box in boxes)]
    (root / rsna_pneumonia.BOXES).write_text("\n".join(lines) + "\n")
    lines = ["patientId,class", *(f"{image},{name}" for image, name in classes)]
    (root / rsna_pneumonia.CLASSES).write_text("\n".join(lines) + "\n")
    for image in {image for image, _ in boxes if image and "/" not in image}:
        picture(image).save_as(pictures / f"{image}.dcm", enforce_file_format=True)
    return root


def picture(image: str) -> FileDataset:
    """A small file as the challenge's: a secondary capture whose PatientID is the image's own."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[image])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    held = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    held.SOPClassUID, held.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    held.PatientID, held.PatientSex, held.PatientAge, held.ViewPosition = image, "F", "058Y", "PA"
    held.Modality, held.PhotometricInterpretation = "CR", "MONOCHROME2"
    held.Rows, held.Columns, held.SamplesPerPixel, held.PixelRepresentation = 8, 8, 1, 0
    held.BitsAllocated, held.BitsStored, held.HighBit = 8, 8, 7
    held.PixelData = np.arange(64, dtype=np.uint8).tobytes()
    return held


def write_mapping(root: Path, names: Mapping[str, str]) -> None:
    entries = [{"subset_img_id": image, "img_id": name, "orig_labels": []} for image, name in names.items()]
    (root / rsna_pneumonia.MAPPING).write_text(json.dumps(entries))


def ingest(root: Path, out: Path, labels: Mapping[str, str] = LABELS) -> Outputs:
    return run_ingest(cohort("rsna_pneumonia", root, labels), out)


def test_an_image_with_several_boxes_is_one_row_and_age_sex_and_view_are_not_looked_up(tmp_path: Path) -> None:
    boxes = [("a1", NONE), ("b2", BOX), ("b2", "562.0,152.0,256.0,453.0,1"), ("c3", NONE)]
    classes = [("a1", OTHER), ("b2", OPAQUE), ("b2", OPAQUE), ("c3", NORMAL)]
    root = write_rsna(tmp_path / "rsna", boxes, classes)
    out = ingest(root, tmp_path / "out")
    assert list(out.images.index) == [f"stage_2_train_images/{image}.dcm" for image in ("a1", "b2", "c3")]
    assert list(out.images["pneumonia"]) == [0, 1, 0]
    assert list(out.images["normal"]) == [0, 0, 1]
    assert list(out.images["source_patient"]) == ["a1", "b2", "c3"]
    assert set(out.images["sex"]) == {"U"}
    assert set(out.images["view"]) == {""}
    assert out.images["age"].isna().all()
    assert out.refused == {}


def test_the_mapping_gives_the_patients_and_studies_of_nih(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    boxes = [("a1", NONE), ("b2", BOX), ("c3", NONE), ("d4", NONE), ("e5", NONE)]
    root = write_rsna(tmp_path / "rsna", boxes, [])
    labels = {"pneumonia": "Target"}
    with caplog.at_level(logging.WARNING, logger="privrad"):
        ingest(root, tmp_path / "without", labels)
        assert "each image counts as a patient, which many are not" in caplog.text
        caplog.clear()
        write_mapping(
            root, {"a1": "00000011_000.png", "b2": "00000011_012.png", "c3": "00030805_000.png", "d4": "x.png"}
        )
        out = ingest(root, tmp_path / "with", labels)
        assert caplog.text == ""
    assert list(out.images["source_patient"]) == ["11", "11", "30805"]
    assert list(out.images["source_study"]) == ["11_0", "11_12", "30805_0"]
    assert out.rejects == [(f"stage_2_train_images/{image}.dcm", "missing_value") for image in ("d4", "e5")]


def test_each_refusal_of_a_challenge_image_has_its_reason(tmp_path: Path) -> None:
    boxes = [("a1", NONE), ("b2", BOX), ("b2", NONE), ("c3", ",,,,2"), ("d4", ",,,,"), ("", NONE)]
    boxes += [("e5", NONE), ("f6", NONE), ("g7", NONE), ("../../h8", NONE), ("i9", NONE)]
    named = {"a1": NORMAL, "b2": OPAQUE, "c3": NORMAL, "d4": NORMAL, "e5": "Abnormal", "g7": "", "../../h8": NORMAL}
    classes = [*named.items(), ("i9", NORMAL), ("i9", OTHER)]
    root = write_rsna(tmp_path / "rsna" / "here", boxes, classes)
    (root.parent / "h8.dcm").touch()
    (root / "stage_2_train_images/a1.dcm").unlink()
    (root / "stage_2_train_images/z9.dcm").touch()
    write = root / rsna_pneumonia.BOXES
    write.write_text(write.read_text() + f"z9,{NONE}\n")
    classed = root / rsna_pneumonia.CLASSES
    classed.write_text(classed.read_text() + f"z9,{NORMAL}\n")
    out = ingest(root, tmp_path / "out")
    assert list(out.images["source_patient"]) == ["z9"]
    assert out.rejects == [
        ("stage_2_train_images/a1.dcm", "missing_file"),
        ("stage_2_train_images/b2.dcm", "unknown_label"),
        ("stage_2_train_images/c3.dcm", "unknown_label"),
        ("stage_2_train_images/d4.dcm", "missing_value"),
        ("stage_2_train_images/.dcm", "missing_value"),
        ("stage_2_train_images/e5.dcm", "unknown_label"),
        ("stage_2_train_images/f6.dcm", "missing_value"),
        ("stage_2_train_images/g7.dcm", "missing_value"),
        ("../h8.dcm", "outside_root"),
        ("stage_2_train_images/i9.dcm", "unknown_label"),
    ]


def test_faults_of_the_whole_challenge_are_named(tmp_path: Path) -> None:
    root = write_rsna(tmp_path / "rsna", [("a1", NONE)], [("a1", NORMAL)])
    with pytest.raises(CohortError, match=r"'Pneumonia' is no label of this cohort; it has Target, Lung Opacity, No"):
        ingest(root, tmp_path / "out", {"pneumonia": "Pneumonia"})
    for text in ("{", '{"a1": "00000001_000.png"}', '[{"img_id": "00000001_000.png"}]', "[" * 100_000, ""):
        (root / rsna_pneumonia.MAPPING).write_text(text)
        with pytest.raises(CohortError, match=r"mappings_2018.json is not the list of entries with subset_img_id"):
            ingest(root, tmp_path / "out")
    (root / rsna_pneumonia.CLASSES).unlink()
    with pytest.raises(CohortError, match=r"table stage_2_detailed_class_info.csv is missing"):
        ingest(root, tmp_path / "out")
    (root / rsna_pneumonia.BOXES).write_text("patientId,x,y\na1,1,1\n")
    with pytest.raises(CohortError, match=r"stage_2_train_labels.csv lacks column Target; it has patientId, x, y"):
        ingest(root, tmp_path / "out")
