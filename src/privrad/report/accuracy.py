"""The tables of accuracy: by arm, by finding and by group; each from an experiment's account."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from privrad.report import shown, words
from privrad.report.account import Account, Model
from privrad.report.figures import first_seeds
from privrad.report.tables import Cell, Table, by_arm, table

MARK = "*"
NONE = Cell(words.DASH)
HEAD = ("Arm", "Mean AUROC", "Sampling sd", "Pooled sd", "Lost to no privacy", "Lost to matched recipe")


def estimate(row: Mapping[Any, Any] | None) -> Cell:
    """A value over its interval, marked where few images make it uncertain, or why there is none."""
    if row is None:
        return NONE
    value, note = float(row["value"]), str(row.get("note", ""))
    if not math.isfinite(value):
        return Cell(shown.TOO_FEW if note == shown.TOO_FEW else words.UNKNOWN)
    return Cell(
        words.auroc(value) + MARK * (shown.DOUBTFUL in note), words.spread(float(row["low"]), float(row["high"]))
    )


def by_model(account: Account) -> Table:
    """The mean AUROC of each arm and seed, its two spreads, and what it loses against no privacy."""
    means = _of_mean(account.metrics)
    costs = [_of_mean(account.differences[account.differences["reference"] == name]) for name in shown.REFERENCES]
    rows = []
    for model in by_arm(account):
        mine = _of(means, model)
        if mine is None:
            continue
        seed = f", seed {model.seed}" if len(account.experiment.seeds) > 1 else ""
        named = Cell(words.arm(model.arm.name, epsilon=model.arm.epsilon) + seed)
        spreads = [Cell(_plain(mine[name])) for name in ("sd", "pooled_sd")]
        lost = [estimate(_of(cost, model)) for cost in costs]
        rows.append([named, estimate(mine), *spreads, *lost, Cell(words.number(int(mine["degenerate"])))])
    head = (*HEAD, "Redraws not estimable")
    caption, source = "Mean AUROC over findings on the test images", "evaluate/metrics.csv, differences.csv"
    return table(caption, head, rows, source=source)


def by_finding(account: Account) -> Table:
    """The AUROC of each finding at each arm, first seed."""
    metrics = first_seeds(account.metrics)
    chosen = metrics[(metrics["group_by"] == "all") & (metrics["finding"] != "mean")]
    arms = [arm for arm in shown.ordered(account) if arm.name in set(chosen["arm"])]
    rows: list[list[str | Cell]] = []
    for finding, part in chosen.groupby("finding", sort=False):
        held = {str(row["arm"]): row for row in part.to_dict("records")}
        positives = words.count(float(part["positives"].iloc[0]), minimum=_minimum(account))
        rows.append([words.finding(str(finding)), positives, *(estimate(held.get(arm.name)) for arm in arms)])
    head = ["Finding", "Positive images", *(words.column(arm.name, epsilon=arm.epsilon) for arm in arms)]
    return table("AUROC by finding", head, rows, source="evaluate/metrics.csv")


def by_group(account: Account, column: str) -> Table:
    """The mean AUROC of each group of one column at each arm, first seed, under the counts of the groups."""
    metrics = first_seeds(account.metrics)
    chosen = metrics[(metrics["group_by"] == column) & (metrics["finding"] == "mean")]
    groups = {str(row["group"]): row for row in chosen.drop_duplicates("group").to_dict("records")}
    rows: list[list[str | Cell]] = [
        [kind.capitalize(), *words.counts([float(row[kind]) for row in groups.values()], minimum=_minimum(account))]
        for kind in ("patients", "images")
    ]
    for arm in shown.ordered(account):
        held = {str(row["group"]): row for row in chosen[chosen["arm"] == arm.name].to_dict("records")}
        if held:
            rows.append([words.arm(arm.name, epsilon=arm.epsilon), *(estimate(held.get(group)) for group in groups)])
    head = ["Arm", *(words.group(column, group) for group in groups)]
    return table(f"Mean AUROC by {column}", head, rows, source="evaluate/metrics.csv")


def _minimum(account: Account) -> int:
    return shown.minimum_of(account.experiment.cohorts.private, account.experiment)


def _plain(value: float) -> str:
    return words.auroc(float(value)) if math.isfinite(float(value)) else words.DASH


def _of_mean(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["finding"] == "mean") & (rows["group_by"] == "all")]


def _of(rows: pd.DataFrame, model: Model) -> Mapping[Any, Any] | None:
    mine = rows[(rows["arm"] == model.arm.name) & (rows["seed"] == model.seed)]
    return None if mine.empty else mine.to_dict("records")[0]
