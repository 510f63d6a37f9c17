"""Figures 2, 4 and 5 of the paper: AUROC, accuracy, specificity and sensitivity, averaged over findings."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privrad.report import words
from privrad.report.figures import axis
from privrad.report.figures.layout import legend
from privrad.report.figures.rows import of_metric
from privrad.report.figures.style import NARROW, STYLE, drawn_as
from privrad.report.measurements import Measurements

MEASURES = {"auroc": "AUROC", "accuracy": "Accuracy", "specificity": "Specificity", "sensitivity": "Sensitivity"}


def rows(tables: Measurements, *, column: str) -> pd.DataFrame:
    """The rows of metrics that are drawn for the groups of a column; "all" is all test images together."""
    metrics = tables.metrics
    chosen = metrics[(metrics["finding"] == "mean") & (metrics["group_by"] == column)]
    return pd.concat([of_metric(chosen, metric) for metric in MEASURES])


def overall(tables: Measurements, *, width: float) -> Figure | None:
    """The four averages against epsilon; None when nothing was estimable."""
    chosen = rows(tables, column="all")
    if not chosen["value"].notna().any():
        return None
    wide = width > NARROW
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 6.0 if wide else 5.2), layout="constrained")
        panels = list(figure.subplots(2, 2, sharex=True, squeeze=False).ravel())
        at = axis.places(chosen)
        for axes, letter, metric in zip(panels, "abcd", MEASURES, strict=True):
            mine = chosen[chosen["metric"] == metric]
            axis.frame(axes, at, inches=width / 2 - 0.5)
            axis.share_of_one(axes, mine)
            axis.curve(axes, at, rows=mine)
            axes.set_title(f"{letter}\N{EN SPACE}{MEASURES[metric]}")
        figure.supxlabel(axis.SAID, fontsize=9.5)
        legend(figure, panels, columns=4 if wide else 2)
    return figure


def by_group(tables: Measurements, *, column: str, width: float) -> Figure | None:
    """The four averages against epsilon, a line a group of `column`; None when no group was estimable."""
    chosen = rows(tables, column=column)
    if not chosen["value"].notna().any():
        return None
    wide = width > NARROW
    groups = list(dict.fromkeys(chosen["group"]))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 6.6 if wide else 9.6), layout="constrained")
        panels = list(figure.subplots(2 if wide else 4, 2 if wide else 1, sharex=True, squeeze=False).ravel())
        at = axis.places(chosen)
        for axes, letter, metric in zip(panels, "abcd", MEASURES, strict=True):
            mine = axis.first_seeds(chosen[chosen["metric"] == metric])
            axis.frame(axes, at, inches=(width / 2 if wide else width) - 0.5)
            axis.share_of_one(axes, mine[mine["arm"] != "eps-inf-matched"])
            lines(axes, at, table=mine, column=column, groups=groups)
            axes.set_title(f"{letter}\N{EN SPACE}{MEASURES[metric]}")
        figure.supxlabel(axis.SAID, fontsize=9.5)
        legend(figure, panels, columns=len(groups) if wide else 2)
    return figure


def lines(axes: Axes, at: axis.Places, *, table: pd.DataFrame, column: str, groups: Sequence[str]) -> None:
    """A line a group, dodged so that bars stay apart, dashed across at its value without privacy.

    A group keeps its colour where another is left out; one of uncertain numbers is open and dotted.
    """
    for order, group in enumerate(groups):
        mine = table[(table["group"] == group) & (table["arm"] != "eps-inf-matched") & table["value"].notna()]
        if mine.empty:
            continue
        dodge = (order - (len(groups) - 1) / 2) * 0.016 * at.span
        colour, marker = drawn_as(order)
        sure = not mine["note"].fillna("").astype(str).str.contains("uncertain").any()
        budgets = axis.finite(mine)
        x = [at.of_arm[arm] + dodge for arm in budgets["arm"]]
        axes.plot(x, budgets["value"], color=colour, linewidth=1.5, linestyle="-" if sure else ":")
        axis.without(axes, rows=mine, colour=colour)
        axes.errorbar(
            [at.of_arm[arm] + dodge for arm in mine["arm"]], mine["value"], yerr=axis.reach(mine), color=colour,
            marker=marker, markersize=4.5, elinewidth=1.0, capsize=0, linestyle="none",
            label=words.group(column, group), markerfacecolor=colour if sure else "none",
        )  # fmt: skip
