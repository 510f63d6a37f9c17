"""The figures, each a pure function from the table of metrics to a matplotlib figure; drawn without a display.

All take the rows of metrics.csv. Epsilon stands on a logarithmic axis; 0 (not fine-tuned) and infinity (no privacy)
have no place on it and stand apart at its ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privrad import files
from privrad.report import words

INK, MUTED, GRID, ZONE, PAPER = "#1c2733", "#5b6875", "#dfe4ea", "#f3f5f8", "#fefefe"
BUDGET, PLAIN, MATCHED, UNTRAINED = "#1f6fb2", "#1c2734", "#c2570c", "#5b6876"
SERIES = ("#1f6fb3", "#c2570d", "#11836f", "#9a3f8f", "#8a6d00", "#4b4fb0", "#a3333d")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
NARROW = 5.0

STYLE: Any = {
    "svg.hashsalt": "privrad",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["Liberation Sans", "Arial", "Helvetica", "DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Places:
    """Where each arm stands on the horizontal axis, and how wide the axis is."""

    of_arm: Mapping[str, float]
    finite: Mapping[float, float]
    untrained: float | None
    endless: float | None
    span: float

    def ticks(self, *, few: bool) -> tuple[list[float], list[str]]:
        """Positions and labels; `few` labels the first and the last budget only."""
        budgets = sorted(self.finite)
        shown = {budgets[0], budgets[-1]} if few and budgets else set(budgets)
        ticks = [(self.finite[budget], f"{budget:g}" if budget in shown else "") for budget in budgets]
        if self.untrained is not None:
            ticks.append((self.untrained, "0"))
        if self.endless is not None:
            ticks.append((self.endless, "∞"))
        ordered = sorted(ticks)
        return [place for place, _ in ordered], [label for _, label in ordered]


def places(metrics: pd.DataFrame) -> Places:
    """Lay the arms out: finite budgets by the logarithm of epsilon, 0 and infinity beside them."""
    arms = metrics.drop_duplicates("arm").set_index("arm")["epsilon"].astype(float)
    finite = {epsilon: math.log10(epsilon) for epsilon in sorted(set(arms)) if 0 < epsilon < math.inf}
    low, high = (min(finite.values()), max(finite.values())) if finite else (0.0, 0.0)
    span = max(high - low, 0.5)
    untrained = low - 0.2 * span if (arms == 0).any() else None
    endless = high + 0.2 * span if np.isinf(arms).any() else None
    of_arm = {}
    for arm, epsilon in arms.items():
        at = untrained if epsilon == 0 else endless if math.isinf(epsilon) else finite[epsilon]
        shift = 0.035 * span if arm == "eps-inf-matched" else -0.035 * span if arm == "eps-inf" else 0.0
        of_arm[str(arm)] = float(at if at is not None else low) + shift
    return Places(of_arm, finite, untrained, endless, span)


def auroc_against_epsilon(metrics: pd.DataFrame, *, width: float) -> Figure:
    """The mean AUROC over findings of each arm with its interval; `width` in inches. Further seeds are open dots."""
    chosen = metrics[(metrics["group_by"] == "all") & (metrics["finding"] == "mean") & metrics["value"].notna()]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 3.9 if width > NARROW else 3.5), layout="constrained")
        axes = figure.subplots()
        at = places(metrics)
        _frame(axes, at, metrics=chosen, few=False)
        _curve(axes, at, rows=chosen, named=True)
        axes.set_ylabel("Mean AUROC over findings", labelpad=8)
        axes.set_xlabel("Privacy budget ε (smaller is more private)")
        _legend(figure, axes, columns=4 if width > NARROW else 2)
    return figure


def by_finding(metrics: pd.DataFrame, *, width: float) -> Figure:
    """The AUROC of each arm with its interval, a panel a finding."""
    chosen = metrics[(metrics["group_by"] == "all") & (metrics["finding"] != "mean") & metrics["value"].notna()]
    findings = list(dict.fromkeys(metrics.loc[metrics["finding"] != "mean", "finding"]))
    columns = min(4 if width > NARROW else 2, len(findings))
    rows = math.ceil(len(findings) / columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 0.75 + 1.75 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        at = places(metrics)
        for axes, finding in zip(panels, findings, strict=False):
            _frame(axes, at, metrics=chosen, few=True)
            _curve(axes, at, rows=chosen[chosen["finding"] == finding], named=axes is panels[0])
            axes.set_title(words.finding(finding), fontsize=9.5 if width > NARROW else 9)
        for axes in panels[len(findings) :]:
            axes.set_axis_off()
        figure.supylabel("AUROC", fontsize=9.5)
        figure.supxlabel("Privacy budget ε", fontsize=9.5)
        _legend(figure, panels[0], columns=4 if width > NARROW else 2)
    return figure


def by_group(metrics: pd.DataFrame, *, columns: Sequence[str], width: float) -> Figure:
    """The mean AUROC of each group with its interval, a panel a column such as sex or age; first seeds only."""
    chosen = metrics[(metrics["finding"] == "mean") & metrics["value"].notna()]
    shape = (1, len(columns)) if width > NARROW else (len(columns), 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 4.1 if width > NARROW else 3.7 * len(columns)), layout="constrained")
        panels = figure.subplots(*shape, sharey=True, squeeze=False).ravel()
        at = places(metrics)
        for axes, column in zip(panels, columns, strict=True):
            _frame(axes, at, metrics=chosen[chosen["group_by"].isin(columns)], few=False)
            groups = list(dict.fromkeys(metrics.loc[metrics["group_by"] == column, "group"]))
            _groups(axes, at, rows=first_seeds(chosen[chosen["group_by"] == column]), column=column, groups=groups)
            axes.set_title(f"By {column}", pad=36 if width > NARROW else 40)
            axes.set_xlabel("Privacy budget ε")
            axes.legend(
                loc="lower left",
                bbox_to_anchor=(-0.02, 1.0),
                ncols=3,
                fontsize=8.5,
                handlelength=1.4,
                columnspacing=1.0,
            )
        panels[0].set_ylabel("Mean AUROC over findings", labelpad=8)
    return figure


def first_seeds(metrics: pd.DataFrame) -> pd.DataFrame:
    """The rows of each arm's first seed."""
    return metrics[metrics["seed"] == metrics.groupby("arm")["seed"].transform("min")]


