"""The few numbers that the summary of an experiment is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from privrad import config
from privrad.report import number, tables, words
from privrad.report.account import Account, Model
from privrad.report.number import Number, Piece
from privrad.report.tables import Cell, Text

DOUBTFUL = "uncertain"
WORST, OF_FINDINGS = "(worst)", "findings"
REFERENCES = ("eps-inf", "eps-inf-matched")
Protection = Literal["protected", "seeded", "unprotected", "untrained"]
Facts = Mapping[Any, Any]


@dataclass(frozen=True)
class Line:
    """One arm in the summary, by rows of the tables: its mean AUROC, what it loses, and the group it serves worst.

    `cost` is the loss against no privacy, `matched` that against the same training without clipping and noise.
    """

    arm: config.Arm
    name: Text
    mean: Facts | None
    cost: Facts | None
    matched: Facts | None
    worst: Facts | None

    @property
    def value(self) -> float:
        """The mean AUROC, NaN where there is none."""
        return float(self.mean["value"]) if self.mean else math.nan

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval of the mean AUROC."""
        return (float(self.mean["low"]), float(self.mean["high"])) if self.mean else (math.nan, math.nan)


def groupings(metrics: pd.DataFrame) -> list[str]:
    """The columns that test images are grouped by, but for those unknown of every image."""
    columns = [str(column) for column in dict.fromkeys(metrics["group_by"]) if column != "all"]
    groups = {column: set(metrics.loc[metrics["group_by"] == column, "group"]) for column in columns}
    return [column for column in columns if not groups[column] <= words.UNNAMED]


def first_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first seed of each arm."""
    return rows[rows["seed"] == rows.groupby("arm")["seed"].transform("min")]


def protection(model: Model) -> Protection:
    """What a model's certificate amounts to."""
    if model.arm.recipe == "none":
        return "untrained"
    if model.arm.recipe != "private":
        return "unprotected"
    return "protected" if model.certificate.get("epsilon") is not None else "seeded"


def averaged(account: Account) -> bool:
    """Whether there are several findings; the mean over one is its own number, and is not called a mean."""
    return len(account.experiment.findings) > 1


def mean_auroc(account: Account) -> str:
    """What the AUROC over all findings is called inside a sentence: "mean AUROC", of a single finding "AUROC"."""
    return "mean AUROC" if averaged(account) else "AUROC"


def over_trainings(account: Account, name: str) -> Facts | None:
    """The row of seeds.csv of an arm's AUROC over all findings; None where it had one training."""
    rows = account.measured.seeds
    rows = rows[(rows["arm"] == name) & (rows["finding"] == "mean") & (rows["metric"] == "auroc")]
    return first(rows[rows["trainings"] > 1])


def first(rows: pd.DataFrame) -> Facts | None:
    """The first of some rows of a table, if there is one."""
    return None if rows.empty else dict(rows.iloc[0])


def lines(account: Account) -> list[Line]:
    """The summary's lines, in the order of the arms, from the first seed of each."""
    metrics = first_seeds(account.measured.metrics)
    means = metrics[(metrics["finding"] == "mean") & (metrics["metric"] == "auroc")]
    differences = first_seeds(account.measured.differences)
    costs = differences[(differences["finding"] == "mean") & (differences["group_by"] == "all")]
    fairness = first_seeds(account.measured.fairness)
    worst = fairness[(fairness["finding"] == "mean") & (fairness["group"] == WORST) & (fairness["metric"] == "auroc")]
    return [
        _line(account, arm, *(rows[rows["arm"] == arm] for rows in (means, costs, worst)))
        for arm in tables.arms(account)
    ]


def _line(account: Account, arm: str, means: pd.DataFrame, costs: pd.DataFrame, worst: pd.DataFrame) -> Line:
    worst = worst[worst["value"].notna() & (worst["group_by"] != OF_FINDINGS)].sort_values("value", kind="stable")
    named_worst = [(row["group_by"], group_in(row)) for row in worst.head(1).to_dict("records")]
    groups = means[[pair in named_worst for pair in zip(means["group_by"], means["group"], strict=True)]]
    cost, matched = (first(costs[costs["reference"] == reference]) for reference in REFERENCES)
    overall = first(means[means["group_by"] == "all"])
    return Line(account.experiment.arms[arm], tables.arm(account, arm), overall, cost, matched, first(groups))


def estimate(account: Account, table: str, row: Facts | None, *, form: str = "auroc") -> Cell:
    """A value over its interval, marked where few images make it uncertain, or why there is none."""
    if row is None:
        return Cell((words.DASH,))
    value = measured(account, table, row, "value", form=form, missing=words.UNKNOWN)
    if words.absent(row["value"]):
        return Cell((value,))
    mark: Text = ("*",) if DOUBTFUL in str(row.get("note", "")) else ()
    return Cell((value, *mark), interval(account, table, row, form=form))


def interval(
    account: Account, table: str, row: Facts, *, form: str = "auroc", names: tuple[str, str] = ("low", "high")
) -> Text:
    """The bounds of a number, "0.812 to 0.846"."""
    if any(words.absent(row[name]) for name in names):
        return ("no interval",)
    low, high = (measured(account, table, row, name, form=form) for name in names)
    return (low, " to ", high)


def measured(
    account: Account, table: str, row: Facts, column: str, *, form: str = "auroc", missing: str = words.DASH
) -> Number:
    """A number of one of the evaluation's tables."""
    return number.of_table(account.evaluate, table, row, column, form=form, kind=account.tested, missing=missing)


def of_arm(chosen: Sequence[Line], name: str) -> Line | None:
    """The line of one arm, where there is one that could be estimated."""
    return next((line for line in chosen if line.arm.name == name and math.isfinite(line.value)), None)


def confidence(account: Account) -> Number:
    """The confidence of the intervals, as percent."""
    value = account.experiment.evaluation.confidence
    return tables.setting(account.name, ("evaluation", "confidence"), value, form="percent")


def group_in(row: Facts) -> str:
    """The group that a row of a worst group speaks of, which its note names."""
    return str(row["note"]).split("; ")[0].removeprefix("group ")


def named(row: Facts) -> Piece:
    """The group of a row, in words."""
    return number.said(words.group(str(row["group_by"]), str(row["group"])))
