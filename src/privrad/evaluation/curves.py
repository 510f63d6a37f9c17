"""What a model says of each finding on all test images: ROC and precision-recall curves, reliability, histograms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from privrad import progress
from privrad.evaluation import roc
from privrad.evaluation.estimates import TestSet
from privrad.evaluation.redraws import Weights

Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]
STEPS = 100
HISTOGRAM_BINS = 20


@dataclass(frozen=True)
class Passed:
    """One cell on every row of the weights: the first is the test set, the others are redraws.

    `roc` is [rows, 101], the sensitivity at each false-positive rate 0, 0.01, ... 1; `precision` is [rows, 101], the
    precision at each such recall; `bins` is [rows, bins, 2], the weighted images and positives of each bin of the
    score, lowest first. NaN where a row has no positive or, in `roc`, no negative.
    """

    roc: Floats
    precision: Floats
    bins: Floats


def of(test: TestSet, weights: Weights, *, confidence: float) -> dict[str, Rows]:
    """The rows of curves.csv, reliability.csv and scores.csv, for every model and finding over all test images.

    Bands and intervals are percentile intervals at each point alone, over all redraws that can be estimated.
    """
    matrix = weights.matrix[: 1 + weights.redraws]
    found: dict[str, Rows] = {"curves.csv": [], "reliability.csv": [], "scores.csv": []}
    for (one, finding), (rows, scores, labels) in progress.track(test.scored.items(), what="curves"):
        key = {"arm": one[0], "epsilon": test.epsilons[one], "seed": one[1], "finding": finding}
        units = test.units[rows]
        passed = measure(scores, labels=labels, units=units, weights=matrix)
        found["curves.csv"] += [key | row for row in curves(passed, confidence=confidence)]
        reliable = reliability(passed, scores=scores, units=units, confidence=confidence)
        found["reliability.csv"] += [key | row for row in reliable]
        found["scores.csv"] += [key | row for row in histograms(scores, labels=labels)]
    return found


def measure(
    scores: Floats, *, labels: NDArray[np.bool_], units: NDArray[np.int32], weights: NDArray[np.uint16]
) -> Passed:
    """Pass once over the images for each row of `weights` [rows, units]; the other arrays have one entry an image.

    On the ROC curve, images of equal score are one straight line, and a vertical step gives its upper end. Precision at
    a recall is that at the highest score which reaches the recall (recall 0: which reaches any), the steps that average
    precision sums. Both are compared in whole numbers.
    """
    ranking, _ = roc.rank(scores, labels=labels, units=units)
    ends = [ranking.above(edge / roc.BINS) for edge in range(roc.BINS - 1, 0, -1)]
    stops = np.array([*ends, len(scores)], dtype=np.int64)
    many = roc.worth_it(ranking, rows=len(weights))
    totals = (_totals_together if many else _totals_alone)(ranking.units, ranking.positive, weights)
    in_one_pass = _pass_together if many else _pass_alone
    rates, precision, at = in_one_pass(ranking.units, ranking.positive, ranking.closes, weights, totals, stops, STEPS)
    own = np.diff(at, axis=1, prepend=0)[:, ::-1]
    return Passed(rates, precision, np.stack([own.sum(axis=2), own[..., 0]], axis=2))


def curves(passed: Passed, *, confidence: float) -> Iterator[dict[str, Any]]:
    """The ROC curve ("roc": x false-positive rate, y sensitivity) and that of precision over recall ("pr": x recall).

    A curve that cannot be drawn from the test set has no rows.
    """
    for name, values in (("roc", passed.roc), ("pr", passed.precision)):
        if np.isnan(values[0]).any():
            continue
        low, high = _band(values[1:], confidence=confidence)
        for step in range(STEPS + 1):
            place = {"curve": name, "x": step / STEPS, "y": float(values[0, step])}
            yield place | {"low": float(low[step]), "high": float(high[step])}


def reliability(
    passed: Passed, *, scores: Floats, units: NDArray[np.int32], confidence: float
) -> Iterator[dict[str, Any]]:
    """Mean score and observed share of positives in each bin of the score that has images.

    Where no image of a bin is positive, or every one, redraws cannot tell how sure that is: the interval is then
    Clopper and Pearson's (Biometrika 26, 1934) for the bin's units, which count once however many images they have.
    """
    images, positives = passed.bins[..., 0], passed.bins[..., 1]
    observed = np.full(images.shape, np.nan)
    np.divide(positives, images, out=observed, where=images > 0)
    low, high = _band(observed[1:], confidence=confidence)
    bins = bin_of(scores, bins=roc.BINS)
    for place in np.flatnonzero(images[0]).tolist():
        within = bins == place
        share, bounds = float(observed[0, place]), (float(low[place]), float(high[place]))
        if share in (0, 1):
            reach = ((1 - confidence) / 2) ** (1 / len(np.unique(units[within])))
            bounds = (0.0, 1 - reach) if share == 0 else (reach, 1.0)
        yield (
            {"bin": place, "from": place / roc.BINS, "upto": (place + 1) / roc.BINS}
            | {"mean_score": float(scores[within].mean()), "observed": share, "low": bounds[0], "high": bounds[1]}
            | {"images": int(images[0, place]), "positives": int(positives[0, place])}
        )


def histograms(scores: Floats, *, labels: NDArray[np.bool_]) -> Iterator[dict[str, Any]]:
    """How many images of each label have a score in each of 20 equally wide bins, empty ones included."""
    bins = bin_of(scores, bins=HISTOGRAM_BINS)
    for label in (0, 1):
        counts = np.bincount(bins[labels == bool(label)], minlength=HISTOGRAM_BINS)
        for place, images in enumerate(counts.tolist()):
            yield (
                {"label": label, "bin": place, "from": place / HISTOGRAM_BINS, "upto": (place + 1) / HISTOGRAM_BINS}
                | {"images": images}
            )


def bin_of(scores: Floats, *, bins: int) -> NDArray[np.intp]:
    """The bin of each score, of `bins` equally wide ones over [0, 1]: lower edge in, upper out, but 1 in the last."""
    return np.searchsorted(np.arange(1, bins) / bins, scores, side="right")


def _band(draws: Floats, *, confidence: float) -> tuple[Floats, Floats]:
    """Percentile bounds of each column over its finite redraws; NaN with fewer than two of those."""
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    bounds = np.full((2, draws.shape[1]), np.nan)
    finite = np.isfinite(draws)
    whole = finite.all(axis=0)
    if len(draws) >= 2:
        bounds[:, whole] = np.quantile(draws[:, whole], tails, axis=0)
    for column in np.flatnonzero(~whole & (finite.sum(axis=0) >= 2)):
        bounds[:, column] = np.quantile(draws[finite[:, column], column], tails)
    return bounds[0], bounds[1]


def _totals(units, positive, weights):  # type: ignore[no-untyped-def]
    """Positives and negatives of every row of the weights."""
    held = np.zeros((weights.shape[1], 2), np.int64)
    for place in range(len(units)):
        held[units[place], 1 - positive[place]] += 1
    totals = np.zeros((weights.shape[0], 2), np.int64)
    for row in prange(weights.shape[0]):
        for unit in range(weights.shape[1]):
            weight = np.int64(weights[row, unit])
            totals[row, 0] += weight * held[unit, 0]
            totals[row, 1] += weight * held[unit, 1]
    return totals


def _pass(units, positive, closes, weights, totals, stops, steps):  # type: ignore[no-untyped-def]
    """Both curves on their grids, and the positives and negatives that have passed at each stop."""
    rates = np.full((weights.shape[0], steps + 1), np.nan)
    precision = np.full((weights.shape[0], steps + 1), np.nan)
    at = np.zeros((weights.shape[0], len(stops), 2))
    for row in prange(weights.shape[0]):
        positives, negatives = totals[row, 0], totals[row, 1]
        true = false = true_before = false_before = np.int64(0)
        rate = recall = stop = 0
        while stop < len(stops) and stops[stop] == 0:
            stop += 1
        for place in range(len(units)):
            weight = np.int64(weights[row, units[place]])
            counted = weight * positive[place]
            true += counted
            false += weight - counted
            if not closes[place]:
                continue
            while rate <= steps and false * steps > rate * negatives:
                share = (rate * negatives / steps - false_before) / (false - false_before)
                rates[row, rate] = true_before + share * (true - true_before)
                rate += 1
            while recall <= steps and true > 0 and true * steps >= recall * positives:
                precision[row, recall] = true / (true + false)
                recall += 1
            true_before, false_before = true, false
            while stop < len(stops) and stops[stop] == place + 1:
                at[row, stop, 0], at[row, stop, 1] = true, false
                stop += 1
        rates[row, rate:] = positives
        for step in range(steps + 1):
            rates[row, step] = rates[row, step] / positives if positives > 0 and negatives > 0 else np.nan
    return rates, precision, at


_totals_alone, _totals_together = njit(cache=True)(_totals), njit(parallel=True, cache=True)(_totals)
_pass_alone, _pass_together = njit(cache=True)(_pass), njit(parallel=True, cache=True)(_pass)
