"""Confidence limits that need no redraws of areas and few of proportions, for images in clusters (docs/coverage.md)."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri, owens_t, stdtrit

from privrad.evaluation.delong import Components
from privrad.evaluation.simultaneous import HIDDEN

Limits = tuple[float, float]
NEAREST = 1e-7
NO_VARIANCE = 1e-24
"""A variance up to this is rounding: all redraws are equal."""


def quantile(freedom: float, confidence: float) -> float:
    """The two-sided quantile of Student's distribution."""
    return float(stdtrit(freedom, (1 + confidence) / 2))


def binormal(area: float) -> float:
    """What a positive's (or negative's) part of the variance of an area in (0, 1) is, with two normal score densities.

    With equal variances it is Phi2(h, h; 1/2) - area^2, h = Phi^-1(area), and so is the other part: the variance of P
    positives and N negatives, independent and many, is (1/P + 1/N) times this. Owen's T gives the bivariate Phi2.
    """
    return float(area - 2 * owens_t(ndtri(area), 1 / math.sqrt(3)) - area * area)


def of_area(part: Components, *, confidence: float) -> Limits:
    """Limits of one area: every theta with (area - theta)^2 <= t^2 k binormal(theta).

    k is the scale of the area, or what makes k binormal(area) its variance where that is larger; t has one degree of
    freedom less than the lesser number of units of either label. NaN with a single one.
    """
    if part.fewer < 2:
        return math.nan, math.nan
    scale = part.scale
    if NEAREST < part.area < 1 - NEAREST:
        scale = max(scale, part.variance / binormal(part.area))
    reach = quantile(part.fewer - 1, confidence) ** 2 * scale

    def beyond(theta: float) -> float:
        return (part.area - theta) ** 2 - reach * binormal(theta)

    return _limit(beyond, part.area, 0), _limit(beyond, part.area, 1)


def _limit(beyond: Callable[[float], float], area: float, end: int) -> float:
    """Where `beyond` becomes positive between an area and an end of its range."""
    start, stop = min(max(area, NEAREST), 1 - NEAREST), abs(end - NEAREST)
    if beyond(start) >= 0:
        return area
    return float(end) if beyond(stop) <= 0 else float(brentq(beyond, start, stop, xtol=1e-12))


def of_sum(total: Components, *, confidence: float) -> Limits:
    """Limits of a sum of areas, each times a factor c, such as their mean or difference.

    value + (1 + 2 t^2) skew / 12 -+ t sqrt(variance * sum(c^2 g) / sum(c^2 v)); v is the variance of an area alone and
    g the larger of it and its scale times binormal(area), the area kept 1/(2 m) from 0 and 1, m units of the rarer
    label; skew = sum(influence^3) / sum(influence^2), half of what Johnson (JASA 1978) takes for a mean. The degrees
    of freedom of t are Satterthwaite's, from g and m - 1, over the areas whose c is positive.
    """
    terms = total.terms or ((1.0, total),)
    if any(part.fewer < 2 for _, part in terms):
        return math.nan, math.nan
    alone = math.fsum(factor**2 * part.variance for factor, part in terms)
    assisted = [factor**2 * _assisted(part) for factor, part in terms]
    added = [(share, part.fewer) for share, (factor, part) in zip(assisted, terms, strict=True) if factor > 0]
    parted = sum(share**2 / (fewer - 1) for share, fewer in added)
    if not parted > 0:
        return math.nan, math.nan
    t = quantile(sum(share for share, _ in added) ** 2 / parted, confidence)
    shift = 0.0
    if total.variance > 0:
        cubes = float((total.influence * total.influence) @ total.influence)
        shift = (1 + 2 * t * t) / 12 * cubes / total.variance
    spread = total.variance * math.fsum(assisted) / alone if alone > 0 else math.fsum(assisted)
    half = t * math.sqrt(spread)
    return total.area + shift - half, total.area + shift + half


def _assisted(part: Components) -> float:
    """The variance of one area, no smaller than what the binormal model lends it."""
    nearest = 1 / (2 * part.fewer)
    return max(part.variance, part.scale * binormal(min(max(part.area, nearest), 1 - nearest)))


def of_biased(value: float, *, mean: float, spread: float, patients: int, confidence: float) -> Limits:
    """Limits of a number in [0, 1] that few images make larger, from the `mean` and `spread` of its redraws.

    value - h b - 2 t spread and value + t spread, cut at 0 and 1: b is how far the mean of the redraws lies above the
    value, h b the most that this tells of the value's own bias (h = 1 / (sqrt 2 - 1), see `simultaneous`). The lower
    reach is doubled because that allowance is no surer than the value. t has m - 1 degrees of freedom, m patients.
    """
    reach = quantile(patients - 1, confidence) * spread
    return max(0.0, value - HIDDEN * max(0.0, mean - value) - 2 * reach), min(1.0, value + reach)


def of_proportion(value: float, *, variance: float, patients: int, confidence: float) -> Limits:
    """Limits of a proportion of images of m patients, from the `variance` of its redraws: those of its logit.

    logit(value) -+ t sqrt(s) / (value (1 - value)), s = variance m/(m-1) + value (1 - value) / m^2, with m - 1 degrees
    of freedom: the last term is one more patient, all right or all wrong. At 0 and 1, or where all redraws agree, the
    score limits of m images (Wilson, JASA 1927).
    """
    t, own = quantile(patients - 1, confidence), value * (1 - value)
    if variance > NO_VARIANCE and own > 0:
        spread = variance * patients / (patients - 1) + own / patients**2
        half = t * math.sqrt(spread) / own
        return float(expit(logit(value) - half)), float(expit(logit(value) + half))
    share = t * t / patients
    middle = (value + share / 2) / (1 + share)
    half = math.sqrt(share * own + share * share / 4) / (1 + share)
    return min(value, max(0.0, middle - half)), max(value, min(1.0, middle + half))
