"""Shenzhen and Montgomery: labels from names, sex and age from readings in their published spellings."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from privrad.cohorts.tables import CohortError
from privrad.cohorts.tuberculosis import Reading, parse
from tests.cohorts.trees import Outputs, cohort, run_ingest

LABELS = {"tb": "tuberculosis"}


def write_set(home: Path, readings: Mapping[str, str | None]) -> Path:
    """A picture and a reading for each name; None is a picture without one."""
    for folder in ("CXR_png", "ClinicalReadings"):
        (home / folder).mkdir(parents=True)
    picture = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(picture, format="PNG")
    for name, text in readings.items():
        (home / "CXR_png" / f"{name}.png").write_bytes(picture.getvalue())
        if text is not None:
            (home / "ClinicalReadings" / f"{name}.txt").write_text(text)
    return home


def ingest(layout: str, root: Path, out: Path) -> Outputs:
    return run_ingest(cohort(layout, root, LABELS), out)


@pytest.mark.parametrize(
    ("text", "sex", "age"),
    [
        ("male 45yrs\nnormal", "M", "45Y"),
        ("Female, 28yrs \nbilateral PTB", "F", "28Y"),
        ("femal 32yrs", "F", "32Y"),
        ("female24yrs", "F", "24Y"),
        ("male , 29yrs  \t\r\nPTB", "M", "29Y"),
        ("male 24 month", "M", "24M"),
        ("male 16month", "M", "16M"),
        ("female 64days", "F", "64D"),
        ("male 42", "M", "42"),
        ("male \u0664\u0665yrs", "M", ""),
        ("\ufeff male 5 years", "M", "5Y"),
        ("", "", ""),
        ("she 45 moons", "she", "45M"),
        ("nobody 45suns", "nobody", "45suns"),
        ("Patient's Sex: F \nPatient's Age: 040Y\nnormal", "F", "040Y"),
        ("Patient\u2019s Age: 005Y\nPatient\u2019s Sex: O", "O", "005Y"),
        ("Patient's Sex: \nPatient's Age:", "", ""),
    ],
)
def test_sex_and_age_of_a_reading_however_it_is_written(text: str, sex: str, age: str) -> None:
    assert parse(text.removeprefix("\ufeff")) == Reading(sex, age)


@pytest.mark.parametrize("folder", ["", "ChinaSet_AllFiles"])
def test_shenzhen_labels_are_last_digits_and_every_picture_is_a_patient(tmp_path: Path, folder: str) -> None:
    root = tmp_path / "set"
    readings = {"CHNCXR_0001_0": "male 45yrs\nnormal", "CHNCXR_0115_0": "femal 18 month", "CHNCXR_0327_1": None}
    write_set(root / folder, readings)
    (root / folder / "CXR_png/Thumbs.db").touch()
    (root / folder / "CXR_png/MCUCXR_0001_0.png").touch()
    for name in (b"CHNCXR_0003\xff_0.png", b"CHNCXR_0003\n_0.png"):
        (root / folder / "CXR_png" / os.fsdecode(name)).touch()
    images = ingest("shenzhen", root, tmp_path / "out").images
    assert [Path(file).stem for file in images.index] == list(readings)
    assert list(images["tb"]) == [0, 0, 1]
    assert list(images["source_patient"]) == list(readings)
    assert list(images["sex"]) == ["M", "F", "U"]
    assert images["age"].fillna(-1).tolist() == [45, 1.5, -1]
    assert set(images["view"]) == {"PA"}
    assert set(images["source_split"]) == {""}


def test_montgomery_pictures_of_one_patient_by_their_readings_stay_together(tmp_path: Path) -> None:
    readings = {
        "MCUCXR_0001_0": "Patient's Sex: F\nPatient's Age: 027Y\nnormal",
        "MCUCXR_0161_1": "Patient's Sex: M\nPatient's Age: 049Y\nNO REPORT (same pt as MCUCXR_0162_1)",
        "MCUCXR_0162_1": "Patient's Sex: M\nPatient's Age: 049Y\nInfiltrate",
        "MCUCXR_0200_1": "Patient's Sex: M\nPatient's Age: 050Y\nsame pt as MCUCXR_0201_1",
        "MCUCXR_0201_1": "Patient's Sex: M\nPatient's Age: 050Y\nsame patient as MCUCXR_0200_1",
        "MCUCXR_0202_1": "Patient's Sex: O\nPatient's Age: 005Y\nsame pt as MCUCXR_0201_1",
    }
    root = write_set(tmp_path / "set" / "MontgomerySet", readings).parent
    images = ingest("montgomery", root, tmp_path / "out").images
    assert list(images["tb"]) == [0, 1, 1, 1, 1, 1]
    assert list(images["source_patient"]) == [f"MCUCXR_{name}" for name in ("0001_0", *["0162_1"] * 2, *["0200_1"] * 3)]
    assert list(images["sex"]) == ["F", "M", "M", "M", "M", "U"]
    assert list(images["age"]) == [27, 49, 49, 50, 50, 5]


def test_each_refusal_of_a_tuberculosis_picture_has_its_reason(tmp_path: Path) -> None:
    readings = {
        "CHNCXR_0001_0": "male 45yrs",
        "CHNCXR_0002_0": "alien 45yrs",
        "CHNCXR_0003_0": "male 450yrs",
        "CHNCXR_0004_0": "male 45suns",
        "CHNCXR_0005_0": "male 45yrs\n" + "x" * 10_000_000,
        "CHNCXR_0006_2": "male 45yrs",
        "CHNCXR_0007": "male 45yrs",
        "CHNCXR_0008_0": "male 45yrs",
        "CHNCXR_0009_0": None,
        "CHNCXR_0010_0": None,
        "CHNCXR_0011_0": None,
        "CHNCXR_0012_0": "male 45yrs\nsame pt as CHNCXR_0013_0",
        "CHNCXR_0013_0": "female 45yrs",
    }
    root = write_set(tmp_path / "set", readings)
    (root / "CXR_png/CHNCXR_0008_0.png").unlink()
    (tmp_path / "secret.txt").write_text("female 99yrs")
    (root / "ClinicalReadings/CHNCXR_0009_0.txt").symlink_to(tmp_path / "secret.txt")
    os.mkfifo(root / "ClinicalReadings/CHNCXR_0010_0.txt")
    (root / "CXR_png/CHNCXR_0011_0.png").unlink()
    (root / "CXR_png/CHNCXR_0011_0.png").symlink_to(tmp_path / "secret.txt")
    out = ingest("shenzhen", root, tmp_path / "out")
    assert list(out.images.index) == ["CXR_png/CHNCXR_0001_0.png"]
    assert out.rejects == [
        ("CXR_png/CHNCXR_0002_0.png", "unknown_sex"),
        ("CXR_png/CHNCXR_0003_0.png", "implausible_age"),
        ("CXR_png/CHNCXR_0004_0.png", "implausible_age"),
        ("CXR_png/CHNCXR_0005_0.png", "unreadable_report"),
        ("CXR_png/CHNCXR_0006_2.png", "unknown_label"),
        ("CXR_png/CHNCXR_0007.png", "unknown_label"),
        ("CXR_png/CHNCXR_0008_0.png", "missing_file"),
        ("CXR_png/CHNCXR_0009_0.png", "unreadable_report"),
        ("CXR_png/CHNCXR_0010_0.png", "unreadable_report"),
        ("CXR_png/CHNCXR_0011_0.png", "outside_root"),
        ("CXR_png/CHNCXR_0012_0.png", "patient_with_two_sexes"),
        ("CXR_png/CHNCXR_0013_0.png", "patient_with_two_sexes"),
    ]


def test_a_set_that_is_not_there_or_a_wrong_label_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"has no folder CXR_png with pictures, nor has MontgomerySet in it"):
        ingest("montgomery", tmp_path, tmp_path / "out")
    root = write_set(tmp_path / "set", {"MCUCXR_0001_0": None})
    with pytest.raises(CohortError, match=r"CXR_png has no picture CHNCXR_0001_0.png or the like"):
        ingest("shenzhen", root, tmp_path / "out")
    with pytest.raises(CohortError, match=r"labels.tb = 'TB' is no label of this cohort; it has tuberculosis"):
        run_ingest(cohort("montgomery", root, {"tb": "TB"}), tmp_path / "out")
    with pytest.raises(CohortError, match=r"columns has age; layout montgomery takes table"):
        run_ingest(cohort("montgomery", root, LABELS, {"age": "Age"}), tmp_path / "out")
