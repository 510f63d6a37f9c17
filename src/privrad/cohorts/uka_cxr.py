"""UKA-CXR, and any cohort with one table of images, patients and graded findings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import rows, tables

TABLE = "uka_cxr.csv"
COLUMNS = ("image", "patient_id", "study_id", "study_date", "age", "sex", "view", "bedside", "split")
REQUIRED = ("image", "patient_id")
OPTIONAL = ("study_date", "split")
GRADES = {
    "normal": 0,
    "negative": 0,
    "uncertain": 0,
    "mild": 1,
    "borderline": 1,
    "moderate": 1,
    "enlarged": 1,
    "severe": 1,
    "massively enlarged": 1,
}


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of `uka_cxr.csv` (or `columns.table`), one an image.

    `cohort.labels` names the column of each finding, which holds one of five grades: normal or negative, and
    uncertain, are 0; mild or borderline, moderate or enlarged, severe or massively enlarged are 1 (Tayebi Arasteh et
    al. 2024, Methods). `cohort.columns` maps our column names to the table's. A blank view is taken as unknown.
    """
    name = cohort.columns.get("table", TABLE)
    columns = tables.mapped(cohort, defaults={column: column for column in COLUMNS}, required=REQUIRED)
    graded = {f"label:{finding}": cohort.labels[finding] for finding in findings}
    table = tables.read(
        root,
        name,
        columns=columns | graded,
        optional=set(OPTIONAL) - set(cohort.columns),
        hint=f" (columns and labels of cohort {cohort.id}); a column that the cohort lacks is declared as none",
    )
    file = rows.tidy_path(table["image"])
    parts: dict[str, object] = {"image": file, "patient": table["patient_id"], "file": file}
    renamed = {"study_id": "study", "age": "age", "sex": "sex", "bedside": "bedside", "split": "source_split"}
    parts |= {ours: table[column] for column, ours in renamed.items() if column in table}
    found = rows.assemble(parts, table=name)
    if "view" in table:
        found = rows.frontal(found, table["view"], blank=True)
    return rows.labelled(found, table[list(graded)].set_axis(list(findings), axis=1), values=GRADES)
