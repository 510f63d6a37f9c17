"""PANORAMA: contrast-enhanced CT with and without pancreatic ductal adenocarcinoma, as its authors publish it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import rows, tables

TABLE = "clinical_information.csv"
COLUMNS = {
    "patient_id": "PANORAMA_patient_id",
    "study_id": "PANORAMA_study_id",
    "age": "patient_age",
    "sex": "patient_sex",
    "label": "label",
    "level": "level",
}
REQUIRED = ("patient_id", "study_id", "label")
LABELS = ("PDAC", "non-PDAC")
ENDING = "_0000.nii.gz"


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of `clinical_information.csv` (or `columns.table`), one a scan.

    `cohort.labels` gives the label that each of ours stands for, PDAC or non-PDAC. The scan of a study is
    `<study>_0000.nii.gz` in the root, in `images`, in `batch_*` or in `batch_*/images`. `columns.left_out` names
    values of the column `level`, separated by commas, whose scans are not taken: MSD_dataset and NIH_dataset are
    other collections, without age and sex.
    """
    for finding in findings:
        if cohort.labels[finding] not in LABELS:
            raise tables.CohortError(
                f"cohort {cohort.id}: labels.{finding} = {cohort.labels[finding]!r} is no label of this cohort; "
                f"it has {' and '.join(LABELS)}"
            )
    name = cohort.columns.get("table", TABLE)
    columns = tables.mapped(cohort, defaults=COLUMNS, required=REQUIRED, beside=("left_out",))
    _not_a_workbook(root, name)
    table = tables.read(root, name, columns=columns, hint=f" (columns of cohort {cohort.id})")
    study = table["study_id"]
    parts: dict[str, object] = {
        "image": study,
        "patient": table["patient_id"],
        "study": study,
        "file": rows.tidy_path(_found(study, root=root)),
    }
    parts |= {column: table[column] for column in ("age", "sex") if column in table}
    found = rows.assemble(parts, table=name)
    found = rows.refuse(found, _left_out(table, cohort=cohort), "left_out")
    found = rows.refuse(found, table["label"] == "", "missing_value")
    found = rows.refuse(found, ~table["label"].isin(LABELS), "unknown_label")
    positive = {finding: table["label"] == cohort.labels[finding] for finding in findings}
    return found.assign(**{finding: held.astype("int8") for finding, held in positive.items()})


def _not_a_workbook(root: Path, name: str) -> None:
    """CohortError where the table lies there as the spreadsheet that it is published as."""
    workbook = Path(name).with_suffix(".xlsx")
    if not (root / name).is_file() and (root / workbook).is_file():
        raise tables.CohortError(
            f"table {name} is missing in {root}, and {workbook} is a spreadsheet; save its sheet beside it as "
            f"comma-separated UTF-8 text under the name {name}"
        )


def _found(study: pd.Series, *, root: Path) -> pd.Series:
    """Where the scan of each study lies; one that is nowhere is expected in `images`."""
    folders = [root, root / "images", *sorted(root.glob("batch_*")), *sorted(root.glob("batch_*/images"))]
    places: dict[str, str] = {}
    for folder in folders:
        if folder.is_dir():
            for entry in folder.iterdir():
                places.setdefault(entry.name, entry.relative_to(root).as_posix())
    names = study + ENDING
    return names.map(lambda name: places.get(name, f"images/{name}")).astype("str").mask(study == "", "")


def _left_out(table: pd.DataFrame, *, cohort: config.Cohort) -> pd.Series:
    """Which rows come from a source that `columns.left_out` names; CohortError for one that the table does not have."""
    named = [part.strip() for part in cohort.columns.get("left_out", "").split(",") if part.strip()]
    there = table["level"] if "level" in table else pd.Series("", index=table.index, dtype="str")
    unknown = [value for value in named if value not in set(there)]
    if unknown:
        values = ", ".join(sorted(set(there) - {""})) or "nothing"
        raise tables.CohortError(
            f"cohort {cohort.id}: columns.left_out names {', '.join(unknown)}, which column level does not hold; "
            f"it holds {values}"
        )
    return there.isin(named)
