"""The COVID-19 image data collection of Cohen et al. (2020): published cases, with their metadata."""

from __future__ import annotations

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
}
UNREAD = ("todo", "unknown")


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of `metadata.csv` (or `columns.table`), one an image; only PA and AP views are frontal.

    `cohort.labels` gives the beginning of the column `finding` for each of ours: COVID-19 holds for "COVID-19, ARDS"
    too. A finding that nobody has read yet ("todo") is refused, as it is no negative. The patient is `split_group`,
    which keeps together people who may be one; whether one has two sexes is asked of each `patientid`.
    """
    name = cohort.columns.get("table", TABLE)
    columns = tables.mapped(cohort, defaults=COLUMNS, required=("file", "patient_id", "finding", "view"))
    optional = {"person", "offset"} - set(cohort.columns)
    table = tables.read(root, name, columns=columns, optional=optional, hint=f" (columns of cohort {cohort.id})")
    file = rows.tidy_path(table["file"])
    parts: dict[str, object] = {"image": file, "patient": table["patient_id"], "file": file}
    if "person" in table:
        person = table["person"].mask(table["person"] == "", table["patient_id"])
        parts["person"] = person
        if "offset" in table:
            parts["study"] = (person + "_" + table["offset"]).mask(table["offset"] == "", file)
    parts |= {column: table[column] for column in ("age", "sex") if column in table}
    found = rows.frontal(rows.assemble(parts, table=name), table["view"], blank=False)
    return _labelled(found, table["finding"], cohort=cohort, findings=findings)


def _labelled(
    found: pd.DataFrame, written: pd.Series, *, cohort: config.Cohort, findings: Sequence[str]
) -> pd.DataFrame:
    found = rows.refuse(found, written == "", "missing_value")
    found = rows.refuse(found, written.str.lower().isin(UNREAD), "unknown_label")
    for finding in findings:
        positive = written.str.startswith(cohort.labels[finding])
        if not positive.any():
            raise tables.CohortError(
                f"cohort {cohort.id}: labels.{finding} = {cohort.labels[finding]!r} begins no value of column finding; "
                f"among its values are {', '.join(written[written != ''].value_counts().index[:20])}"
            )
        found = found.assign(**{finding: positive.astype("int8")})
    return found
