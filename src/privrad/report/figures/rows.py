"""Which rows of the tables a figure draws, and how they are handed on as CSV."""

from __future__ import annotations

import pandas as pd

from privrad.report.measurements import Measurements

SHOWN = "_shown"
WHOLE = ("seed", "images", "patients", "positives", "positive_patients", "degenerate", "cases")


def several(tables: Measurements) -> bool:
    """Whether more than one finding was measured; the mean over one is its own number, and is not called a mean."""
    findings = tables.metrics["finding"]
    return bool(findings[~findings.isin(("mean", "any"))].nunique() > 1)


def of_metric(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of a metric at the cut-off that groups share: Youden's from validation, or else from the test images."""
    mine = table[table["metric"] == metric]
    rule = next((rule for rule in ("youden", "youden_test") if (mine["rule"] == rule).any()), "")
    return mine[mine["rule"] == rule]


def handed_on(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each text of a `<column>_shown` in place of the number that it stands for; counts are whole."""
    given = table.copy()
    for column in [name for name in WHOLE if name in table and table[name].dtype.kind == "f"]:
        given[column] = given[column].astype("Int64")
    for column in [name for name in table.columns if name.endswith(SHOWN)]:
        said = given.pop(column).fillna("").astype(str)
        of = column.removesuffix(SHOWN)
        if of in given:
            given[of] = given[of].astype(object).where(said == "", said)
    return given
