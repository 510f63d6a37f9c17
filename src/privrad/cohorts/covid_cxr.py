"""The COVID-19 image data collection of Cohen et al. (2020): published cases, with their metadata."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import rows, tables

TABLE = "metadata.csv"
COLUMNS = {
    "file": "file",
    "patient_id": "split_group",
    "person": "patientid",
    "offset": "offset",
    "finding": "finding",
    "age": "age",
    "sex": "sex",
    "view": "view",
    "folder": "folder",
    "filename": "filename",
}
UNREAD = ("todo", "unknown")


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of `metadata.csv` (or `columns.table`), one an image; only PA and AP views are frontal.

    `cohort.labels` gives the beginning of a finding for each of ours. The column `finding` holds one or several, with
    commas or slashes between them: COVID-19 holds for "COVID-19, ARDS" and for "Pneumonia/Viral/COVID-19". A finding
    that nobody has read yet ("todo") is refused, as it is no negative. The published table gives the image as `folder`
    and `filename`, and the patient as `patientid`. Where it has been given a column `file`, or `split_group`, which
    keeps together people who may be one, these are used instead; whether one has two sexes is asked of each
    `patientid`.
    """
    name = cohort.columns.get("table", TABLE)
    columns = tables.mapped(cohort, defaults=COLUMNS, required=("finding", "view"))
    optional = {"file", "patient_id", "person", "offset", "folder", "filename"} - set(cohort.columns)
    table = tables.read(root, name, columns=columns, optional=optional, hint=f" (columns of cohort {cohort.id})")
    file = _file(table, name)
    patient = _patient(table, name)
    parts: dict[str, object] = {"image": file, "patient": patient, "file": file}
    if "person" in table:
        person = table["person"].mask(table["person"] == "", patient)
        parts["person"] = person
        if "offset" in table:
            parts["study"] = (person + "_" + table["offset"]).mask(table["offset"] == "", file)
    parts |= {column: table[column] for column in ("age", "sex") if column in table}
    found = rows.frontal(rows.assemble(parts, table=name), table["view"], blank=False)
    return _labelled(found, table["finding"], cohort=cohort, findings=findings)


def _file(table: pd.DataFrame, name: str) -> pd.Series:
    if "file" in table:
        return rows.tidy_path(table["file"])
    if "folder" not in table or "filename" not in table:
        raise tables.CohortError(f"table {name} has neither a column file nor both folder and filename; add them")
    return rows.tidy_path((table["folder"] + "/" + table["filename"]).mask(table["filename"] == "", ""))


def _patient(table: pd.DataFrame, name: str) -> pd.Series:
    for column in ("patient_id", "person"):
        if column in table:
            return table[column]
    raise tables.CohortError(f"table {name} has neither column split_group nor patientid; add the one or the other")


def _labelled(
    found: pd.DataFrame, written: pd.Series, *, cohort: config.Cohort, findings: Sequence[str]
) -> pd.DataFrame:
    found = rows.refuse(found, written == "", "missing_value")
    found = rows.refuse(found, written.str.lower().isin(UNREAD), "unknown_label")
    for finding in findings:
        begins = re.escape(cohort.labels[finding])
        positive = written.str.contains(rf"(?:^|[,/])\s*{begins}", regex=True)
        if not positive.any():
            raise tables.CohortError(
                f"cohort {cohort.id}: labels.{finding} = {cohort.labels[finding]!r} begins no value of column finding; "
                f"among its values are {', '.join(written[written != ''].value_counts().index[:20])}"
            )
        found = found.assign(**{finding: positive.astype("int8")})
    return found
