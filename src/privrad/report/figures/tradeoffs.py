"""What privacy costs in accuracy and in fairness, above each other on one axis of epsilon."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privrad.report.figures import axis
from privrad.report.figures.layout import legend
from privrad.report.figures.rows import of_metric, several
from privrad.report.figures.style import MARKERS, NARROW, SERIES, STYLE
from privrad.report.measurements import Measurements

RANGES = {"accuracy": "Accuracy: best less worst group", "sensitivity": "Sensitivity: best less worst group"}


def rows(tables: Measurements) -> pd.DataFrame:
    """What is drawn: the mean AUROC, the worst group's, and the ranges between groups, over all findings."""
    metrics, fairness = tables.metrics, tables.fairness
    mean = metrics[(metrics["finding"] == "mean") & (metrics["group_by"] == "all") & (metrics["metric"] == "auroc")]
    mine = fairness[(fairness["finding"] == "mean") & fairness["group_by"].isin(_columns(fairness))]
    worst = mine[(mine["group"] == "(worst)") & (mine["metric"] == "auroc")]
    ranges = [_range(mine, measure) for measure in RANGES]
    parts = zip(("mean", "worst", *RANGES), (mean, worst, *ranges), strict=True)
    return pd.concat([table.assign(drawn=name) for name, table in parts if len(table) or name == "mean"])


def draw(tables: Measurements, *, width: float) -> Figure | None:
    """Accuracy above, ranges between groups below; None when no private or other arm was estimable."""
    chosen = rows(tables)
    mean = chosen[chosen["drawn"] == "mean"]
    if not mean["value"].notna().any():
        return None
    columns = list(dict.fromkeys(chosen.loc[chosen["group_by"] != "all", "group_by"]))
    shown = [measure for measure in RANGES if chosen.loc[chosen["drawn"] == measure, "value"].notna().any()]
    wide = width > NARROW
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 3.3 + 1.9 * len(shown)), layout="constrained")
        heights = [1.6, *[1.0] * len(shown)]
        panels = list(figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights).ravel())
        at = axis.places(mean)
        for axes in panels:
            axis.frame(axes, at, inches=width - 0.8)
        upper = chosen[chosen["drawn"].isin(["mean", "worst"])]
        axis.share_of_one(panels[0], axis.first_seeds(upper))
        axis.curve(panels[0], at, rows=mean)
        _columns_of(panels[0], at, table=chosen[chosen["drawn"] == "worst"], columns=columns, said="worst group by ")
        panels[0].set_title(f"AUROC: {'mean over findings' if several(tables) else 'all'}, and in the worst group")
        for axes, measure in zip(panels[1:], shown, strict=True):
            _columns_of(axes, at, table=chosen[chosen["drawn"] == measure], columns=columns, said="worst group by ")
            axes.set_ylim(0, None)
            axes.set_title(RANGES[measure])
        panels[-1].set_xlabel(axis.SAID)
        legend(figure, panels[:1], columns=3 if wide else 1)
    return figure


def _columns(fairness: pd.DataFrame) -> list[str]:
    """Sex and age where the test images have them, else the first two columns."""
    held = list(dict.fromkeys(fairness["group_by"]))
    return [column for column in ("sex", "age") if column in held] or held[:2]


def _range(fairness: pd.DataFrame, measure: str) -> pd.DataFrame:
    mine = fairness[fairness["group"] == "(range)"]
    names = [name for name in (f"{measure}_range", f"{measure}_difference_range") if (mine["metric"] == name).any()]
    return of_metric(mine, names[0]) if names else mine.iloc[:0]


def _columns_of(axes: Axes, at: axis.Places, *, table: pd.DataFrame, columns: Sequence[str], said: str) -> None:
    """A line a grouping column, dodged, with intervals."""
    for order, column in enumerate(columns):
        mine = axis.first_seeds(table[(table["group_by"] == column) & table["value"].notna()])
        mine = mine[mine["arm"].isin(at.of_arm) & (mine["arm"] != "eps-inf-matched")]
        colour, marker = SERIES[2 + order], MARKERS[2 + order]
        dodge = (0.4 + order) * 0.018 * at.span
        budgets = axis.finite(mine)
        axes.plot([at.of_arm[arm] + dodge for arm in budgets["arm"]], budgets["value"], color=colour, linewidth=1.4)
        axis.without(axes, rows=mine, colour=colour)
        axes.errorbar(
            [at.of_arm[arm] + dodge for arm in mine["arm"]], mine["value"], yerr=axis.reach(mine), color=colour,
            marker=marker, markersize=5, elinewidth=1.0, linestyle="none", label=said + column,
        )  # fmt: skip
