"""PadChest: its table and folders as they are published, with small pictures, and its lists of labels."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privrad.cohorts import padchest
from privrad.cohorts.tables import CohortError
from tests.cohorts.trees import Outputs, cohort, run_ingest

LABELS = {"pneumonia": "pneumonia", "collapse": "atelectasis | Laminar atelectasis"}
PNG = cv2.imencode(".png", np.zeros((8, 8), np.uint16))[1].tobytes()
EVERY = {"Labels": "['pneumonia', 'atelectasis', 'laminar atelectasis']"}


def row(image: str, **changes: str) -> dict[str, str]:
    known = {
        "ImageID": image,
        "ImageDir": "0",
        "StudyDate_DICOM": "20140915",
        "StudyID": f"study of {image}",
        "PatientID": f"patient of {image}",
        "PatientBirth": "1930.0",
        "PatientSex_DICOM": "F",
        "ViewPosition_DICOM": "POSTEROANTERIOR",
        "Projection": "PA",
        "MethodProjection": "Manual review of DICOM fields",
        "Pediatric": "No",
        "MethodLabel": "Physician",
        "Labels": "['normal']",
        "Report": "sin hallazg patolog signific .",
    }
    return known | changes


def write(root: Path, lines: Sequence[Mapping[str, str]], *, absent: Sequence[str] = ()) -> Path:
    """The table with its unnamed first column, and a picture in the folder that each row names."""
    root.mkdir(parents=True, exist_ok=True)
    (root / f"{padchest.TABLE}.gz").write_bytes(gzip.compress(pd.DataFrame(lines).to_csv().encode()))
    for line in lines:
        if line["ImageID"] not in ("", *absent):
            place = root / line["ImageDir"] / line["ImageID"]
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(PNG)
    return root


def ingest(tmp_path: Path, lines: Sequence[Mapping[str, str]], *, absent: Sequence[str] = ()) -> Outputs:
    return run_ingest(cohort("padchest", write(tmp_path / "pad", lines, absent=absent), LABELS), tmp_path / "out")


def test_images_labels_ages_and_sexes(tmp_path: Path) -> None:
    lines = [
        row("a.png", Labels="['pneumonia', ' laminar atelectasis']", PatientSex_DICOM="M"),
        row("b.png", ImageDir="54", Labels="['Atelectasis', '', 'unchanged']", Projection="AP", PatientBirth=""),
        row("c.png", Labels='["atypical pneumonia"]', Projection="AP_horizontal", PatientSex_DICOM="O"),
        row("d.png", Projection="L", PatientID="patient of a.png", PatientSex_DICOM="M"),
        row("e.png", Projection="COSTAL"),
        row("f.png", Projection="EXCLUDE"),
    ]
    out = ingest(tmp_path, lines)
    images = out.images
    assert list(images.index) == ["0/a.png", "0/c.png", "54/b.png"]
    assert list(images["pneumonia"]) == [1, 0, 0]
    assert list(images["collapse"]) == [1, 0, 1]
    assert list(images["view"]) == ["PA", "AP", "AP"]
    assert list(images["sex"]) == ["M", "U", "F"]
    assert list(images["age"])[:2] == [84, 84]
    assert pd.isna(images["age"].iloc[2])
    assert images["source_patient"].iloc[0] == "patient of a.png"
    assert images["source_study"].iloc[0] == "study of a.png"
    assert set(images["source_split"]) == {""}
    assert out.refused == {"not_frontal": 3}


def test_each_fault_of_a_row_has_its_reason(tmp_path: Path) -> None:
    lines = [
        row("00.png", **EVERY),
        row("00.png"),
        row("01.png", Labels=""),
        row("02.png", Labels="[]"),
        row("03.png", Labels="['']"),
        row("04.png", Labels="nan"),
        row("05.png", Labels="normal"),
        row("06.png", PatientID=""),
        row("07.png", PatientSex_DICOM="F", PatientID="p"),
        row("08.png", PatientSex_DICOM="M", PatientID="p"),
        row("09.png", PatientBirth="2015"),
        row("10.png", PatientBirth="1193.0"),
        row("11.png", PatientSex_DICOM="X"),
        row("12.png"),
        row("", ImageDir="0"),
        row("13.png", Labels="['exclude']"),
        row("14.png", Labels="['pneumonia', ' suboptimal study']"),
        row("15.png", Labels="['unchanged']"),
    ]
    out = ingest(tmp_path, lines, absent=["12.png"])
    assert list(out.images.index) == ["0/00.png"]
    assert out.refused["left_out"] == 3
    assert [reason for _, reason in out.rejects] == [
        "duplicate_image",
        *["missing_value"] * 4,
        "unknown_label",
        "missing_value",
        *["patient_with_two_sexes"] * 2,
        *["implausible_age"] * 2,
        "unknown_sex",
        "missing_file",
        "missing_value",
    ]


def test_names_cannot_climb_out_of_the_cohort(tmp_path: Path) -> None:
    lines = [row("a.png", **EVERY), row("b.png", ImageDir="../.."), row("/etc/hosts", ImageDir="")]
    out = ingest(tmp_path, lines, absent=["b.png", "/etc/hosts"])
    assert out.rejects == [("../../b.png", "outside_root"), (out.rejects[1][0], "missing_value")]
    climbing = row("../../c.png")
    again = ingest(tmp_path / "again", [lines[0], climbing], absent=["../../c.png"])
    assert again.rejects == [("../c.png", "outside_root")]


@pytest.mark.parametrize("folder", ["images-224", "images", "images/0"])
def test_pictures_may_lie_all_together(tmp_path: Path, folder: str) -> None:
    root = write(tmp_path / "pad", [row("a.png", **EVERY), row("b.png")], absent=["a.png", "b.png"])
    for name in ("a.png", "b.png"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).write_bytes(PNG)
    out = run_ingest(cohort("padchest", root, LABELS), tmp_path / "out")
    assert list(out.images.index) == [f"{folder}/a.png", f"{folder}/b.png"]


def test_a_table_of_another_name_may_lack_what_is_not_needed(tmp_path: Path) -> None:
    root = write(tmp_path / "pad", [row("a.png", **EVERY)])
    table = pd.DataFrame([row("a.png", **EVERY)]).drop(columns=["StudyID", "PatientBirth", "PatientSex_DICOM"])
    table.to_csv(root / "part.csv", index=False)
    absent = dict.fromkeys(("study_id", "birth", "sex"), "none")
    chosen = cohort("padchest", root, LABELS, {"table": "part.csv"} | absent)
    image = run_ingest(chosen, tmp_path / "out").images.loc["0/a.png"]
    assert (image["source_study"], image["sex"]) == ("a.png", "U")
    assert pd.isna(image["age"])


def test_a_fault_of_the_whole_table_is_told(tmp_path: Path) -> None:
    root = write(tmp_path / "pad", [row("a.png", **EVERY)])
    with pytest.raises(
        CohortError, match=r"labels.tb names 'tbc', which no image has; among the labels are atelectasis"
    ):
        run_ingest(cohort("padchest", root, {"tb": "pneumonia|tbc"}), tmp_path / "out")
    whole = pd.DataFrame([row("a.png", **EVERY)])
    plain = root / padchest.TABLE
    whole.drop(columns="Projection").to_csv(plain, index=False)
    with pytest.raises(CohortError, match=r"160K_01.02.19.csv lacks column Projection; it has ImageID"):
        run_ingest(cohort("padchest", root, LABELS), tmp_path / "out")
    plain.write_bytes(whole.assign(Report="tórax").to_csv(index=False).encode("latin-1"))
    with pytest.raises(CohortError, match=r"160K_01.02.19.csv is not UTF-8 text"):
        run_ingest(cohort("padchest", root, LABELS), tmp_path / "out")
    with pytest.raises(CohortError, match=r"columns.labels must name a column"):
        run_ingest(cohort("padchest", root, LABELS, {"labels": "none"}), tmp_path / "out")


# Lists in text form


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="'\"\\", exclude_categories=["Cc"]))))
def test_a_list_as_python_writes_it_is_read_back(labels: list[str]) -> None:
    assert padchest.listed(repr(labels)) == frozenset(label.strip().lower() for label in labels) - {""}


@pytest.mark.parametrize(
    "text",
    [
        "normal",
        "['normal'",
        "'normal']",
        "['a' 'b']",
        "['a',,'b']",
        "['a', b]",
        "[['a']]",
        "['a'] + ['b']",
        "[__import__('os').system('true')]",
        "['a\\'b']",
        "[" * 5000,
        repr(["pneumonia"] * 1000),
        "['" + "a" * 3000,
    ],
)
def test_what_is_no_plain_list_is_not_read(text: str) -> None:
    assert padchest.listed(text) is None
