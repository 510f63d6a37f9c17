"""Limits of areas and of sums of areas, by the laws of docs/coverage.md."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import bisect
from scipy.special import ndtri, owens_t, stdtrit

from privrad.verify.influence import Influence

Limits = tuple[float, float]
EDGE = 1e-7


def student(freedom: float, confidence: float) -> float:
    """The two-sided quantile of Student's distribution."""
    return float(stdtrit(freedom, (1 + confidence) / 2))


def of_area(part: Influence, *, confidence: float) -> Limits:
    """All areas within t of their own binormal standard deviations of the one measured."""
    if part.fewer < 2:
        return math.nan, math.nan
    inside = EDGE < part.area < 1 - EDGE
    scale = max(part.scale, part.variance / _binormal(part.area)) if inside else part.scale
    reach = student(part.fewer - 1, confidence) ** 2 * scale

    def outside(area: float) -> float:
        return (area - part.area) ** 2 - reach * _binormal(area)

    start = min(max(part.area, EDGE), 1 - EDGE)
    found = []
    for end in (0, 1):
        stop = EDGE if end == 0 else 1 - EDGE
        if outside(start) >= 0:
            found.append(part.area)
        elif outside(stop) <= 0:
            found.append(float(end))
        else:
            found.append(float(bisect(outside, start, stop, xtol=1e-13, maxiter=200)))
    return found[0], found[1]


def of_sum(whole: Influence, *, confidence: float) -> Limits:
    """Limits of a mean or a difference of areas: Student's, of a variance that a binormal model assists, and shifted.

    Each area's variance is at least its scale times the binormal part; the degrees of freedom are Satterthwaite's over
    the areas that are added; the shift is Johnson's (JASA 1978) for the skewness of the influences.
    """
    factors = np.array([factor for factor, _ in whole.parts])
    fewer = np.array([part.fewer for _, part in whole.parts], dtype=float)
    if fewer.min() < 2:
        return math.nan, math.nan
    alone = factors**2 @ np.array([part.variance for _, part in whole.parts])
    assisted = factors**2 * np.array([_assisted(part) for _, part in whole.parts])
    added = factors > 0
    apart = float((assisted[added] ** 2 / (fewer[added] - 1)).sum())
    if not apart > 0:
        return math.nan, math.nan
    t = student(float(assisted[added].sum()) ** 2 / apart, confidence)
    skew = float((whole.of_units**3).sum()) / whole.variance if whole.variance > 0 else 0.0
    spread = whole.variance * float(assisted.sum()) / float(alone) if alone > 0 else float(assisted.sum())
    middle, half = whole.area + (1 + 2 * t**2) * skew / 12, t * math.sqrt(spread)
    return middle - half, middle + half


def _assisted(part: Influence) -> float:
    """An area's variance, but no smaller than its scale times the binormal part."""
    nearest = 1 / (2 * part.fewer)
    return max(part.variance, part.scale * _binormal(min(max(part.area, nearest), 1 - nearest)))


def _binormal(area: float) -> float:
    """How much likelier than by chance two positives both outscore one negative, in a binormal model of an area."""
    return float(area - 2 * owens_t(ndtri(area), 1 / math.sqrt(3)) - area**2)
