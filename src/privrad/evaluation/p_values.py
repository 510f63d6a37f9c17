"""P values from the redraws of a difference and from its interval, and their adjustment for how many there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq

from privrad.evaluation.redraws import Floats

Limits = Callable[[float], tuple[float, float]]
LEVELS = (0.5, 0.25, 0.1, 0.05, 0.025, 0.01, 0.001, 0.0001)
"""Where a one-sided p from an interval is sought; none is given as smaller than the last."""


def paired_p(draws: Floats) -> float:
    """Two-sided p of the hypothesis that a difference is zero, from its `draws` [redraws]: never 0, at most 1.

    p = min(1, 2 (k + 1) / (B + 1)), with k the fewer of the redraws at or below zero and those at or above it, among
    the B that are estimable; NaN without any. (Davison and Hinkley, Bootstrap Methods and their Application, 1997.)
    """
    known = draws[np.isfinite(draws)]
    if not known.size:
        return math.nan
    fewer = min(np.count_nonzero(known <= 0), np.count_nonzero(known >= 0))
    return float(min(1.0, 2 * (fewer + 1) / (known.size + 1)))


def equivalence(limits: Limits, *, margin: float) -> tuple[float, float]:
    """One-sided p that a loss reaches the margin, and that it is not within the margin either way.

    `limits` gives the low and high end of the loss's interval at a confidence in (0, 1). The first p is the largest up
    to 1/2 whose interval of confidence 1 - 2 p does not end below `margin`; for a loss beyond it, 1 less that of the
    reverse. The second is the larger of it and its mirror image at -`margin`: two one-sided tests (Schuirmann, J
    Pharmacokinet Biopharm 1987). None is below the last of LEVELS; NaN where there is no interval.
    """
    above, below = _reaches(limits, margin), _reaches(_mirrored(limits), margin)
    return above, max(above, below) if math.isfinite(above + below) else math.nan


def _reaches(limits: Limits, margin: float) -> float:
    """The one-sided p that a number reaches the margin."""
    centre = _upper(limits, LEVELS[0]) - margin
    if centre > 0:
        return 1 - _falls_short(_mirrored(limits), -margin)
    return _falls_short(limits, margin) if math.isfinite(centre) else math.nan


def _falls_short(limits: Limits, margin: float) -> float:
    """The first level, from 1/2 downwards, whose upper bound is the margin."""
    if _upper(limits, LEVELS[0]) >= margin:
        return LEVELS[0]
    for larger, level in pairwise(LEVELS):
        if _upper(limits, level) >= margin:
            return float(brentq(lambda tried: _upper(limits, tried) - margin, level, larger, xtol=1e-6))
    return LEVELS[-1]


def _upper(limits: Limits, level: float) -> float:
    return limits(max(1 - 2 * level, 1e-9))[1]


def _mirrored(limits: Limits) -> Limits:
    def mirrored(confidence: float) -> tuple[float, float]:
        low, high = limits(confidence)
        return -high, -low

    return mirrored


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p values of one family for their number (Holm, Scand J Stat 1979); NaN stays NaN and counts as none."""
    adjusted = [math.nan] * len(p)
    known = sorted((value, place) for place, value in enumerate(p) if math.isfinite(value))
    largest = 0.0
    for rank, (value, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * value))
        adjusted[place] = largest
    return adjusted
