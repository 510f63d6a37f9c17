"""ROC and precision-recall curves, reliability diagrams and distributions of scores, a panel a finding."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privrad.report import words
from privrad.report.figures import axis
from privrad.report.figures.layout import finish, legend, panels_of
from privrad.report.figures.style import MATCHED, MUTED, NARROW, PLAIN, SERIES, STYLE, UNTRAINED
from privrad.report.measurements import Measurements

DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
LABELS = {0: "without the finding", 1: "with the finding"}


def chosen(table: pd.DataFrame) -> dict[str, float]:
    """The arms of the table that are drawn, by epsilon: the most and the least private, and the one without privacy.

    Any other arm, such as one that was not fine-tuned, is drawn when the table has no other.
    """
    held = {str(arm): float(epsilon) for arm, epsilon in zip(table["arm"], table["epsilon"], strict=True)}
    budgets = [arm for arm in axis.ordered(held) if 0 < held[arm] < math.inf]
    arms = [*budgets[:1], *budgets[1:][-1:], *(arm for arm in held if arm == "eps-inf")]
    return {arm: held[arm] for arm in arms or axis.ordered(held)[:1]}


def of_curve(tables: Measurements, curve: str) -> pd.DataFrame:
    """The rows of curves that are drawn: "roc" or "pr"."""
    mine = axis.first_seeds(tables.curves[tables.curves["curve"] == curve])
    return mine[mine["arm"].isin(chosen(mine))]


def of_bins(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of reliability or scores that are drawn; of scores, the least private arm and the one without."""
    mine = axis.first_seeds(table)
    arms = list(chosen(mine))
    return mine[mine["arm"].isin(arms[-2:] if "label" in mine else arms)]


def roc(tables: Measurements, *, width: float) -> Figure | None:
    """The ROC curves of the chosen arms with pointwise bands."""
    table = of_curve(tables, "roc")
    labels = ("False-positive rate (one less specificity)", "Sensitivity")
    return _panels(table, value="y", width=width, draw=_roc, labels=labels)


def precision_recall(tables: Measurements, *, width: float) -> Figure | None:
    """The precision-recall curves of the chosen arms with pointwise bands."""
    table = of_curve(tables, "pr")
    labels = ("Recall (sensitivity)", "Precision (positive predictive value)")
    return _panels(table, value="y", width=width, draw=_stripes, labels=labels)


def reliability(tables: Measurements, *, width: float) -> Figure | None:
    """The observed share of positives against the mean score, a bin a point, with intervals."""
    table = of_bins(tables.reliability)
    labels = ("Mean score of the bin", "Observed share with the finding")
    return _panels(table, value="observed", width=width, draw=_reliability, labels=labels)


def scores(tables: Measurements, *, width: float) -> Figure | None:
    """The density of scores, with and without the finding; bins may be of different widths."""
    table = of_bins(tables.scores)
    labels = ("Score", "Density of the scores with that label")
    return _panels(table, value="images", width=width, draw=_scores, labels=labels)


def _panels(
    table: pd.DataFrame,
    *,
    value: str,
    width: float,
    draw: Callable[[Axes, pd.DataFrame, str, float, int], None],
    labels: tuple[str, str],
) -> Figure | None:
    """A panel a finding, in each every chosen arm drawn by `draw`; None when `value` is nowhere known."""
    if not table[value].notna().any():
        return None
    findings = list(dict.fromkeys(table["finding"]))
    wide = width > NARROW
    height, columns, taller = panels_of(len(findings), width=width)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 1.0 + (2.25 if wide else 1.85) * height * taller), layout="constrained")
        panels = list(figure.subplots(height, columns, sharex=True, sharey=True, squeeze=False).ravel())
        for axes, finding in zip(panels, findings, strict=False):
            axes.grid()
            axes.set_axisbelow(True)
            axes.set_xlim(0, 1)
            if value != "images":
                axes.set_ylim(0, axis.TOP)
            axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            axes.set_title(words.finding(finding), fontsize=9.5 if wide else 8.5)
            for order, (arm, epsilon) in enumerate(chosen(table).items()):
                draw(axes, table[(table["finding"] == finding) & (table["arm"] == arm)], arm, epsilon, order)
        panels[0].set_ylim(bottom=0)
        finish(figure, panels, used=len(findings), x=labels[0], y=labels[1])
        legend(figure, panels, columns=4 if wide else 1 if value == "images" else 2)
    return figure


def _look(arm: str, epsilon: float, order: int) -> Mapping[str, object]:
    others = {"eps-inf": PLAIN, "eps-inf-matched": MATCHED, "eps-0": UNTRAINED}
    colour = others.get(arm, SERIES[(1, 0)[order % 2]])
    return {"color": colour, "linestyle": DASHES[order % len(DASHES)], "label": words.arm(arm, epsilon=epsilon)}


def _roc(axes: Axes, rows: pd.DataFrame, arm: str, epsilon: float, order: int) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)))
    _stripes(axes, rows, arm, epsilon, order)


def _stripes(axes: Axes, rows: pd.DataFrame, arm: str, epsilon: float, order: int) -> None:
    """A curve over its band; a gap where a step is hidden."""
    look = _look(arm, epsilon, order)
    axes.fill_between(rows["x"], rows["low"], rows["high"], color=str(look["color"]), alpha=0.13, linewidth=0)
    axes.plot(rows["x"], rows["y"], linewidth=1.3, **look)  # type: ignore[arg-type]


def _reliability(axes: Axes, rows: pd.DataFrame, arm: str, epsilon: float, order: int) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)))
    known = rows[rows["observed"].notna()].rename(columns={"observed": "value"})
    axes.errorbar(
        known["mean_score"], known["value"], yerr=axis.reach(known), marker="os^"[order % 3], markersize=3,
        linewidth=1.1, elinewidth=0.8, **_look(arm, epsilon, order),  # type: ignore[arg-type]
    )  # fmt: skip


def _scores(axes: Axes, rows: pd.DataFrame, arm: str, epsilon: float, order: int) -> None:
    """Filled steps for the first arm, outlines for the second; where a bin is hidden, nothing."""
    arms = "no privacy" if math.isinf(epsilon) else words.arm(arm, epsilon=epsilon)
    for label, colour in ((0, SERIES[2]), (1, SERIES[1])):
        mine = rows[rows["label"] == label].sort_values("bin")
        if mine.empty or mine["images"].isna().any() or not mine["images"].sum():
            continue
        edges = np.append(mine["from"].to_numpy(dtype=float), float(mine["upto"].iloc[-1]))
        density = mine["images"].to_numpy(dtype=float) / float(mine["images"].sum()) / np.diff(edges)
        said = f"{LABELS[label]}, {arms}"
        if order == 0:
            axes.stairs(density, edges, fill=True, color=colour, alpha=0.35, linewidth=0, label=said)
        else:
            axes.stairs(density, edges, color=colour, linewidth=1.2, linestyle=DASHES[2 - label * 2], label=said)
