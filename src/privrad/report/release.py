"""What of an experiment's tables may leave the house: small cells hidden, and all that would give them away.

`fit_to_leave` and `exact` take and give Tables. Every table keeps its columns; a number that is hidden is NaN, with its
interval and its spread. Each count column (images, patients, positives, positive_patients, cases, count) and `value`
gain a text column `<column>_shown`: "" where the number itself is shown, else the text to show in its place.

    exact(tables, few=10) -> Tables                    nothing hidden but the values of groups of too few patients
    fit_to_leave(tables, minimum=10, few=10) -> Tables the same shape; `minimum` 0 is `exact`
    fit_summary(summary, tables) -> dict               summary.json, null where those tables hide the number

What is hidden, why that is enough, and what is not protected: docs/small-cells.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from privrad.report import release_counts
from privrad.report.measurements import Measurements
from privrad.report.release_counts import Counts, Key
from privrad.report.release_masks import Masks, said, with_texts


@dataclass(frozen=True)
class Tables:
    """The tables of one experiment that come from patients: those of the evaluation, and the private cohort's counts.

    `balance` has the columns split, column, value, images, patients; `flow` has step, reason, count: those found,
    refused at ingest, accepted, refused in preparation (step prepare) and prepared.
    """

    measurements: Measurements
    balance: pd.DataFrame
    flow: pd.DataFrame


def exact(tables: Tables, *, few: int) -> Tables:
    """The same tables with text columns, where only values of groups of fewer than `few` patients are hidden."""
    return fit_to_leave(tables, minimum=0, few=few)


def fit_to_leave(tables: Tables, *, minimum: int, few: int) -> Tables:
    """Hide every count from 1 to `minimum` - 1 and what gives it away; of fewer than `few` patients, the values."""
    balance = release_counts.aligned(tables.balance, tables.measurements) if minimum else tables.balance
    counts = release_counts.decide(tables.measurements, balance, tables.flow, minimum=minimum)
    masks = Masks(tables.measurements, counts, minimum=minimum, few=few)
    return Tables(
        measurements=masks.measurements(),
        balance=_counted(balance, counts, minimum=minimum, key=_of_balance).assign(value=tables.balance["value"]),
        flow=_counted(tables.flow, counts, minimum=minimum, key=_of_flow),
    )


def fit_summary(summary: Mapping[str, Any], tables: Tables) -> dict[str, Any]:
    """summary.json as `tables`, what `fit_to_leave` gave, show it: null for each number that is hidden."""
    metrics, fairness = tables.measurements.metrics, tables.measurements.fairness
    means = metrics[(metrics["finding"] == "mean") & (metrics["metric"] == "auroc") & (metrics["group_by"] == "all")]
    held = {(row["arm"], row["seed"]): row for row in means.to_dict("records")}
    worst = fairness[(fairness["finding"] == "mean") & (fairness["group"] == "(worst)")]
    hidden_worst = {
        (row["arm"], row["seed"], row["group_by"]) for row in worst.to_dict("records") if row["value_shown"]
    }
    models = []
    for model in summary["models"]:
        row = held[model["arm"], model["seed"]]
        own = {
            name: None if pd.isna(row[name]) else value for name, value in model["mean_auroc"].items() if name in row
        }
        found = model["worst_group"]
        shown = found and (model["arm"], model["seed"], found["column"]) not in hidden_worst
        models.append({**model, "mean_auroc": own, "worst_group": found if shown else None})
    first = next(iter(held.values()), {})
    totals = {name: None if pd.isna(first.get(name)) else summary[name] for name in ("images", "patients")}
    return {**summary, **totals, "models": models}


def _of_balance(row: Mapping[Any, Any], column: str) -> Key:
    return release_counts.of_balance(row["split"], row["column"], row["value"], column)


def _of_flow(row: Mapping[Any, Any], column: str) -> Key:
    return release_counts.of_flow(row["step"], row["reason"])


def _counted(
    table: pd.DataFrame, counts: Counts, *, minimum: int, key: Callable[[Mapping[Any, Any], str], Key]
) -> pd.DataFrame:
    """A table of counts with their text columns."""
    columns = [column for column in ("images", "patients", "count") if column in table]
    rows = table.to_dict("records")
    texts = {
        column: [said(counts.state(key(row, column), float(row[column])), minimum=minimum) for row in rows]
        for column in columns
    }
    return with_texts(table, texts)