def _frame(axes: Axes, at: Places, *, metrics: pd.DataFrame, few: bool) -> None:
    """The common ground of all panels: AUROC from 0.5 (chance), budgets below, the ends shaded."""
    ticks, labels = at.ticks(few=few)
    axes.set_xticks(ticks, labels)
    axes.set_xlim(min(ticks) - 0.1 * at.span, max(ticks) + 0.1 * at.span)
    lowest = metrics["low"].fillna(metrics["value"]).min()
    floor = min(0.5, math.floor(20 * lowest) / 20) if math.isfinite(lowest) else 0.5
    axes.set_ylim(floor, 1.0)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    left, right = axes.get_xlim()
    if at.untrained is not None:
        axes.axvspan(left, at.untrained + 0.1 * at.span, color=ZONE, linewidth=0, zorder=0)
    if at.endless is not None:
        axes.axvspan(at.endless - 0.1 * at.span, right, color=ZONE, linewidth=0, zorder=0)


def _curve(axes: Axes, at: Places, *, rows: pd.DataFrame, named: bool) -> None:
    """One measure against epsilon: a line with a band over the budgets, points at the ends."""
    first = first_seeds(rows)
    budgets = first[(first["epsilon"] > 0) & np.isfinite(first["epsilon"])].sort_values("epsilon")
    x = [at.of_arm[arm] for arm in budgets["arm"]]
    axes.fill_between(x, budgets["low"], budgets["high"], color=BUDGET, alpha=0.18, linewidth=0)
    axes.plot(x, budgets["value"], color=BUDGET, marker="o", markersize=5, linewidth=1.8, label=_name("private", named))
    ends = (("eps-0", UNTRAINED, "s"), ("eps-inf", PLAIN, "o"), ("eps-inf-matched", MATCHED, "D"))
    for arm, colour, marker in ends:
        one = first[first["arm"] == arm]
        if one.empty:
            continue
        place = [at.of_arm[arm]]
        axes.errorbar(
            place, one["value"], yerr=_reach(one), color=colour, marker=marker, markersize=5.5, capsize=3,
            linestyle="none", linewidth=1.4, label=_name(arm, named),
        )  # fmt: skip
        if arm == "eps-inf":
            axes.axhline(float(one["value"].iloc[0]), color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    further = rows.drop(first.index)
    axes.plot(
        [at.of_arm[arm] for arm in further["arm"]], further["value"], linestyle="none", marker="o", markersize=4,
        markerfacecolor="none", markeredgecolor=MUTED,
    )  # fmt: skip


def _groups(axes: Axes, at: Places, *, rows: pd.DataFrame, column: str, groups: Sequence[str]) -> None:
    """A line a group, dodged so that bars stay apart; a group keeps its colour where another is left out."""
    for order, group in enumerate(groups):
        mine = rows[(rows["group"] == group) & (rows["arm"] != "eps-inf-matched")].sort_values("epsilon")
        if mine.empty:
            continue
        dodge = (order - (len(groups) - 1) / 2) * 0.016 * at.span
        x = np.array([at.of_arm[arm] + dodge for arm in mine["arm"]])
        colour, marker = SERIES[order % len(SERIES)], MARKERS[order % len(MARKERS)]
        sure = not mine["note"].fillna("").astype(str).str.contains("uncertain").any()
        budget = ((mine["epsilon"] > 0) & np.isfinite(mine["epsilon"])).to_numpy()
        axes.plot(x[budget], mine["value"][budget], color=colour, linewidth=1.5, linestyle="-" if sure else ":")
        axes.errorbar(
            x, mine["value"], yerr=_reach(mine), color=colour, marker=marker, markersize=5, elinewidth=1.0, capsize=0,
            linestyle="none", label=words.group(column, group), markerfacecolor=colour if sure else "none",
        )  # fmt: skip


def _reach(rows: pd.DataFrame) -> list[pd.Series[float]]:
    """How far the bars reach below and above the values; a percentile interval may leave its value outside."""
    return [(rows["value"] - rows["low"]).clip(lower=0), (rows["high"] - rows["value"]).clip(lower=0)]


def _name(arm: str, named: bool) -> str:
    return words.LEGEND[arm] if named else "_nolegend_"


def _legend(figure: Figure, axes: Axes, *, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=columns, fontsize=8.5, handlelength=1.5, columnspacing=1.4
    )


def save(figure: Figure, path: Path) -> None:
    """Write the figure, as SVG or PDF by the suffix of `path`, atomically and with deterministic bytes."""
    dated = {"Date": None} if path.suffix == ".svg" else {"CreationDate": None}
    with matplotlib.rc_context(STYLE), files.atomic(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], metadata=dated)
