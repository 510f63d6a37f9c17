"""Hanley and McNeil's comparison of two AUROCs measured on the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
NODES, WEIGHTS = np.polynomial.legendre.leggauss(48)


@dataclass(frozen=True)
class Comparison:
    """One area minus another: its standard error, z and two-sided p, and the correlation of the two areas."""

    difference: float
    correlation: float
    error: float
    z: float
    p: float


def hanley_mcneil(scores: Floats, others: Floats, *, labels: NDArray[np.bool_]) -> Comparison:
    """Compare the AUROC of `scores` with that of `others`, one an image, in the same order as `labels`.

    Images count as independent: that several are of one patient is not seen. The correlation of the areas is from
    Pearson's correlation of the scores, averaged over images with and without the finding. Two models that score
    all images alike have z 0 and p 1; where an area is 1 (no error) or a model gives one score to all images of a
    label, correlation, error, z and p are NaN.
    Source: Radiology 143 (1982) and 148 (1983). Raises ValueError without images of both labels.
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        raise ValueError(f"the images must hold both labels, and {positives} of {len(labels)} are positive")
    alike = ratings(scores, others, labels=labels)
    areas = (_area(scores, labels), _area(others, labels))
    return compare(*areas, ratings=alike, positives=positives, negatives=negatives)


def ratings(scores: Floats, others: Floats, *, labels: NDArray[np.bool_]) -> float:
    """Pearson's correlation of two models' scores, the mean of that among positive and among negative images."""
    return float(np.mean([_pearson(scores[kept], others[kept]) for kept in (labels, ~labels)]))


def compare(area: float, other: float, *, ratings: float, positives: int, negatives: int) -> Comparison:
    """Compare two areas in [0, 1] whose `ratings` correlate, on so many images; see `hanley_mcneil`."""
    errors = [standard_error(one, positives=positives, negatives=negatives) for one in (area, other)]
    apart = area - other
    mean = (area + other) / 2
    known = min(errors) > 0 and math.isfinite(ratings)
    r = correlation(ratings, area=mean, positives=positives, negatives=negatives) if known else math.nan
    variance = errors[0] ** 2 + errors[1] ** 2 - 2 * r * errors[0] * errors[1]
    if not math.isfinite(variance):
        return Comparison(apart, math.nan, math.nan, math.nan, math.nan)
    if variance < 1e-12 * (errors[0] ** 2 + errors[1] ** 2):
        same = apart == 0
        return Comparison(apart, r, 0.0, 0.0 if same else math.nan, 1.0 if same else math.nan)
    error = math.sqrt(variance)
    return Comparison(apart, r, error, apart / error, float(2 * norm.sf(abs(apart) / error)))


def standard_error(area: float, *, positives: int, negatives: int) -> float:
    """The standard error of one AUROC in [0, 1] with negative exponential scores (Hanley and McNeil 1982)."""
    twice_above, twice_below = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area)
    variance += (positives - 1) * (twice_above - area**2) + (negatives - 1) * (twice_below - area**2)
    return math.sqrt(max(variance, 0.0) / (positives * negatives))


def correlation(ratings: float, *, area: float, positives: int, negatives: int) -> float:
    """The correlation of two areas of mean `area` in (0, 1), given that of the ratings in [-1, 1].

    Hanley and McNeil (1983) tabulate it for binormal ratings. With T(c) the chance that two standard normal variables
    of correlation c are both below the quantile of `area`, less area^2, and n = positives + negatives - 2, it is
        (n T(ratings / 2) + T(ratings)) / (n T(1 / 2) + area (1 - area)).
    50 images of each label give their table, but for rounding.
    """
    cut, others = float(norm.ppf(area)), positives + negatives - 2
    shared = others * _beyond_independence(ratings / 2, cut) + _beyond_independence(ratings, cut)
    return shared / (others * _beyond_independence(0.5, cut) + area * (1 - area))


def _beyond_independence(correlated: float, cut: float) -> float:
    """T(c), by Plackett: the integral of exp(-cut^2 / (1 + sin t)) / (2 pi) over t from 0 to arcsin c."""
    half = math.asin(correlated) / 2
    angles = half * (NODES + 1)
    return float(half * (WEIGHTS @ np.exp(-(cut**2) / (1 + np.sin(angles)))) / (2 * math.pi))


def _pearson(one: Floats, other: Floats) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    one, other = (each / np.ptp(each) for each in (one - one.min(), other - other.min()))
    return float(np.clip(np.corrcoef(one, other)[0, 1], -1.0, 1.0))


def _area(scores: Floats, labels: NDArray[np.bool_]) -> float:
    """The AUROC, a tie counted half."""
    negative = np.sort(scores[~labels])
    below, upto = (np.searchsorted(negative, scores[labels], side=side) for side in ("left", "right"))
    return float((below + upto).mean() / (2 * len(negative)))
