"""Table 1 and supplementary Tables 2 to 8 of the paper, from the study's own numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from privrad.report import words
from privrad.report.figures import axis, grid
from privrad.report.figures.averages import MEASURES
from privrad.report.figures.rows import SHOWN, of_metric, several
from privrad.report.figures.style import NARROW
from privrad.report.measurements import Measurements

COUNTS = ("patients", "images")
KEYS = ("quantity", "finding", "arm", "epsilon", "seed", "group_by", "group")
NUMBERS = ("value", "low", "high", "sd", "pooled_sd", "training_sd", "note")
TRAININGS = "auroc_over_trainings"
SAID = {"auroc": "AUROC", TRAININGS: "AUROC, mean over trainings", "accuracy_difference": "Accuracy difference"}
Row = Mapping[str, Any]


def of_groups(tables: Measurements) -> pd.DataFrame:
    """Table 1, a row a number: counts of the test images, AUROC and accuracy difference, by sex and by age.

    `quantity` is patients, images, cases (images with the finding), auroc, auroc_over_trainings (its mean, where an arm
    has several) or accuracy_difference (the paper's "statistical parity difference"). sd is the sampling spread of the
    mean; pooled_sd, over findings and redraws, is the paper's sigma of the radiographs, training_sd that of CT.
    """
    metrics = axis.first_seeds(tables.metrics)
    metrics = metrics[(metrics["metric"] == "auroc") & metrics["group_by"].isin(("all", "sex", "age"))]
    means = metrics[metrics["finding"] == "mean"]
    once = means.drop_duplicates(["group_by", "group"])
    cases = metrics[metrics["finding"] != "mean"].drop_duplicates(["group_by", "group", "finding"])
    gaps = axis.first_seeds(tables.fairness)
    gaps = gaps[(gaps["finding"] == "mean") & gaps["group_by"].isin(("sex", "age"))]
    parts = [_counted(once, count, quantity=count) for count in COUNTS]
    parts += [_counted(cases, "positives", quantity="cases"), means.assign(quantity="auroc"), _trained(tables.metrics)]
    parts += [of_metric(gaps, "accuracy_difference").assign(quantity="accuracy_difference")]
    kept = [*KEYS, *NUMBERS, f"value{SHOWN}"]
    return pd.concat([part.reindex(columns=kept) for part in parts if len(part)] or [pd.DataFrame(columns=kept)])


def _counted(table: pd.DataFrame, count: str, *, quantity: str) -> pd.DataFrame:
    """Counts as values, of no arm; a hidden one keeps what is said in its place."""
    said = table.get(f"{count}{SHOWN}", "")
    blank: dict[str, Any] = {"quantity": quantity, "arm": "", "epsilon": math.nan, "note": ""}
    held = table[["finding", "group_by", "group"]].assign(**blank)
    return held.assign(value=table[count].astype(float), **{f"value{SHOWN}": said})


def _trained(metrics: pd.DataFrame) -> pd.DataFrame:
    """The AUROC of the arms of several trainings, averaged over these; hidden where that of a single one is."""
    means = metrics[(metrics["metric"] == "auroc") & (metrics["finding"] == "mean")]
    means = means[means["group_by"].isin(("all", "sex", "age"))]
    shown = means.get(f"value{SHOWN}", pd.Series("", index=means.index)).fillna("")
    rows = []
    for (arm, epsilon, by, group), own in means.groupby(["arm", "epsilon", "group_by", "group"], sort=False):
        if len(own) > 1:
            said = next(filter(None, shown[own.index]), "")
            spread = {"value": own["value"].mean(skipna=False), "training_sd": own["value"].std(skipna=False)}
            held = {"quantity": TRAININGS, "finding": "mean", "arm": arm, "epsilon": epsilon, "group_by": by}
            rows.append(held | {"group": group, "note": "", f"value{SHOWN}": said} | spread)
    return pd.DataFrame(rows)


def draw_groups(tables: Measurements, *, width: float, units: str = "images") -> Figure | None:
    """Table 1: a column a group, side by side as far as the width allows; None when nothing was measured.

    `units` is what its images are called, such as scans.
    """
    table = of_groups(tables)
    if table.empty:
        return None
    groups = list(table[["group_by", "group"]].drop_duplicates().itertuples(index=False, name=None))
    most = 8 if width > NARROW else 3
    parts = [groups[start : start + most] for start in range(0, len(groups), most)]
    even = math.ceil(len(groups) / len(parts))
    parts = [groups[start : start + even] for start in range(0, len(groups), even)]
    averaged = several(tables)
    return grid.draw([_groups_block(table, part, averaged=averaged, units=units) for part in parts], width=width)


def _groups_block(table: pd.DataFrame, groups: Sequence[tuple[str, str]], *, averaged: bool, units: str) -> grid.Block:
    held = {(row["quantity"], row["finding"], row["arm"], row["group_by"], row["group"]): row for row in _dicts(table)}
    arms = {str(row["arm"]): float(row["epsilon"]) for row in _dicts(table[table["arm"] != ""])}
    findings = list(dict.fromkeys(table.loc[table["quantity"] == "cases", "finding"]))

    def line(name: str, quantity: str, finding: str = "mean", arm: str = "") -> list[grid.Cell]:
        cells = (held.get((quantity, finding, arm, *group)) for group in groups)
        return [name, *(_cell(cell, averaged=averaged) for cell in cells)]

    called = {"patients": "Patients", "images": units.capitalize()}
    rows: list[list[grid.Cell]] = [["Test set"], *(line(called[count], count) for count in COUNTS)]
    rows += [["Cases"], *(line(words.finding(finding), "cases", finding) for finding in findings)]
    trained = (table["quantity"] == TRAININGS).any()
    below = {"auroc": "sampling σ" + " (pooled σ)" * averaged, TRAININGS: "σ between trainings"}
    for quantity, name in SAID.items():
        said = name + ", mean over findings" * (averaged and quantity == "auroc")
        said += " of the first training" * bool(trained and quantity != TRAININGS)
        mine = [arm for arm in axis.ordered(arms) if ((table["arm"] == arm) & (table["quantity"] == quantity)).any()]
        rows += [[f"{said}; below: {below.get(quantity, 'interval')}"]] * bool(mine)
        rows += [line(words.column(arm, epsilon=arms[arm]), quantity, arm=arm) for arm in mine]
    heads = [words.group(*group) if group[0] != "all" else "all" for group in groups]
    heads = [
        head.replace(" or older", "\nor older") if "older" in head else head.replace(" years", "\nyears")
        for head in heads
    ]
    return grid.Block("Cases and results by group", ["", *heads], rows)


def of_findings(tables: Measurements) -> pd.DataFrame:
    """Supplementary Tables 2 to 8: the rows of metrics of each arm and finding, over all test images."""
    metrics = axis.first_seeds(tables.metrics)
    chosen = metrics[metrics["group_by"] == "all"]
    return pd.concat([of_metric(chosen, metric) for metric in MEASURES])


def draw_findings(tables: Measurements, *, width: float) -> Figure | None:
    """A table an arm: AUROC, accuracy, sensitivity and specificity of each finding with intervals."""
    table = of_findings(tables)
    if table.empty:
        return None
    arms = {str(row["arm"]): float(row["epsilon"]) for row in _dicts(table)}
    blocks = [_findings_block(table[table["arm"] == arm], arm, arms[arm]) for arm in axis.ordered(arms)]
    return grid.draw(blocks, width=width, abreast=2 if width > NARROW else 1)


def _findings_block(table: pd.DataFrame, arm: str, epsilon: float) -> grid.Block:
    held = {(row["finding"], row["metric"]): row for row in _dicts(table)}
    findings = sorted(dict.fromkeys(table["finding"]), key=lambda finding: finding == "mean")
    findings = findings if len(findings) > 2 else findings[:1]
    said = words.arm(arm, epsilon=epsilon)
    rows = [
        [words.finding(finding), *(_cell(held.get((finding, metric)), between=True) for metric in MEASURES)]
        for finding in findings
    ]
    title = said if said.startswith("ε") else said[:1].upper() + said[1:]
    return grid.Block(title, ["", *MEASURES.values()], rows)


def _dicts(table: pd.DataFrame) -> Iterable[Row]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _cell(row: Row | None, *, between: bool = False, averaged: bool = True) -> grid.Cell:
    """A number and its spread, or what is said in its place."""
    if row is None:
        return words.DASH
    said, value, quantity = row.get(f"value{SHOWN}"), float(row["value"]), row.get("quantity", "")
    if isinstance(said, str) and said:
        return said
    if not math.isfinite(value):
        return words.DASH
    if quantity in ("cases", *COUNTS):
        return words.number(int(value))
    low, high = float(row["low"]), float(row["high"])
    to = words.DASH if between else " to "
    interval = f"{words.auroc(low)}{to}{words.auroc(high)}" if math.isfinite(low) and math.isfinite(high) else ""
    if quantity == "accuracy_difference":
        sign = "+" if round(value, 3) > 0 else ""
        return sign + words.auroc(round(value, 3) + 0.0), interval
    if quantity == TRAININGS:
        return words.auroc(value), _spread(row["training_sd"])
    pooled = f" ({_spread(row['pooled_sd'])})" if math.isfinite(float(row["pooled_sd"])) and averaged else ""
    return words.auroc(value), interval if between else _spread(row["sd"]) + pooled


def _spread(value: float) -> str:
    return words.auroc(float(value)) if math.isfinite(float(value)) else words.DASH
