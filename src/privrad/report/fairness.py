"""The tables of fairness: by group, gaps between groups of one arm, and the groups served worst."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from markupsafe import Markup

from privrad.report import modality, number, words
from privrad.report.account import Account
from privrad.report.shown import (
    WORST,
    Facts,
    averaged,
    confidence,
    estimate,
    first_seeds,
    group_in,
    groupings,
    interval,
    mean_auroc,
    measured,
    named,
)
from privrad.report.tables import Cell, Given, Table, Text, arm, arms, table

RANGE = "(range)"
GAPS = {
    "accuracy_difference": "Accuracy (“statistical parity difference”)",
    "sensitivity_difference": "Sensitivity",
    "fpr_difference": "False-positive rate",
    "selection_rate_difference": "Selection rate",
    "underdiagnosis_difference": "Underdiagnosis",
    "calibration_difference": "Calibration error",
    "auroc_difference": "AUROC",
}
MOST_FLAGGED = 30


def by_group(account: Account, column: str) -> Table:
    """The mean AUROC of each group of one column at each arm, first seed, beside the size of the group."""
    metrics = first_seeds(account.measured.metrics)
    chosen = metrics[(metrics["group_by"] == column) & (metrics["finding"] == "mean") & (metrics["metric"] == "auroc")]
    rows: list[list[Given]] = []
    for group in dict.fromkeys(chosen["group"]):
        held = {str(row["arm"]): row for row in chosen[chosen["group"] == group].to_dict("records")}
        one = next(iter(held.values()))
        counts = [
            measured(account, "metrics.csv", one, kind, form="count", missing=words.WITHHELD)
            for kind in ("patients", "images")
        ]
        cells = [estimate(account, "metrics.csv", held.get(name)) for name in arms(account)]
        rows.append([named(one), *counts, *cells])
    units = modality.of(account.experiment).units.capitalize()
    head: list[Given] = ["Group", "Patients", units, *(arm(account, name, short=True) for name in arms(account))]
    auroc = mean_auroc(account)
    caption = f"{auroc[:1].upper()}{auroc[1:]} by {words.grouping(column)}"
    return table(number.said(caption), head, rows, source=f"{account.evaluate}/metrics.csv")


def worst(account: Account) -> Table:
    """The AUROC of the group served worst in each column, at each arm."""
    held = _of_mean(account)
    held = held[(held["group"] == WORST) & (held["metric"] == "auroc")]
    columns = [column for column in groupings(account.measured.metrics) if column in set(held["group_by"])]
    rows: list[list[Given]] = []
    for name in arms(account):
        mine = {row["group_by"]: row for row in held[held["arm"] == name].to_dict("records")}
        cells = [_worst(account, mine.get(column)) for column in columns]
        rows.append([arm(account, name), *cells])
    head = ["Arm", *(number.said(words.grouping(column).capitalize()) for column in columns)]
    auroc = mean_auroc(account)
    caption = f"{auroc[:1].upper()}{auroc[1:]} of the group served worst, by what groups are made of"
    return table(caption, head, rows if columns else [], source=f"{account.evaluate}/fairness.csv")


def _worst(account: Account, row: Facts | None) -> Cell:
    """The AUROC of a worst group over the group's name, which the row's note has, and the interval."""
    cell = estimate(account, "fairness.csv", row)
    name = group_in(row) if row else ""
    if not cell.under or not name or row is None:
        return cell
    group = number.said(words.group(str(row["group_by"]), name))
    return replace(cell, under=(group, Markup("<br>"), *cell.under))


def widest(account: Account) -> Table:
    """The largest difference between groups of each column, in accuracy and in sensitivity, at each arm."""
    held = _of_mean(account)
    held = held[(held["group"] == RANGE) & held["metric"].isin(("accuracy_range", "sensitivity_range"))]
    columns = [column for column in groupings(account.measured.metrics) if column in set(held["group_by"])]
    wanted = [(column, metric) for column in columns for metric in ("accuracy_range", "sensitivity_range")]
    rows: list[list[Given]] = []
    for name in arms(account):
        mine = {(row["group_by"], row["metric"]): row for row in held[held["arm"] == name].to_dict("records")}
        rows.append([arm(account, name), *(estimate(account, "fairness.csv", mine.get(key)) for key in wanted)])
    said = [f"{words.grouping(column).capitalize()}: {metric.removesuffix('_range')}" for column, metric in wanted]
    caption = "Largest less smallest value among groups" + ", mean over findings" * averaged(account)
    source = f"{account.evaluate}/fairness.csv"
    return table(caption, ["Arm", *map(number.said, said)], rows if wanted else [], source=source)


def of_arm(account: Account, name: str) -> Table:
    """How far each group is from the others of its column, at one arm: means over findings, simultaneous intervals."""
    held = _of_mean(account)
    held = held[(held["arm"] == name) & ~held["group"].isin((WORST, RANGE, *words.UNNAMED))]
    found = {(row["group_by"], row["group"], row["metric"]): row for row in held.to_dict("records")}
    present = [metric for metric in GAPS if metric in set(held["metric"])]
    rows: list[list[Given]] = []
    for column, group in dict.fromkeys((row[0], row[1]) for row in found):
        label = number.said(_labelled(column, group))
        cells = [_gap(account, found.get((column, group, metric))) for metric in present]
        rows.append([label, *cells])
    over = ", mean over findings" * averaged(account)
    head: Text = (*arm(account, name), f": each group less the others{over}, simultaneous ")
    caption: Text = (*head, confidence(account), " intervals")
    return table(caption, ["Group", *(GAPS[metric] for metric in present)], rows, source=_source(account))


def flagged(account: Account, name: str) -> Table:
    """The largest flagged differences of single findings at one arm."""
    held = first_seeds(account.measured.fairness)
    held = held[(held["arm"] == name) & (held["finding"] != "mean") & (held["flagged"].astype(str) == "True")]
    held = held[held["value"].notna() & ~held["group"].isin((WORST, RANGE, *words.UNNAMED))]
    order = held["value"].abs().sort_values(ascending=False, kind="stable").index[:MOST_FLAGGED]
    rows: list[list[Given]] = []
    for row in held.loc[order].to_dict("records"):
        finding = "Any finding" if row["finding"] == "any" else number.said(words.finding(str(row["finding"])))
        group = number.said(_labelled(str(row["group_by"]), str(row["group"])))
        metric = GAPS.get(str(row["metric"]), words.finding(str(row["metric"])))
        rows.append([finding, group, metric, _gap(account, row)])
    caption: Text = (*arm(account, name), ": flagged differences of single findings, the largest first")
    return table(caption, ("Finding", "Group", "What differs", "Difference"), rows, source=_source(account))


def _gap(account: Account, row: Facts | None) -> Cell:
    """A difference over its simultaneous interval, in bold and with a dagger where it is flagged."""
    if row is None or words.absent(row["value"]):
        return estimate(account, "fairness.csv", row, form="signed")
    value = measured(account, "fairness.csv", row, "value", form="signed")
    beyond = str(row["flagged"]) == "True"
    names = ("simultaneous_low", "simultaneous_high")
    if any(words.absent(row[bound]) for bound in names):
        return Cell((value,), ("no interval",))
    bounds = interval(account, "fairness.csv", row, form="signed", names=names)
    return Cell((value, *("†",) * beyond), bounds, marked=beyond)


def _labelled(column: str, group: str) -> str:
    """A group in words, after what it is a group of where the words alone do not say it."""
    said = words.group(column, group)
    return f"{words.grouping(column)}: {said}" if said == group or column in ("sex", "age") else said


def _of_mean(account: Account) -> pd.DataFrame:
    held = first_seeds(account.measured.fairness)
    several = "mean" in set(held["finding"])
    return held[held["finding"] == ("mean" if several else account.experiment.findings[0])]


def _source(account: Account) -> str:
    return f"{account.evaluate}/fairness.csv"
