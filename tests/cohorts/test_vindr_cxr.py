"""VinDr-CXR: its folders and tables as they are published, with small DICOM files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from privrad.cohorts import vindr_cxr
from privrad.cohorts.tables import CohortError
from tests.cohorts.trees import Outputs, cohort, run_ingest

LABELS = {"tb": "Tuberculosis", "other": "Other diseases"}
TEST = [{"image_id": "t1", "Tuberculosis": "1", "Other disease": "0", "No finding": "0"}]


def dicom() -> bytes:
    image = pydicom.Dataset()
    image.SOPClassUID, image.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
    image.Rows = image.Columns = 4
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 0
    image.PatientSex, image.PatientAge = "F", "041Y"
    image.PixelData = np.zeros((4, 4), np.uint16).tobytes()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


DICOM = dicom()


def read(image: str, reader: str, tb: str = "0", other: str = "0") -> dict[str, str]:
    return {"image_id": image, "rad_id": reader, "Tuberculosis": tb, "Other diseases": other, "No finding": "0"}


def three(image: str, tb: str = "000", other: str = "000") -> list[dict[str, str]]:
    return [read(image, f"R{number}", *words) for number, words in enumerate(zip(tb, other, strict=True), start=8)]


def write(
    root: Path, train: Sequence[Mapping[str, str]], test: Sequence[Mapping[str, str]] = TEST, *, absent: str = ""
) -> Path:
    for split, lines in (("train", train), ("test", test)):
        (root / split).mkdir(parents=True, exist_ok=True)
        (root / "annotations").mkdir(exist_ok=True)
        pd.DataFrame(lines).to_csv(root / vindr_cxr.TABLES[split], index=False)
        for image in {line["image_id"] for line in lines} - {"", absent}:
            if "/" not in image:
                (root / split / f"{image}.dicom").write_bytes(DICOM)
    return root


def ingest(tmp_path: Path, train: Sequence[Mapping[str, str]], *, absent: str = "") -> Outputs:
    return run_ingest(cohort("vindr_cxr", write(tmp_path / "vindr", train, absent=absent), LABELS), tmp_path / "out")


def test_two_of_three_readers_make_a_label_and_the_consensus_is_taken_as_it_is(tmp_path: Path) -> None:
    votes = {"a": "000", "b": "010", "c": "101", "d": "111"}
    lines = [line for image, words in votes.items() for line in three(image, tb=words, other=votes["d"])]
    out = ingest(tmp_path, [*lines[1::2], *lines[0::2]])
    images = out.images
    assert list(images.index) == ["test/t1.dicom", *[f"train/{image}.dicom" for image in votes]]
    assert list(images["tb"]) == [1, 0, 0, 1, 1]
    assert list(images["other"]) == [0, 1, 1, 1, 1]
    assert list(images["source_split"]) == ["test", *["train"] * 4]
    assert set(images["view"]) == {"PA"}
    assert out.refused == {}


def test_each_image_is_a_patient_of_its_own_whose_sex_and_age_are_unknown(tmp_path: Path) -> None:
    images = ingest(tmp_path, three("a")).images
    assert list(images["source_patient"]) == ["t1", "a"]
    assert images["patient_id"].nunique() == 2
    assert set(images["sex"]) == {"U"}
    assert images["age"].isna().all()


def test_each_fault_of_an_image_has_its_reason(tmp_path: Path) -> None:
    even = three("even", tb="100")[:2]
    odd = [*three("word", tb="1?1"), *three("blank")[:2], read("blank", "R10", tb="")]
    others = [*three("absent"), *three("../climbing/x"), *three("t1"), read("", "R1"), read("", "R1")]
    out = ingest(tmp_path, [*three("a"), *even, *odd, *others], absent="absent")
    assert list(out.images.index) == ["train/a.dicom", "train/t1.dicom"]
    assert [reason for _, reason in out.rejects] == [
        "unknown_label",
        "unknown_label",
        "missing_value",
        "missing_file",
        "missing_file",
        "missing_value",
        "missing_value",
        "duplicate_image",
    ]
    up = ingest(tmp_path / "up", [*three("a"), *three("../../x")])
    assert up.rejects == [("../x.dicom", "outside_root")]


@pytest.mark.parametrize("asked", ["Other diseases", "Other disease"])
def test_both_spellings_of_the_last_diagnosis_are_one(tmp_path: Path, asked: str) -> None:
    root = write(tmp_path / "vindr", three("a", other="110"), [TEST[0] | {"Other disease": "1.0"}])
    images = run_ingest(cohort("vindr_cxr", root, {"other": asked}), tmp_path / "out").images
    assert list(images["other"]) == [1, 1]


def test_a_fault_of_a_whole_table_is_told(tmp_path: Path) -> None:
    root = write(tmp_path / "vindr", three("a"))
    with pytest.raises(CohortError, match=r"image_labels_train.csv lacks column COPD; it has image_id, rad_id"):
        run_ingest(cohort("vindr_cxr", root, {"copd": "COPD"}), tmp_path / "out")
    write(root, three("a"), [{"image_id": "t1", "Tuberculosis": "1"}])
    with pytest.raises(CohortError, match=r"image_labels_test.csv lacks column Other diseases or Other disease"):
        run_ingest(cohort("vindr_cxr", root, LABELS), tmp_path / "out")
    write(root, [*three("a"), read("a", "R8")])
    with pytest.raises(CohortError, match="1 rows that repeat image_id and rad_id"):
        run_ingest(cohort("vindr_cxr", root, LABELS), tmp_path / "out")
    (root / vindr_cxr.TABLES["train"]).write_bytes("image_id,rad_id,é".encode("latin-1"))
    with pytest.raises(CohortError, match=r"image_labels_train.csv is not UTF-8 text"):
        run_ingest(cohort("vindr_cxr", root, LABELS), tmp_path / "out")
    (root / vindr_cxr.TABLES["train"]).unlink()
    with pytest.raises(CohortError, match=r"table annotations/image_labels_train.csv is missing"):
        run_ingest(cohort("vindr_cxr", root, LABELS), tmp_path / "out")
