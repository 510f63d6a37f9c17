"""MIMIC-CXR-JPG: its tables of images, CheXpert labels and splits, and MIMIC-IV's patients where they are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import chexpert, rows, tables

METADATA = "mimic-cxr-2.0.0-metadata.csv.gz"
CHEXPERT = "mimic-cxr-2.0.0-chexpert.csv.gz"
SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
PATIENTS = "patients.csv.gz"
VERSIONS = ("2.1.0", "2.0.0")
RENAMED = {"Lung Opacity": "Airspace Opacity"}


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of the frontal images, PA and AP, of version 2.0.0 or 2.1.0.

    `cohort.labels` names the CheXpert column of each finding, mined from the report's text: 1 is positive; 0, -1
    (uncertain) and blank are not. A study without labels is refused. `columns.test_labels` may name the table of 2.1.0
    in which a radiologist labelled reports: its studies take those labels, and what else is in the test part is left
    out. `patients.csv.gz`, where it lies beside the tables, gives the sex and the age at the study (anchor_age + year
    of the study - anchor_year: both dates are shifted alike); else they are unknown.
    """
    tables.mapped(cohort, defaults={}, required=(), beside=("test_labels",))
    name = _published(root, METADATA)
    metadata = _table(root, name, "dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate")
    patient, study, image = metadata["subject_id"], metadata["study_id"], metadata["dicom_id"]
    parts: dict[str, object] = {
        "image": image,
        "patient": patient,
        "study": study,
        "file": rows.tidy_path("files/p" + patient.str[:2] + "/p" + patient + "/s" + study + "/" + image + ".jpg"),
        "source_split": _splits(root, image),
    }
    if (root / PATIENTS).exists():
        parts |= _people(root, patient, metadata["StudyDate"])
    found = rows.frontal(rows.assemble(parts, table=name), metadata["ViewPosition"], blank=False)
    columns = {finding: cohort.labels[finding] for finding in findings}
    labels = _labels(root, metadata, columns=columns)
    if read_by_hand := cohort.columns.get("test_labels"):
        told = _test_labels(root, read_by_hand, study, columns=columns)
        by_hand = study.isin(told.index)
        found = rows.refuse(found, (found["source_split"] == "test") & ~by_hand, "left_out")
        labels.loc[by_hand] = told.reindex(study[by_hand]).to_numpy()
    return chexpert.labelled(found, labels)


def _published(root: Path, name: str) -> str:
    """The table as it lies there: of the newest version, packed or unpacked; `name` itself where there is none."""
    versions = [name.replace("2.0.0", version) for version in VERSIONS]
    names = [written for packed in versions for written in (packed, packed.removesuffix(".gz"))]
    return next((written for written in names if (root / written).is_file()), name)


def _table(root: Path, name: str, *columns: str) -> pd.DataFrame:
    return tables.read(root, name, columns={column: column for column in columns})


def _splits(root: Path, image: pd.Series) -> pd.Series:
    name = _published(root, SPLIT)
    split = tables.once(_table(root, name, "dicom_id", "split"), by=["dicom_id"], name=name)["split"]
    return image.map(split)


def _people(root: Path, patient: pd.Series, study_date: pd.Series) -> dict[str, object]:
    table = _table(root, PATIENTS, "subject_id", "gender", "anchor_age", "anchor_year")
    people = tables.once(table, by=["subject_id"], name=PATIENTS)
    year, anchor_age, anchor_year = (
        pd.to_numeric(values, errors="coerce")
        for values in (study_date.str[:4], patient.map(people["anchor_age"]), patient.map(people["anchor_year"]))
    )
    return {"age": (anchor_age + year - anchor_year).astype("str"), "sex": patient.map(people["gender"])}


def _labels(root: Path, metadata: pd.DataFrame, *, columns: dict[str, str]) -> pd.DataFrame:
    """The label of each image's study as a number, a column a finding; NaN where there is none or it is unknown."""
    name, keys = _published(root, CHEXPERT), ["subject_id", "study_id"]
    named = {key: key for key in keys} | {f"label:{finding}": column for finding, column in columns.items()}
    table = tables.once(tables.read(root, name, columns=named, hint=" (labels of the cohort)"), by=keys, name=name)
    told = chexpert.numbers(table, findings=columns)
    return told.reindex(pd.MultiIndex.from_frame(metadata[keys])).set_axis(metadata.index)


def _test_labels(root: Path, name: str, study: pd.Series, *, columns: dict[str, str]) -> pd.DataFrame:
    """The labels that a radiologist gave as numbers, indexed by study: the table has no other key."""
    named = {f"label:{finding}": RENAMED.get(column, column) for finding, column in columns.items()}
    table = tables.read(root, name, columns={"study_id": "study_id"} | named, hint=" (labels of the cohort)")
    table = tables.once(table, by=["study_id"], name=name)
    if not table.index.isin(study).any():
        raise tables.CohortError(f"table {name} names no study of this cohort; correct columns.test_labels")
    return chexpert.numbers(table, findings=columns)
