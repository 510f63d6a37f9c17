"""The published numbers drawn, alone and beside a study's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from privrad.report import words
from privrad.report.figures import axis, grid
from privrad.report.figures.layout import finish, legend, panels_of
from privrad.report.figures.style import BUDGET, MATCHED, NARROW, STYLE, drawn_as

AGES = ("[0,30)", "[30,60)", "[60,70)", "[70,80)", "[80,100)")
QUARTERS = {
    "age_q1": "youngest quarter", "age_q2": "second quarter", "age_q3": "third quarter", "age_q4": "oldest quarter",
}  # fmt: skip
PANELS = {"figure-2a": ("total",), "figure-4a": (*AGES, *QUARTERS), "figure-5a": ("female", "male")}
DATASETS = {"uka_cxr": "Chest radiographs (UKA-CXR)", "pdac": "Abdominal CT (PDAC)"}
UNITS = {"uka_cxr": "Images", "pdac": "Scans"}
SIGMA = {"uka_cxr": "over redraws and findings", "pdac": "over three trainings"}
ILLEGIBLE = words.DASH
PARITY = "statistical_parity_difference"


def areas(results: pd.DataFrame, *, width: float) -> Figure:
    """Published AUROC in percent against epsilon, a panel a dataset, a line a group; bars are the printed spread."""
    datasets = [name for name in DATASETS if (results["dataset"] == name).any()]
    wide = width > NARROW
    shape = (1, len(datasets)) if wide else (len(datasets), 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 4.2 if wide else 3.8 * len(datasets)), layout="constrained")
        for axes, name in zip(list(figure.subplots(*shape, squeeze=False).ravel()), datasets, strict=True):
            mine = results[results["dataset"] == name]
            table = _placed(mine)
            at = axis.places(table)
            axis.frame(axes, at, inches=(width / len(datasets) if wide else width) - 0.6)
            _lines(axes, at, table)
            lowest = float((mine["mean_pct"] - mine["sd_pct"]).min())
            axes.set_ylim(5 * math.floor(lowest / 5), 101)
            axes.set_title(DATASETS[name], pad=22 if mine["group"].nunique() > 1 else 6)
            axes.set_ylabel("AUROC (%), mean over findings" if name == "uka_cxr" else "AUROC (%)")
            cut = "\noldest: not legible in print from ε = 5 on" * bool((mine["group"] == "age_q4").any())
            axes.set_xlabel(f"Privacy budget ε; bars: σ {SIGMA[name]}{cut}")
            axes.yaxis.set_major_locator(MultipleLocator(5))
            if mine["group"].nunique() > 1:
                axes.legend(
                    loc="lower left", bbox_to_anchor=(-0.02, 0.985), ncols=5, handlelength=1.0, columnspacing=0.8,
                    handletextpad=0.3, borderpad=0.2, fontsize=8 if wide else 7.5,
                )  # fmt: skip
    return figure


def _placed(results: pd.DataFrame) -> pd.DataFrame:
    """The rows with the columns that the axis of epsilon needs; finite budgets first."""
    arms = [f"eps-{epsilon:g}" for epsilon in results["epsilon"]]
    return results.assign(arm=arms, value=results["mean_pct"]).sort_values("epsilon", kind="stable")


def _lines(axes: Axes, at: axis.Places, table: pd.DataFrame) -> None:
    groups = [group for groups in PANELS.values() for group in groups if (table["group"] == group).any()]
    for order, group in enumerate(groups):
        mine = table[table["group"] == group]
        colour, marker = drawn_as(order)
        dodge = (order - (len(groups) - 1) / 2) * 0.014 * at.span
        budgets = axis.finite(mine)
        axes.plot([at.of_arm[arm] + dodge for arm in budgets["arm"]], budgets["value"], color=colour, linewidth=1.4)
        axis.without(axes, rows=mine, colour=colour)
        axes.errorbar(
            [at.of_arm[arm] + dodge for arm in mine["arm"]], mine["value"], yerr=mine["sd_pct"], color=colour,
            marker=marker, markersize=4.5, elinewidth=0.8, linestyle="none", label=_short(group),
        )  # fmt: skip


def _short(group: str) -> str:
    """A group as briefly as a legend needs it."""
    return QUARTERS.get(group, words.group("age", group)).replace(" years", "").replace(" quarter", "")


def beside(compared: pd.DataFrame, *, averaged: bool = True, width: float) -> Figure | None:
    """Ours and theirs against epsilon, a panel a group, on one scale; None when nothing matches or ours is unknown.

    Bars are ours' interval, or where ours are means over trainings the standard deviations of both. `averaged` is
    whether the numbers are means over findings.
    """
    chosen = compared[(compared["metric"] == "auroc") & compared["ours"].notna()]
    if chosen.empty:
        return None
    groups = list(dict.fromkeys(chosen["group"]))
    wide = width > NARROW
    rows, columns, taller = panels_of(len(groups), width=width)
    table = chosen.assign(arm=[f"eps-{epsilon:g}" for epsilon in chosen["epsilon"]])
    several = bool((table["trainings"] > 1).any())
    spread = table[["ours_training_sd", "theirs_sd"]].to_numpy().T * several
    reached = pd.DataFrame({"ours": table["ours"] - np.nan_to_num(spread[0]), "theirs": table["theirs"] - spread[1]})
    lowest = min(reached.min().min(), table["ours_low"].min() if table["ours_low"].notna().any() else 1.0)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 1.0 + (2.0 if wide else 1.8) * rows * taller), layout="constrained")
        panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel())
        at = axis.places(table)
        for axes, group in zip(panels, groups, strict=False):
            axis.frame(axes, at, inches=width / columns - 0.4)
            mine = table[table["group"] == group]
            _pair(axes, at, mine, several=several)
            bottom = min(0.5, math.floor(20 * lowest) / 20)
            axes.set_ylim(bottom, 1 + 2 * (axis.TOP - 1) * (1 - bottom) / 0.5)  # a whole marker at 1, in a low panel
            axes.set_title(titled(group, str(mine["ours_group"].iloc[0])).replace(" (", "\n(", 1))
        finish(figure, panels, used=len(groups), x=axis.SAID, y="AUROC" + ", mean over findings" * averaged)
        legend(figure, panels, columns=2)
    return figure


def titled(group: str, ours: str) -> str:
    """A published group in words; a quarter of age with our limits: "Youngest quarter (ours: under 58 years)"."""
    if group in QUARTERS:
        return f"{QUARTERS[group].capitalize()} (ours: {words.group('age', ours)})"
    return "All" if group == "total" else words.group("age", group).capitalize()


def _pair(axes: Axes, at: axis.Places, rows: pd.DataFrame, *, several: bool) -> None:
    """Ours with its interval, theirs open; a line joins the finite budgets of each. Of `several` trainings: with σ."""
    kinds = (("ours", BUDGET, "o", "-", BUDGET, -1), ("theirs", MATCHED, "s", (0, (4, 2)), "none", 1))
    for column, colour, marker, dashes, face, side in kinds:
        said = {"ours": "this study", "theirs": "published"}[column]
        name = f"{said}, σ over trainings" if several else said + ", with interval" * (column == "ours")
        table = rows.assign(value=rows[column], low=rows["ours_low"], high=rows["ours_high"])
        budgets = axis.finite(table)
        shift = 0.012 * side * at.span
        x = [at.of_arm[arm] + shift for arm in budgets["arm"]]
        axes.plot(x, budgets["value"], color=colour, linewidth=1.3, linestyle=dashes)
        reach: Any = axis.reach(table) if column == "ours" else None
        if several:
            reach = rows["ours_training_sd" if column == "ours" else "theirs_sd"]
        axes.errorbar(
            [at.of_arm[arm] + shift for arm in table["arm"]], table["value"], yerr=reach, color=colour, marker=marker,
            markersize=4.5, markerfacecolor=face, elinewidth=1.0, linestyle="none", label=name,
        )  # fmt: skip


def table(counts: pd.DataFrame, results: pd.DataFrame, *, width: float) -> Figure:
    """Table 1 as printed, a block a dataset; a dash: not legible in print."""
    most = 8 if width > NARROW else 4
    blocks = []
    for name, title in DATASETS.items():
        mine, held = counts[counts["dataset"] == name], results[results["dataset"] == name]
        groups = list(dict.fromkeys(mine["group"]))
        for start in range(0, len(groups), most):
            blocks.append(_block(mine, held, groups[start : start + most], title=title, units=UNITS[name]))
    return grid.draw(blocks, width=width)


def _block(counts: pd.DataFrame, results: pd.DataFrame, groups: Sequence[str], *, title: str, units: str) -> grid.Block:
    number = counts.set_index(["split", "what", "group"])["n"].astype(float).to_dict()
    keys = zip(results["metric"], results["epsilon"], results["group"], strict=True)
    printed = dict(zip(keys, zip(results["mean_pct"], results["sd_pct"], strict=True), strict=True))
    rows: list[list[grid.Cell]] = [[units]]
    for split, what in counts[["split", "what"]].drop_duplicates().itertuples(index=False, name=None):
        name = {"train": "Training", "test": "Test"}[split] if what == "all" else words.finding(what)
        rows.append([name, *(words.number(number.get((split, what, group), math.nan)) for group in groups)])
    for metric, said in (("auroc", "AUROC in %; below: σ"), (PARITY, "Statistical parity difference in %; below: σ")):
        epsilons = sorted(set(results.loc[results["metric"] == metric, "epsilon"]))
        rows.append([said if epsilons else f"{said.split(' in %')[0]}: not legible in print"])
        for epsilon in epsilons:
            cells = [_cell(printed.get((metric, epsilon, group)), signed=metric == PARITY) for group in groups]
            rows.append([words.column("", epsilon=epsilon), *cells])
    cut = any(ILLEGIBLE in row for row in rows)
    return grid.Block(title + f"; {ILLEGIBLE}: not legible in print" * cut, ["", *map(_short, groups)], rows)


def _cell(pair: tuple[float, float] | None, *, signed: bool) -> grid.Cell:
    if pair is None:
        return "" if signed else ILLEGIBLE
    mean, spread = pair
    return f"{mean:{'+' if signed else ''}.2f}".replace("-", "\N{MINUS SIGN}"), f"{spread:.{2 if signed else 1}f}"
