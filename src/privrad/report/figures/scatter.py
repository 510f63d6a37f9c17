"""The scatter behind the paper's correlations (supplementary Figure 9): each finding's AUROC, drop and cases."""

from __future__ import annotations

import math

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privrad.report import words
from privrad.report.figures.layout import legend
from privrad.report.figures.style import NARROW, STYLE, drawn_as
from privrad.report.measurements import Measurements

AXES = {
    "reference_auroc": "AUROC without privacy",
    "drop": "Drop in AUROC with privacy",
    "auroc": "AUROC with privacy",
    "cases": "Cases in the test set",
}
PANELS = {
    ("reference_auroc", "drop"): "auroc_vs_drop",
    ("cases", "reference_auroc"): "auroc_vs_cases",
    ("cases", "auroc"): "auroc_vs_cases",
    ("cases", "drop"): "drop_vs_cases",
}
"""What is drawn against what, and the name of its correlation."""


def least_private(tables: Measurements) -> str:
    """The arm of the largest finite epsilon among the points; "" when there is none."""
    held = dict(zip(tables.metrics["arm"], tables.metrics["epsilon"].astype(float), strict=True))
    points = [arm for arm in dict.fromkeys(tables.correlation_points["arm"]) if 0 < held.get(arm, 0) < math.inf]
    return str(max(points, key=lambda arm: held[arm], default=""))


def rows(tables: Measurements) -> pd.DataFrame:
    """The points that are drawn: those of the least private arm."""
    points = tables.correlation_points
    return points[points["arm"] == least_private(tables)]


def draw(tables: Measurements, *, width: float) -> Figure | None:
    """Four panels, a point a finding; None when there is no private arm or no finding was estimable."""
    points = rows(tables)
    if not points["drop"].notna().any():
        return None
    wide = width > NARROW
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 6.6 if wide else 11.0), layout="constrained")
        panels = list(figure.subplots(2 if wide else 4, 2 if wide else 1, squeeze=False).ravel())
        for axes, letter, ((x, y), statistic) in zip(panels, "abcd", PANELS.items(), strict=True):
            _panel(axes, points, x=x, y=y)
            arm = "eps-inf" if y == "reference_auroc" else least_private(tables)
            axes.set_title(f"{letter}\N{EN SPACE}{_correlation(tables, statistic, arm)}")
            axes.set_xlabel(AXES[x])
            axes.set_ylabel(AXES[y])
        legend(figure, panels[:1], columns=4 if wide else 2)
    return figure


def _correlation(tables: Measurements, statistic: str, arm: str) -> str:
    """Pearson's r with its interval, in words; "" where there is none."""
    table = tables.correlations
    for row in table[(table["statistic"] == statistic) & (table["arm"] == arm)].to_dict("records"):
        value, low, high = (float(row[name]) for name in ("value", "low", "high"))
        interval = f" ({low:.2f} to {high:.2f})" if math.isfinite(low) and math.isfinite(high) else ""
        said = f"Pearson's r {value:.2f}{interval}" if math.isfinite(value) else ""
        return said.replace("-", "\N{MINUS SIGN}")
    return ""


def _panel(axes: Axes, points: pd.DataFrame, *, x: str, y: str) -> None:
    axes.grid()
    axes.set_axisbelow(True)
    axes.margins(0.12)
    for order, (finding, one) in enumerate(points.groupby("finding", sort=False)):
        colour, marker = drawn_as(order)
        label = words.finding(str(finding))
        axes.plot(one[x], one[y], color=colour, marker=marker, markersize=7, linestyle="none", label=label)
