"""The area under the ROC curve for many redraws at once, exact under ties.

Each redraw is a column of weights: how often a patient (and so each image of theirs) was drawn. Images are sorted once;
every redraw then costs one running sum. Sharing the weights among findings, groups and models makes their differences
paired at no cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Ranking:
    """The images of one cell (a model, finding and group), ready to be weighted.

    `positives` and `negatives` index into the rows of the weights, the latter in ascending order of score; `below` and
    `upto` count, for each positive, the negatives with a lower and with a lower or equal score.
    """

    positives: Indices
    negatives: Indices
    below: Indices
    upto: Indices


def rank(scores: Floats, *, labels: NDArray[np.bool_], rows: Indices) -> Ranking:
    """Sort the images once: finite `scores`, `labels` and `rows` (of the weights) have one entry an image."""
    rows_of_negatives, negative_scores = rows[~labels], scores[~labels]
    order = np.argsort(negative_scores, kind="stable")
    ascending = negative_scores[order]
    positive_scores = scores[labels]
    by_score = np.argsort(positive_scores, kind="stable")
    sought = positive_scores[by_score]
    return Ranking(
        positives=rows[labels][by_score],
        negatives=rows_of_negatives[order],
        below=np.searchsorted(ascending, sought, side="left"),
        upto=np.searchsorted(ascending, sought, side="right"),
    )


def auroc(ranking: Ranking, *, weights: Floats) -> Floats:
    """The weighted AUROC of every redraw: P(positive above negative) + P(equal) / 2, the Mann-Whitney statistic.

    `weights` is [images, redraws], non-negative. Whole-number weights are summed without rounding, in float64, as long
    as their sum squared stays below 2**52. Gives NaN where a redraw has no positive or no negative weight.
    """
    before = np.zeros((len(ranking.negatives) + 1, weights.shape[1]))
    np.cumsum(weights[ranking.negatives], axis=0, out=before[1:])
    drawn = weights[ranking.positives]
    counted = before[ranking.below]
    counted += before[ranking.upto]
    twice_won = np.einsum("ij,ij->j", drawn, counted)
    pairs = drawn.sum(axis=0) * before[-1]
    areas = np.full(weights.shape[1], np.nan)
    np.divide(twice_won, 2 * pairs, out=areas, where=pairs > 0)
    return areas


def redraws(rng: np.random.Generator, *, units: int, count: int, chunk: int) -> Iterator[Floats]:
    """Give the weights of `count` bootstrap redraws of `units` patients or images, as arrays [units, at most chunk].

    A redraw takes `units` of them with replacement, so its weights are multinomial. They do not depend on `chunk`.
    """
    for start in range(0, count, chunk):
        weights = np.empty((units, min(chunk, count - start)))
        for column in range(weights.shape[1]):
            weights[:, column] = np.bincount(rng.integers(units, size=units), minlength=units)
        yield weights


def chunk_for(images: int, *, elements: int = 2**20) -> int:
    """How many redraws to weight at a time, so that one array holds about `elements` numbers."""
    return max(1, min(256, elements // max(images, 1)))


@dataclass(frozen=True)
class Interval:
    """What the redraws say of one number: percentile bounds, standard deviation, how many were not estimable."""

    low: float
    high: float
    sd: float
    degenerate: int


def interval(draws: Floats, *, confidence: float) -> Interval:
    """The percentile interval over the redraws that could be estimated; NaN throughout with fewer than two of those."""
    estimable = draws[np.isfinite(draws)]
    degenerate = int(draws.size - estimable.size)
    if estimable.size < 2:
        return Interval(low=np.nan, high=np.nan, sd=np.nan, degenerate=degenerate)
    tail = (1 - confidence) / 2
    low, high = np.quantile(estimable, [tail, 1 - tail])
    return Interval(low=float(low), high=float(high), sd=float(estimable.std(ddof=1)), degenerate=degenerate)
