"""MIMIC-CXR-JPG: its tables of images, CheXpert labels and splits, and MIMIC-IV's patients where they are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import rows, tables

METADATA = "mimic-cxr-2.0.0-metadata.csv.gz"
CHEXPERT = "mimic-cxr-2.0.0-chexpert.csv.gz"
SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
PATIENTS = "patients.csv.gz"
LABELS = {"1.0": 1, "1": 1, "0.0": 0, "0": 0, "-1.0": 0, "-1": 0, "": 0}


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of the frontal images, PA and AP.

    `cohort.labels` names the CheXpert column of each finding: 1 is positive; 0, -1 (uncertain) and blank are not. A
    study without labels is refused. `patients.csv.gz`, where it lies beside the tables, gives the sex and the age at
    the study (anchor_age + year of the study - anchor_year: both dates are shifted alike); else they are unknown.
    """
    tables.mapped(cohort, defaults={}, required=())
    metadata = _table(root, METADATA, "dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate")
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
    found = rows.frontal(rows.assemble(parts, table=METADATA), metadata["ViewPosition"], blank=False)
    columns = {finding: cohort.labels[finding] for finding in findings}
    return _labelled(found, metadata, root=root, columns=columns)


def _table(root: Path, name: str, *columns: str) -> pd.DataFrame:
    return tables.read(root, name, columns={column: column for column in columns})


def _splits(root: Path, image: pd.Series) -> pd.Series:
    split = tables.once(_table(root, SPLIT, "dicom_id", "split"), by=["dicom_id"], name=SPLIT)["split"]
    return image.map(split)


def _people(root: Path, patient: pd.Series, study_date: pd.Series) -> dict[str, object]:
    table = _table(root, PATIENTS, "subject_id", "gender", "anchor_age", "anchor_year")
    people = tables.once(table, by=["subject_id"], name=PATIENTS)
    year, anchor_age, anchor_year = (
        pd.to_numeric(values, errors="coerce")
        for values in (study_date.str[:4], patient.map(people["anchor_age"]), patient.map(people["anchor_year"]))
    )
    return {"age": (anchor_age + year - anchor_year).astype("str"), "sex": patient.map(people["gender"])}


def _labelled(found: pd.DataFrame, metadata: pd.DataFrame, *, root: Path, columns: dict[str, str]) -> pd.DataFrame:
    keys = ["subject_id", "study_id"]
    named = {key: key for key in keys} | {f"label:{column}": column for column in columns.values()}
    table = tables.read(root, CHEXPERT, columns=named, hint=" (labels of the cohort)")
    told = tables.once(table, by=keys, name=CHEXPERT).apply(lambda words: words.map(LABELS))
    labels = told.reindex(pd.MultiIndex.from_frame(metadata[keys])).set_axis(found.index)
    for finding, column in columns.items():
        found = rows.refuse(found, labels[f"label:{column}"].isna(), "unknown_label")
        found = found.assign(**{finding: labels[f"label:{column}"].fillna(0).astype("int8")})
    return found
