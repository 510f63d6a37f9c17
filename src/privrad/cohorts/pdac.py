"""PDAC, and any cohort with one table of CT scans, patients and findings that are there or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import rows, tables

TABLE = "pdac.csv"
COLUMNS = ("scan", "patient_id", "study_id", "study_date", "age", "sex", "scanner", "phase", "split")
REQUIRED = ("scan", "patient_id")
OPTIONAL = ("study_date", "scanner", "phase", "split")
PRESENT = dict.fromkeys(("yes", "1", "true", "positive"), 1) | dict.fromkeys(("no", "0", "false", "negative"), 0)


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of `pdac.csv` (or `columns.table`), one a CT scan.

    `scan` names a NIfTI file, a folder of DICOM slices, or one DICOM file, which stands for its series among those in
    its folder; a file in a folder that is itself a scan of the table is a duplicate. `cohort.labels` names the column
    of each finding: yes, 1, true or positive, or no, 0, false or negative. `cohort.columns` maps our column names to
    the table's.
    """
    name = cohort.columns.get("table", TABLE)
    columns = tables.mapped(cohort, defaults={column: column for column in COLUMNS}, required=REQUIRED)
    told = {f"label:{finding}": cohort.labels[finding] for finding in findings}
    table = tables.read(
        root,
        name,
        columns=columns | told,
        optional=set(OPTIONAL) - set(cohort.columns),
        hint=f" (columns and labels of cohort {cohort.id}); a column that the cohort lacks is declared as none",
    )
    file = rows.tidy_path(table["scan"])
    parts: dict[str, object] = {"image": file, "patient": table["patient_id"], "file": file}
    renamed = {"study_id": "study", "age": "age", "sex": "sex", "split": "source_split"}
    parts |= {ours: table[column] for column, ours in renamed.items() if column in table}
    found = rows.assemble(parts, table=name)
    found = rows.refuse(found, file.str.rpartition("/")[0].isin(set(file) - {""}), "duplicate_image")
    return rows.labelled(found, table[list(told)].set_axis(list(findings), axis=1), values=PRESENT)
