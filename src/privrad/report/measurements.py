"""What an evaluation measured: the tables of its folder, read as they are or with small cells hidden."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pandas as pd
from pandas.api.types import infer_dtype

_CELL = ("finding", "group_by", "group")
_COUNTS = ("images", "patients", "positives", "positive_patients")
_TESTED = ("p_noninferior", "noninferior")
COLUMNS: dict[str, tuple[str, ...]] = {
    "metrics": (
        *("arm", "epsilon", "seed", *_CELL, "metric", "rule"),
        *("value", "low", "high", "sd", "pooled_sd", "method", "degenerate", *_COUNTS, "note"),
    ),
    "differences": (
        *("arm", "reference", "epsilon", "seed", *_CELL, "metric"),
        *("value", "low", "high", "method", "degenerate", "note"),
    ),
    "fairness": (
        *("arm", "epsilon", "seed", *_CELL, "metric", "rule", "value", "low", "high"),
        *("simultaneous_low", "simultaneous_high", "p_simultaneous", "flagged", "images", "patients", "note"),
    ),
    "significance": (
        *("arm", "reference", "epsilon", "reference_epsilon", "seed", "finding", "value", "low", "high"),
        *("p_bootstrap", "p_bootstrap_holm", "delong_z", "p_delong", "p_delong_holm", "p_hanley_mcneil"),
        *("margin", *_TESTED, "p_equivalent", "equivalent", "note"),
    ),
    "thresholds": (
        *("arm", "seed", "finding", "rule", "threshold", "sensitivity", "specificity", "images", "positives", "note"),
    ),
    "validation": (
        *("arm", "reference", "epsilon", "seed", "images", "patients"),
        *("value", "low", "high", "margin", "noninferior", "note"),
    ),
    "curves": ("arm", "epsilon", "seed", "finding", "curve", "x", "y", "low", "high"),
    "reliability": (
        *("arm", "epsilon", "seed", "finding", "bin", "from", "upto"),
        *("mean_score", "observed", "low", "high", "images", "positives"),
    ),
    "scores": ("arm", "epsilon", "seed", "finding", "label", "bin", "from", "upto", "images"),
    "correlations": ("statistic", "arm", "value", "low", "high", "n", "about"),
    "correlation_points": ("finding", "arm", "auroc", "reference_auroc", "drop", "cases"),
    "seeds": ("arm", "epsilon", "finding", "metric", "trainings", "mean", "sd", "sampling_sd", "note"),
}
TEXT = frozenset(
    ("arm", "reference", "finding", "group_by", "group", "metric", "rule", "method", "note", "curve", "statistic")
) | {"about"}


SETTINGS = frozenset(("epsilon", "reference_epsilon", "margin", "x", "from", "upto"))


class MeasurementsError(ValueError):
    """An evaluation's folder that cannot be read; the message names the file and what to do."""


@dataclass(frozen=True)
class Measurements:
    """The tables of one experiment's evaluation, a field a file; `COLUMNS` lists what each holds.

    Texts are never missing (an empty one is ""); a number that was not estimable, or is hidden, is NaN.
    """

    metrics: pd.DataFrame
    differences: pd.DataFrame
    fairness: pd.DataFrame
    significance: pd.DataFrame
    thresholds: pd.DataFrame
    validation: pd.DataFrame
    curves: pd.DataFrame
    reliability: pd.DataFrame
    scores: pd.DataFrame
    correlations: pd.DataFrame
    correlation_points: pd.DataFrame
    seeds: pd.DataFrame

    def only(self, arms: Collection[str]) -> Measurements:
        """The same tables with the rows of these arms alone."""
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: table[table["arm"].isin(list(arms))] for name, table in held.items()})


def read(folder: Path) -> Measurements:
    """Read the tables of an evaluation's `folder`.

    Raises MeasurementsError when a file is missing, is not a table, lacks a column, or has text in one of numbers.
    """
    return Measurements(**{name: _table(folder / f"{name}.csv", columns=held) for name, held in COLUMNS.items()})


def _table(path: Path, *, columns: tuple[str, ...]) -> pd.DataFrame:
    again = "make it again with `snakemake`, which runs the evaluation first"
    if not path.is_file():
        raise MeasurementsError(f"{path} is missing; {again}")
    texts: dict[str, type[str]] = {column: str for column in columns if column in TEXT}
    try:
        table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    except (ValueError, UnicodeDecodeError) as error:
        raise MeasurementsError(f"{path} is not a table that can be read ({error}); delete it and {again}") from None
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise MeasurementsError(f"{path} has no column {', '.join(missing)}; delete it and {again}")
    wrong = [column for column in columns if column not in texts and infer_dtype(table[column]) == "string"]
    if wrong:
        raise MeasurementsError(f"{path} has text in column {', '.join(wrong)}; delete it and {again}")
    return table.assign(**{column: table[column].fillna("").astype(str) for column in texts})
