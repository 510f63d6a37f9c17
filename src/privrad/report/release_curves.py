"""Curves, reliability and histograms through points so far apart that every step between them is nobody or many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
OPEN = float("nan")
RUN = ["arm", "seed", "finding"]


@dataclass
class Chain:
    """Cut-offs of one model and finding by how many negatives and positives reach them, from none to all.

    Cut-offs are ordered, so of two the one that more negatives reach is reached by no fewer positives. `points` are
    those that are known; a coordinate that is hidden is NaN.
    """

    negatives: float
    positives: float
    minimum: int
    points: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.points = [(0.0, 0.0), (self.negatives, self.positives), *self.points]

    def take(self, point: tuple[float, float]) -> bool:
        """Add a point, unless it lies 1 to `minimum` - 1 negatives or positives from one that is known."""
        steps = np.abs(np.array(self.points) - point)
        if ((steps > 0) & (steps < self.minimum)).any():
            return False
        self.points.append(point)
        return True

    def line(self) -> Floats:
        """The known points in order, [points, 2]."""
        known = {point for point in self.points if point == point and not np.isnan(point).any()}
        return np.array(sorted(known))


@dataclass(frozen=True)
class Drawn:
    """What may be drawn of one model and finding."""

    curves: pd.DataFrame
    reliability: pd.DataFrame
    scores: pd.DataFrame


def fit_to_leave(
    curves: pd.DataFrame,
    reliability: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    chains: Mapping[tuple[str, int, str], Chain],
) -> Drawn:
    """Draw each (arm, seed, finding) through the points that its chain can take; without a chain, nothing of it.

    Bins of scores are merged with the next higher ones until their edges are such points. ROC and precision-recall
    curves are straight lines through points and bin edges, and bands are straight between those of the points.
    """
    parts = {name: _split(table) for name, table in (("curves", curves), ("bins", reliability), ("scores", scores))}
    made: dict[str, list[pd.DataFrame]] = {name: [] for name in parts}
    for key in dict.fromkeys(key for held in parts.values() for key in held):
        chain = chains.get(key)
        if chain is None:
            continue
        coarse = _edges(_counted(parts["bins"].get(key)), chain)
        fine = coarse | _edges(_counted_by_label(parts["scores"].get(key)), chain)
        if key in parts["bins"]:
            made["bins"].append(_merged_reliability(parts["bins"][key], coarse))
        if key in parts["scores"]:
            made["scores"].append(_merged_scores(parts["scores"][key], fine))
        if key in parts["curves"]:
            made["curves"].append(_redrawn(parts["curves"][key], chain))
    whole = (("curves", curves), ("bins", reliability), ("scores", scores))
    return Drawn(*(pd.concat(made[name], ignore_index=True) if made[name] else table[:0] for name, table in whole))


def _split(table: pd.DataFrame) -> dict[tuple[str, int, str], pd.DataFrame]:
    return {
        (str(arm), int(str(seed)), str(finding)): part for (arm, seed, finding), part in table.groupby(RUN, sort=False)
    }


def _counted(table: pd.DataFrame | None) -> list[tuple[float, float, float]]:
    """Lower edge, negatives and positives of each bin."""
    if table is None:
        return []
    return list(zip(table["from"], table["images"] - table["positives"], table["positives"], strict=True))


def _counted_by_label(table: pd.DataFrame | None) -> list[tuple[float, float, float]]:
    if table is None:
        return []
    held: dict[float, list[float]] = {}
    for edge, label, images in zip(table["from"], table["label"], table["images"], strict=True):
        held.setdefault(float(edge), [0.0, 0.0])[int(label)] += float(images)
    return [(edge, negatives, positives) for edge, (negatives, positives) in sorted(held.items())]


def _edges(bins: Sequence[tuple[float, float, float]], chain: Chain) -> set[float]:
    """The lower edges, rounded, of those bins that the chain can take."""
    taken = set()
    negatives = positives = 0.0
    for edge, of_negatives, of_positives in sorted(bins, reverse=True):
        negatives, positives = negatives + of_negatives, positives + of_positives
        if chain.take((negatives, positives)):
            taken.add(round(edge, 6))
    return taken


def _starts(edges: Iterable[float], taken: set[float], *, also: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
    """For ascending lower edges, where each merged bin starts: at the first, at a taken one, and where `also` says."""
    starts = np.array([round(edge, 6) in taken for edge in edges])
    if also is not None:
        starts |= also
    starts[:1] = True
    return np.flatnonzero(starts)


def _joined(table: pd.DataFrame, starts: NDArray[np.intp], *, summed: Sequence[str]) -> pd.DataFrame:
    """The first row of each merged bin, with its upper edge and the counts of all."""
    ends = np.append(starts[1:], len(table)) - 1
    sums = {name: np.add.reduceat(table[name].to_numpy(), starts) for name in summed}
    return table.iloc[starts].assign(upto=table["upto"].to_numpy()[ends], **sums)


def _merged_reliability(table: pd.DataFrame, taken: set[float]) -> pd.DataFrame:
    """Bins put together; their bounds are the mean bounds weighted by images, which errs on the wide side."""
    table = table.sort_values("from")
    starts = _starts(table["from"], taken)
    weighted = {name: table[name] * table["images"] for name in ("mean_score", "low", "high")}
    made = _joined(table.assign(**weighted), starts, summed=("images", "positives", *weighted))
    means = {name: made[name] / made["images"] for name in weighted}
    return made.assign(**means, observed=made["positives"] / made["images"])


def _merged_scores(table: pd.DataFrame, taken: set[float]) -> pd.DataFrame:
    table = table.sort_values(["label", "from"])
    labels = table["label"].to_numpy()
    return _joined(table, _starts(table["from"], taken, also=labels != np.roll(labels, 1)), summed=("images",))


def _redrawn(table: pd.DataFrame, chain: Chain) -> pd.DataFrame:
    roc = table[table["curve"] == "roc"].sort_values("x")
    for x, y in zip(roc["x"], roc["y"], strict=True):
        point = float(np.floor(x * chain.negatives + 1e-9)), y * chain.positives
        if abs(point[1] - round(point[1])) < 1e-6:
            chain.take((point[0], float(round(point[1]))))
    line = chain.line()
    made = []
    for curve, part in table.groupby("curve", sort=False):
        part = part.sort_values("x")
        x = part["x"].to_numpy(dtype=float)
        if curve == "roc":
            y, knots = _roc(x, line), line[:, 0] / chain.negatives
        else:
            y, knots = _precision(x, line), line[:, 1] / chain.positives
        at = np.unique(np.searchsorted((x[1:] + x[:-1]) / 2, knots))
        bounds = [np.interp(x, x[at], part[name].to_numpy(dtype=float)[at]) for name in ("low", "high")]
        made.append(part.assign(y=y, low=np.minimum(bounds[0], y), high=np.maximum(bounds[1], y)))
    return pd.concat(made, ignore_index=True) if made else table


def _roc(x: Floats, line: Floats) -> Floats:
    """Sensitivity at false-positive rates `x`, at the upper end of a vertical step."""
    ahead = np.arange(len(line)) * 1e-9
    return np.asarray(np.interp(x * line[-1, 0] + 1e-6, line[:, 0] + ahead, line[:, 1]) / line[-1, 1])


def _precision(x: Floats, line: Floats) -> Floats:
    """Precision at recalls `x`, where the fewest negatives reach; at recall 0 that of the first step."""
    called = np.maximum(x, 0.01) * line[-1, 1]
    ahead = np.arange(len(line)) * 1e-9
    others = np.interp(called, line[:, 1] + ahead, line[:, 0])
    return np.asarray(called / (called + others))
