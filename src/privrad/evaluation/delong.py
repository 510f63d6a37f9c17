"""The AUROC's sampling variance without redraws, for images that come in clusters (patients), ties exact.

DeLong, DeLong and Clarke-Pearson (Biometrics 1988) give the covariance of areas of independent images, Obuchowski
(Biometrics 1997) that of clustered ones. Here both are inner products of influences of the units, so that any sum,
mean or difference of areas over models, findings and groups that share the units has its variance at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Components:
    """An area, or a sum of areas, and how much each unit bears on it: `influence` [units].

    The sum of squares of the influence is `variance`; a unit without images in the cell has 0. Both are NaN where the
    variance is not estimable. Of one area `fewer` is the lesser number of units with positive and with negative images,
    and `scale` what a binormal variance is multiplied by (see `intervals`). Of a sum `terms` holds the areas, each with
    its factor, and `scale` is NaN.
    """

    area: float
    influence: Floats
    variance: float
    fewer: int
    scale: float = math.nan
    terms: tuple[tuple[float, Components], ...] = ()


def components(scores: Floats, *, labels: NDArray[np.bool_], units: NDArray[np.int32], count: int) -> Components:
    """Give the area of one cell and the influence on it of each of `count` units; O(n log n) for n images.

    With P positive images in p units and N negative ones in n units, the share s of the negatives that a positive
    outscores (a tie counts half), and the share t of the positives that outscore a negative, unit u has
        influence = sqrt(p/(p-1)) sum(s - area)/P + sqrt(n/(n-1)) sum(t - area)/N,
    the sums over its own images. With one image a unit the variance is DeLong's. With more it is Obuchowski's but for
    one factor: hers of the term between a unit's own positives and negatives is U/(U-1), here sqrt(p/(p-1) n/(n-1)),
    which is no smaller and makes the covariance an inner product. The `scale` is (1/P + 1/N) max(1, variance/DeLong's),
    DeLong's being that of independent images; where it is 0 (every positive above every negative) 1/p + 1/n.
    The variance is NaN with positives, or negatives, in one unit alone. Raises ValueError without any.
    """
    positive, negative = scores[labels], scores[~labels]
    if not len(positive) or not len(negative):
        lacking = "positive" if not len(positive) else "negative"
        raise ValueError(f"an AUROC needs images of both labels, and none of {len(scores)} is {lacking}")
    won = _outscored(positive, negative)
    lost = 1 - _outscored(negative, positive)
    area = float(won.mean())
    above, below = (_share(part - area, units[kept], count) for part, kept in ((won, labels), (lost, ~labels)))
    influence = above.influence + below.influence
    variance = float(influence @ influence)
    independent = _of_mean(won) + _of_mean(lost)
    if independent > 0:
        scale = (1 / len(won) + 1 / len(lost)) * max(1.0, variance / independent)
    else:
        scale = 1 / above.units + 1 / below.units
    return Components(area, influence, variance, fewer=min(above.units, below.units), scale=scale)


def covariance(one: Components, other: Components) -> float:
    """The sampling covariance of two areas, measured on the same units."""
    return float(one.influence @ other.influence)


def mean(parts: Sequence[Components]) -> Components | None:
    """The unweighted mean of areas that share their units; None of nothing."""
    return _sum([(1 / len(parts), part) for part in parts]) if parts else None


def difference(one: Components, other: Components) -> Components:
    """One area minus another, measured on the same units."""
    return _sum([(1.0, one), (-1.0, other)])


def _sum(parts: Sequence[tuple[float, Components]]) -> Components:
    """The sum of areas, or of sums of them, each times a factor."""
    influence = np.zeros_like(parts[0][1].influence)
    for factor, part in parts:
        influence += factor * part.influence
    terms = tuple((factor * own, leaf) for factor, part in parts for own, leaf in part.terms or ((1.0, part),))
    area = math.fsum(factor * part.area for factor, part in parts)
    fewer = min(part.fewer for _, part in parts)
    return Components(area, influence, float(influence @ influence), fewer=fewer, terms=terms)


def _outscored(scores: Floats, others: Floats) -> Floats:
    """The share of `others` that each score outscores, a tie counted half."""
    ordered = np.sort(others, kind="stable")
    below, upto = np.searchsorted(ordered, scores), np.searchsorted(ordered, scores, side="right")
    return (below + upto) / (2.0 * len(others))


def _of_mean(values: Floats) -> float:
    """The variance of the mean of independent values; NaN of one."""
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class _Share:
    influence: Floats
    units: int


def _share(deviations: Floats, units: NDArray[np.int32], count: int) -> _Share:
    """Each unit's part of the mean of the deviations, with the factor of the number of units that hold any."""
    held = int(np.count_nonzero(np.bincount(units, minlength=count)))
    if held < 2:
        return _Share(np.full(count, np.nan), held)
    summed: Floats = np.bincount(units, weights=deviations, minlength=count).astype(np.float64, copy=False)
    return _Share(summed * (math.sqrt(held / (held - 1)) / len(deviations)), held)
