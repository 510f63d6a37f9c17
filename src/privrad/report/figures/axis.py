"""The axis of privacy: finite budgets by the logarithm of epsilon, with 0 and infinity apart at its ends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from privrad.report import words
from privrad.report.figures.style import BUDGET, MATCHED, MUTED, PLAIN, SERIES, UNTRAINED, ZONE

LABEL = 0.36
"""The room that the label of one budget needs, in inches."""
ENDS = (("eps-0", UNTRAINED, "s"), ("eps-inf", PLAIN, "o"), ("eps-inf-matched", MATCHED, "D"))
TOP = 1.015
"""Where an axis up to 1 ends, so that a marker at 1 is whole."""
SAID = "Privacy budget ε (smaller is more private)"


@dataclass(frozen=True)
class Places:
    """Where each arm stands on the horizontal axis, and how wide the axis is."""

    of_arm: Mapping[str, float]
    finite: Mapping[float, float]
    untrained: float | None
    endless: float | None
    span: float

    def ticks(self, *, inches: float) -> tuple[list[float], list[str]]:
        """Positions and labels on an axis so long: of the finite budgets, those labels that do not touch another."""
        held = {place: f"{budget:g}" for budget, place in self.finite.items()}
        ends = [place for place in (self.untrained, self.endless) if place is not None]
        left, right = self.limits
        apart = LABEL * (right - left) / inches
        labelled = list(ends)
        ordered = sorted(held)
        for place in [*ordered[:1], *ordered[:0:-1]]:
            if all(abs(place - other) >= (apart if other not in ends else apart / 2) for other in labelled):
                labelled.append(place)
        ticks = [(place, label if place in labelled else "") for place, label in held.items()]
        ticks += [(place, "0" if place == self.untrained else "∞") for place in ends]
        return [place for place, _ in sorted(ticks)], [label for _, label in sorted(ticks)]

    @property
    def limits(self) -> tuple[float, float]:
        """The left and the right end of the axis."""
        held = [*self.finite.values(), *(place for place in (self.untrained, self.endless) if place is not None)]
        return min(held) - 0.1 * self.span, max(held) + 0.1 * self.span


def places(table: pd.DataFrame) -> Places:
    """Lay out the arms of a table with the columns arm and epsilon."""
    arms = table.drop_duplicates("arm").set_index("arm")["epsilon"].astype(float)
    finite = {epsilon: math.log10(epsilon) for epsilon in sorted(set(arms)) if 0 < epsilon < math.inf}
    low, high = (min(finite.values()), max(finite.values())) if finite else (0.0, 0.0)
    span = max(high - low, 0.5)
    untrained = low - 0.2 * span if (arms == 0).any() else None
    endless = high + 0.2 * span if np.isinf(arms).any() else None
    twins = bool({"eps-inf", "eps-inf-matched"} <= set(arms.index))
    of_arm = {}
    for arm, epsilon in arms.items():
        at = untrained if epsilon == 0 else endless if math.isinf(epsilon) else finite[epsilon]
        shift = 0.035 * span * (twins and math.isinf(epsilon)) * (1 if arm == "eps-inf-matched" else -1)
        of_arm[str(arm)] = float(at if at is not None else low) + shift
    return Places(of_arm, finite, untrained, endless, span)


def frame(axes: Axes, at: Places, *, inches: float) -> None:
    """The common ground of a panel so wide: the budgets below, the ends shaded, lines across."""
    ticks, labels = at.ticks(inches=inches)
    axes.set_xticks(ticks, labels)
    axes.set_xlim(*at.limits)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    left, right = at.limits
    if at.untrained is not None:
        axes.axvspan(left, at.untrained + 0.1 * at.span, color=ZONE, linewidth=0, zorder=0)
    if at.endless is not None:
        axes.axvspan(at.endless - 0.1 * at.span, right, color=ZONE, linewidth=0, zorder=0)


def share_of_one(axes: Axes, rows: pd.DataFrame, *, floor: float = 0.5) -> None:
    """A vertical axis to just above 1, from `floor` (chance, for an AUROC) or from below the lowest interval."""
    lowest = float(rows["low"].fillna(rows["value"]).min())
    axes.set_ylim(min(floor, math.floor(20 * lowest) / 20) if math.isfinite(lowest) else floor, TOP)


def curve(axes: Axes, at: Places, *, rows: pd.DataFrame) -> None:
    """One measure: a line with a band over the budgets and points at the ends, all of the first training.

    Further trainings are open dots; the mean over all, with their standard deviation, stands beside them.
    """
    rows = rows[rows["value"].notna()]
    first = first_seeds(rows)
    budgets = finite(first)
    x = [at.of_arm[arm] for arm in budgets["arm"]]
    said = words.LEGEND["private"] if x else "_nolegend_"
    axes.fill_between(x, budgets["low"], budgets["high"], color=BUDGET, alpha=0.18, linewidth=0)
    axes.plot(x, budgets["value"], color=BUDGET, marker="o", markersize=5, linewidth=1.8, label=said)
    for arm, colour, marker in ENDS:
        one = first[first["arm"] == arm]
        if one.empty:
            continue
        axes.errorbar(
            [at.of_arm[arm]], one["value"], yerr=reach(one), color=colour, marker=marker, markersize=5.5, capsize=3,
            linestyle="none", linewidth=1.4, label=words.LEGEND[arm],
        )  # fmt: skip
    without(axes, rows=first, colour=MUTED)
    further = rows.drop(first.index)
    if len(further):
        _trainings(axes, at, rows=rows)
    axes.plot(
        [at.of_arm[arm] for arm in further["arm"]], further["value"], linestyle="none", marker="o", markersize=4,
        markerfacecolor="none", markeredgecolor=MUTED,
    )  # fmt: skip


def _trainings(axes: Axes, at: Places, *, rows: pd.DataFrame) -> None:
    """The mean over the trainings of each arm that has several, with their standard deviation, right of its place."""
    held = rows.groupby("arm", sort=False)["value"].agg(["mean", "std", "size"])
    held = held[held["size"] > 1]
    axes.errorbar(
        [at.of_arm[str(arm)] + 0.022 * at.span for arm in held.index], held["mean"], yerr=held["std"], color=SERIES[3],
        marker="_", markersize=6, capsize=2, linestyle="none", linewidth=1.2, label=words.LEGEND["trainings"],
    )  # fmt: skip


def without(axes: Axes, *, rows: pd.DataFrame, colour: str) -> None:
    """A dashed line across at the value without privacy."""
    for value in rows.loc[rows["arm"] == "eps-inf", "value"].dropna().iloc[:1]:
        axes.axhline(float(value), color=colour, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)


def finite(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the private arms, by epsilon."""
    return rows[(rows["epsilon"] > 0) & np.isfinite(rows["epsilon"].astype(float))].sort_values("epsilon")


def first_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of each arm's first seed."""
    return rows[rows["seed"] == rows.groupby("arm")["seed"].transform("min")]


def reach(rows: pd.DataFrame) -> list[pd.Series[float]]:
    """How far the bars reach below and above the values; a percentile interval may leave its value outside."""
    return [(rows["value"] - rows["low"]).clip(lower=0), (rows["high"] - rows["value"]).clip(lower=0)]


def ordered(arms: Mapping[str, float]) -> Sequence[str]:
    """Arms by epsilon; of those without privacy the matched recipe first."""
    return sorted(arms, key=lambda arm: (arms[arm], arm != "eps-inf-matched", arm))
