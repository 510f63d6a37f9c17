"""AIforCOVID: prognoses of several releases, pictures found by name, and codes of sex that nobody explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest

from privrad.cohorts.tables import CohortError
from tests.cohorts.trees import Outputs, cohort, run_ingest

LABELS = {"severe": "SEVERE"}


def line(image: str, prognosis: str, **changes: str) -> dict[str, str]:
    row = {"Row_number": "1", "ImageFile": image, "Hospital": "A", "Age": "64", "Sex": "0", "Temp_C": "37.5"}
    return row | {"Prognosis": prognosis, "Death": ""} | changes


def write(root: Path, table: str, rows: Sequence[Mapping[str, str]], pictures: Sequence[str]) -> Path:
    root.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(root / table, index=False)
    for picture in pictures:
        (root / picture).parent.mkdir(parents=True, exist_ok=True)
        (root / picture).touch()
    return root


def ingest(
    root: Path, out: Path, columns: Mapping[str, str] | None = None, labels: Mapping[str, str] = LABELS
) -> Outputs:
    return run_ingest(cohort("aiforcovid", root, labels, columns), out)


def test_the_releases_of_the_archive_are_one_cohort(tmp_path: Path) -> None:
    root = tmp_path / "covid"
    write(root, "AIforCOVID.csv", [line("P_1_1", "SEVERE", Sex="1"), line("P_1_2", "mild")], ["imgs/P_1_1.dcm"])
    write(root, "AIforCOVID_r2.csv", [line("P_2_1", "MILD", Age="57.0", Sex="1.0")], ["imgs_r2/P_2_1.dcm"])
    write(root, "AIforCOVID_r3.csv", [line("P_3_1", "SEVERE", Age="")], ["imgs_r3/P_3_1.DCM", "imgs/P_1_2.dcm"])
    write(root, "trainClinData.csv", [line("P_9_9.png", "MILD")], ["imgs/P_1_1.tiff"])
    out = ingest(root, tmp_path / "out", labels={"severe": "SEVERE", "mild": "MILD"})
    assert list(out.images.index) == ["imgs/P_1_1.dcm", "imgs/P_1_2.dcm", "imgs_r2/P_2_1.dcm", "imgs_r3/P_3_1.DCM"]
    assert list(out.images["severe"]) == [1, 0, 0, 1]
    assert list(out.images["mild"]) == [0, 1, 1, 0]
    assert list(out.images["source_patient"]) == ["P_1_1", "P_1_2", "P_2_1", "P_3_1"]
    assert out.images["age"].fillna(-1).tolist() == [64, 64, 57, -1]
    assert set(out.images["sex"]) == {"U"}
    assert set(out.images["source_split"]) == {""}
    told = ingest(root, tmp_path / "told", {"female": "1"}).images
    assert list(told["sex"]) == ["F", "M", "F", "M"]
    assert list(ingest(root, tmp_path / "other", {"female": "0"}).images["sex"]) == ["M", "F", "M", "F"]


def test_the_sets_of_the_hackathon_give_the_split(tmp_path: Path) -> None:
    root = tmp_path / "covid"
    write(root, "trainClinData.csv", [line("P_1.png", "SEVERE")], ["TrainSet/TrainSet/P_1.png"])
    write(root, "testClinData.csv", [line("P_2.png", "MILD", Sex="F")], ["TestSet/P_2.png"])
    images = ingest(root, tmp_path / "out").images
    assert images["source_split"].to_dict() == {"TestSet/P_2.png": "test", "TrainSet/TrainSet/P_1.png": "train"}
    assert list(images["sex"]) == ["F", "U"]


def test_each_refusal_of_an_admission_has_its_reason(tmp_path: Path) -> None:
    rows = [
        line("P_1", "SEVERE"),
        line("P_1.dcm", "MILD"),
        line("P_2", "MODERATE"),
        line("P_3", ""),
        line("", "MILD"),
        line("P_4", "MILD"),
        line("../P_5", "MILD"),
        line("P_6", "MILD", Age="141"),
        line("P_7", "MILD", Sex="2"),
    ]
    pictures = [f"imgs/P_{number}.dcm" for number in (1, 2, 3, 6, 7)]
    root = write(tmp_path / "covid", "AIforCOVID.csv", rows, pictures)
    out = ingest(root, tmp_path / "out", {"female": "1"})
    assert list(out.images.index) == ["imgs/P_1.dcm"]
    assert out.rejects == [
        ("imgs/P_1.dcm", "duplicate_image"),
        ("imgs/P_2.dcm", "unknown_label"),
        ("imgs/P_3.dcm", "missing_value"),
        ("AIforCOVID.csv line 6", "missing_value"),
        ("imgs/P_4", "missing_file"),
        ("P_5", "missing_file"),
        ("imgs/P_6.dcm", "implausible_age"),
        ("imgs/P_7.dcm", "unknown_sex"),
    ]


def test_faults_of_the_whole_archive_are_named(tmp_path: Path) -> None:
    (tmp_path / "AIforCOVID.xlsx").touch()
    with pytest.raises(CohortError, match=r"has neither AIforCOVID.csv nor .*; there is AIforCOVID.xlsx. Save each"):
        ingest(tmp_path, tmp_path / "out")
    write(tmp_path, "AIforCOVID.csv", [line("P_1", "MILD")], ["imgs/P_1.dcm"])
    with pytest.raises(CohortError, match=r"'severe' is no label of this cohort; it has SEVERE and MILD"):
        ingest(tmp_path, tmp_path / "out", labels={"severe": "severe"})
    with pytest.raises(CohortError, match=r"columns.female = 'F'; write 0 or 1"):
        ingest(tmp_path, tmp_path / "out", {"female": "F"})
    (tmp_path / "mine.csv").write_bytes("ImageFile,Prognosis,Age,Sex\nP_1,MILD,64,m\xe4nnlich\n".encode("latin-1"))
    with pytest.raises(CohortError, match=r"table mine.csv is not UTF-8 text"):
        ingest(tmp_path, tmp_path / "out", {"table": "mine.csv"})
    write(tmp_path, "mine.csv", [{"ImageFile": "P_1", "Prognosis": "MILD"}], [])
    with pytest.raises(CohortError, match=r"table mine.csv lacks column Age, Sex; it has ImageFile, Prognosis"):
        ingest(tmp_path, tmp_path / "out", {"table": "mine.csv"})
    images = ingest(tmp_path, tmp_path / "out", {"table": "mine.csv", "age": "none", "sex": "none"}).images
    assert list(images.index) == ["imgs/P_1.dcm"]
