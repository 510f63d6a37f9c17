"""The layouts: what each adapter makes of its cohort's own tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from privrad.cohorts import mimic_cxr_jpg
from privrad.cohorts.ingest import ADAPTERS
from privrad.cohorts.tables import CohortError
from privrad.config import Cohort
from tests.cohorts.trees import (
    MIMIC_LABELS,
    UKA_LABELS,
    cohort,
    ingest_uka,
    mimic_row,
    run_ingest,
    uka_row,
    write_mimic,
    write_uka,
)

COVID_COLUMNS = ["file", "split_group", "patientid", "offset", "sex", "age", "finding", "view"]


def test_every_layout_of_the_study_file_has_an_adapter() -> None:
    assert set(ADAPTERS) == set(Cohort.model_fields["layout"].annotation.__args__)  # type: ignore[union-attr]


# UKA-CXR


def test_uka_grades_become_the_papers_two_classes(tmp_path: Path) -> None:
    hearts = {"normal": 0, "uncertain": 0, "borderline": 1, "enlarged": 1, "massively enlarged": 1}
    others = {"negative": 0, "uncertain": 0, "mild": 1, "moderate": 1, "severe": 1}
    table = [
        uka_row(f"{number}.dcm", str(number), heart=heart, congestion=other)
        for number, (heart, other) in enumerate(zip(hearts, others, strict=True))
    ]
    images = ingest_uka(tmp_path, table).images
    assert list(images["cardiomegaly"]) == list(hearts.values())
    assert list(images["congestion"]) == list(others.values())


def test_uka_columns_can_have_other_names_and_some_can_be_absent(tmp_path: Path) -> None:
    row = {"Datei": "1.dcm", "Patient": "7", "Alter": "050Y", "heart": "mild", "congestion": "negative", "Teil": "Val"}
    (tmp_path / "1.dcm").touch()
    pd.DataFrame([row]).to_csv(tmp_path / "bilder.csv", index=False)
    absent = dict.fromkeys(("study_id", "study_date", "sex", "view", "bedside"), "none")
    columns = {
        "table": "bilder.csv",
        "image": "Datei",
        "patient_id": "Patient",
        "age": "Alter",
        "split": "Teil",
    } | absent
    image = run_ingest(cohort("uka_cxr", tmp_path, UKA_LABELS, columns), tmp_path / "out").images.loc["1.dcm"]
    assert (image["source_patient"], image["source_study"], image["age"]) == ("7", "1.dcm", 50)
    assert (image["sex"], image["view"], image["source_split"]) == ("U", "", "validation")
    assert image["bedside"] is pd.NA


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"sexx": "sex"}, "columns has sexx; layout uka_cxr takes age, bedside, image"),
        ({"sex": "gender"}, "lacks column gender; it has image, patient_id.*declared as none"),
        ({"split": "fold"}, "lacks column fold"),
        ({"patient_id": "none"}, "columns.patient_id must name a column"),
    ],
)
def test_a_wrong_column_in_the_study_file_is_named(tmp_path: Path, columns: dict[str, str], told: str) -> None:
    root = write_uka(tmp_path / "uka", [uka_row("1.dcm", "p1")])
    with pytest.raises(CohortError, match=told):
        run_ingest(cohort("uka_cxr", root, UKA_LABELS, columns), tmp_path / "out")


# MIMIC-CXR-JPG


def test_mimic_takes_frontal_images_and_ones_as_positive(tmp_path: Path) -> None:
    table = [
        mimic_row("d1", "10000032", "50414267"),
        mimic_row("d2", "10000032", "50414267", ViewPosition="LATERAL"),
        mimic_row("d3", "11000045", "50000001", ViewPosition="AP", Cardiomegaly="-1.0", split="validate"),
        mimic_row("d4", "11000045", "50000002", ViewPosition="", Cardiomegaly="0.0", split="validate"),
        mimic_row("d5", "12000045", "50000003", Cardiomegaly="0.0", split="test", **{"Pleural Effusion": "1.0"}),
    ]
    root = write_mimic(tmp_path / "mimic", table)
    out = run_ingest(cohort("mimic_cxr_jpg", root, MIMIC_LABELS), tmp_path / "out")
    assert list(out.images.index) == [
        "files/p10/p10000032/s50414267/d1.jpg",
        "files/p11/p11000045/s50000001/d3.jpg",
        "files/p12/p12000045/s50000003/d5.jpg",
    ]
    assert list(out.images["cardiomegaly"]) == [1, 0, 0]
    assert list(out.images["effusion"]) == [0, 0, 1]
    assert list(out.images["source_split"]) == ["train", "validation", "test"]
    assert list(out.images["view"]) == ["PA", "AP", "PA"]
    assert set(out.images["sex"]) == {"U"}
    assert out.images["age"].isna().all()
    assert out.images["bedside"].isna().all()
    assert out.refused == {"not_frontal": 2}
    assert out.rejects == []


def test_mimic_patients_give_sex_and_the_age_at_the_study(tmp_path: Path) -> None:
    table = [mimic_row("d1", "10000032", "50414267", StudyDate="21830506"), mimic_row("d2", "11000045", "50000001")]
    root = write_mimic(tmp_path / "mimic", table)
    people = {"subject_id": ["10000032"], "gender": ["M"], "anchor_age": ["52"], "anchor_year": ["2180"]}
    pd.DataFrame(people).to_csv(root / mimic_cxr_jpg.PATIENTS, index=False)
    images = run_ingest(cohort("mimic_cxr_jpg", root, MIMIC_LABELS), tmp_path / "out").images
    assert list(images["sex"]) == ["M", "U"]
    assert images["age"].iloc[0] == 55
    assert pd.isna(images["age"].iloc[1])


def test_mimic_studies_without_labels_or_with_strange_ones_are_refused(tmp_path: Path) -> None:
    table = [
        mimic_row("d1", "10000032", "50414267"),
        mimic_row("d2", "10000033", "50414268"),
        mimic_row("d3", "10000034", "50414269", Cardiomegaly="2.0"),
    ]
    root = write_mimic(tmp_path / "mimic", table)
    labels = pd.read_csv(root / mimic_cxr_jpg.CHEXPERT, dtype=str)
    labels[labels["subject_id"] != "10000033"].to_csv(root / mimic_cxr_jpg.CHEXPERT, index=False)
    out = run_ingest(cohort("mimic_cxr_jpg", root, MIMIC_LABELS), tmp_path / "out")
    assert len(out.images) == 1
    assert out.refused == {"unknown_label": 2}


def test_mimic_tables_that_contradict_themselves_or_lack_a_label_are_errors(tmp_path: Path) -> None:
    root = write_mimic(tmp_path / "mimic", [mimic_row("d1", "10000032", "50414267")])
    with pytest.raises(CohortError, match=r"chexpert.csv.gz lacks column Cardiomegly; it has subject_id"):
        run_ingest(cohort("mimic_cxr_jpg", root, {"cardiomegaly": "Cardiomegly"}), tmp_path / "out")
    labels = pd.read_csv(root / mimic_cxr_jpg.CHEXPERT, dtype=str)
    pd.concat([labels, labels]).to_csv(root / mimic_cxr_jpg.CHEXPERT, index=False)
    with pytest.raises(CohortError, match="1 rows that repeat subject_id and study_id"):
        run_ingest(cohort("mimic_cxr_jpg", root, MIMIC_LABELS), tmp_path / "out")
    (root / mimic_cxr_jpg.SPLIT).unlink()
    with pytest.raises(CohortError, match=r"split.csv.gz is missing"):
        run_ingest(cohort("mimic_cxr_jpg", root, MIMIC_LABELS), tmp_path / "out")


def test_mimic_ids_cannot_climb_out_of_the_cohort(tmp_path: Path) -> None:
    table = [mimic_row("d1", "10000032", "50414267"), mimic_row("../../../../../../d2", "10000033", "50414268")]
    root = write_mimic(tmp_path / "mimic", table)
    out = run_ingest(cohort("mimic_cxr_jpg", root, MIMIC_LABELS), tmp_path / "out")
    assert out.rejects == [("../../d2.jpg", "outside_root")]


# NIH ChestX-ray14


def nih_row(image: str, labels: str, **changes: str) -> dict[str, str]:
    row = {
        "Image Index": image,
        "Finding Labels": labels,
        "Follow-up #": "1",
        "Patient ID": image.split("_")[0],
        "Patient Age": "058Y",
        "Patient Gender": "M",
        "View Position": "PA",
    }
    return row | changes


def test_nih_labels_are_whole_names_and_images_are_found_by_name(tmp_path: Path) -> None:
    table = [
        nih_row("1_0.png", "Pneumonia|Edema"),
        nih_row("2_0.png", "No Finding"),
        nih_row("3_0.png", "Pleural_Thickening"),
        nih_row("4_0.png", "Pneumonitis"),
        nih_row("5_0.png", "Edema|No Finding"),
        nih_row("6_0.png", "Edema"),
        nih_row("7_0.png", ""),
    ]
    text = pd.DataFrame(table).to_csv(index=False).splitlines()
    header = text[0] + ",OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    lines = [line + ",2682,2749,0.143,0.143," for line in text[1:]]
    (tmp_path / "Data_Entry_2017.csv").write_text("\n".join([header, *lines]) + "\n")
    for folder, names in (("images_001/images", "12"), ("images_012/images", "345")):
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / f"{name}_0.png").touch()
    out = run_ingest(cohort("nih_cxr14", tmp_path, {"pneumonia": "Pneumonia", "edema": "Edema"}), tmp_path / "out")
    assert list(out.images.index) == [
        "images_001/images/1_0.png",
        "images_001/images/2_0.png",
        "images_012/images/3_0.png",
    ]
    assert list(out.images["pneumonia"]) == [1, 0, 0]
    assert list(out.images["edema"]) == [1, 0, 0]
    assert list(out.images["source_study"]) == ["1_1", "2_1", "3_1"]
    assert out.rejects == [
        ("images_012/images/4_0.png", "unknown_label"),
        ("images_012/images/5_0.png", "unknown_label"),
        ("images/6_0.png", "missing_file"),
        ("images/7_0.png", "missing_value"),
    ]


def test_nih_table_with_a_file_column_and_its_errors(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.png").touch()
    pd.DataFrame([nih_row("1_0.png", "Edema", file="pictures/a.png")]).to_csv(tmp_path / "metadata.csv", index=False)
    out = run_ingest(cohort("nih_cxr14", tmp_path, {"edema": "Edema"}), tmp_path / "out")
    assert list(out.images.index) == ["pictures/a.png"]
    with pytest.raises(CohortError, match=r"labels.edema = 'Oedema' is no finding of this cohort; it has Atelectasis"):
        run_ingest(cohort("nih_cxr14", tmp_path, {"edema": "Oedema"}), tmp_path / "out")
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(CohortError, match=r"table Data_Entry_2017.csv is missing"):
        run_ingest(cohort("nih_cxr14", tmp_path, {"edema": "Edema"}), tmp_path / "out")
    for name in ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv"):
        (tmp_path / name).touch()
    with pytest.raises(CohortError, match=r"has 2 tables .*name one in columns.table"):
        run_ingest(cohort("nih_cxr14", tmp_path, {"edema": "Edema"}), tmp_path / "out")


# The COVID-19 collection


def write_covid(root: Path, lines: Sequence[tuple[str, ...]]) -> Path:
    table = pd.DataFrame(lines, columns=COVID_COLUMNS)
    table.to_csv(root / "metadata.csv", index=False)
    for file in table["file"]:
        (root / file).touch()
    return root


def test_covid_patients_are_groups_and_sex_is_asked_of_people(tmp_path: Path) -> None:
    lines = [
        ("1.png", "9", "7", "0", "M", "50+", "COVID-19", "PA"),
        ("2.png", "9", "8", "", "F", "", "COVID-19, ARDS", "AP Supine"),
        ("3.png", "10", "10", "3", "", "27", "ARDS", "AP"),
        ("4.png", "11", "11", "3", "F", "27", "ARDS", "L"),
        ("5.png", "12", "12", "3", "F", "27", "todo", "PA"),
        ("6.png", "13", "13", "3", "F", "27", "", "PA"),
        ("7.png", "14", "14", "3", "F", "27", "ARDS", "PA"),
        ("8.png", "14", "14", "3", "M", "27", "ARDS", "PA"),
    ]
    out = run_ingest(cohort("covid_cxr", write_covid(tmp_path, lines), {"covid_19": "COVID-19"}), tmp_path / "out")
    assert list(out.images.index) == ["1.png", "2.png", "3.png"]
    assert list(out.images["source_patient"]) == ["9", "9", "10"]
    assert list(out.images["source_study"]) == ["7_0", "2.png", "10_3"]
    assert list(out.images["covid_19"]) == [1, 1, 0]
    assert list(out.images["sex"]) == ["M", "F", "U"]
    assert list(out.images["view"]) == ["PA", "AP", "AP"]
    assert out.images["age"].iloc[0] == 50
    assert pd.isna(out.images["age"].iloc[1])
    assert out.refused == {"missing_value": 1, "not_frontal": 1, "patient_with_two_sexes": 2, "unknown_label": 1}


def test_a_covid_label_that_begins_no_finding_is_an_error(tmp_path: Path) -> None:
    root = write_covid(tmp_path, [("1.png", "9", "7", "0", "M", "50", "COVID-19", "PA")])
    with pytest.raises(CohortError, match="'covid' begins no value of column finding; among its values are COVID-19"):
        run_ingest(cohort("covid_cxr", root, {"covid_19": "covid"}), tmp_path / "out")
