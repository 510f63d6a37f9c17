"""The confidence interval of one number: from its redraws, or by the law that holds for its kind (docs/coverage.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from privrad.evaluation import limits
from privrad.evaluation.delong import Components
from privrad.evaluation.limits import Limits
from privrad.evaluation.redraws import Drawn, Floats

Kind = Literal["area", "mean_area", "proportion", "mean_proportion", "difference", "biased", "other"]
Method = Literal["auto", "percentile", "bca"]
FEWEST = 10
"""Patients with positive images, and with negative ones, under which no interval is given."""

SAME = 1e-12
"""Redraws that lie this near a number are equal to it: what is apart by more than rounding is apart by more."""


@dataclass(frozen=True)
class Support:
    """What a number rests on: patients with a positive and with a negative image, and the variance of an area.

    Of a proportion of the positive images alone (sensitivity) give their patients twice, of the negative ones likewise.
    `components` of an area, a mean or a difference of areas tells more than its `variance`, which is NaN of other
    numbers.
    """

    positive_patients: int
    negative_patients: int
    variance: float = math.nan
    components: Components | None = None

    @property
    def fewer(self) -> int:
        return min(self.positive_patients, self.negative_patients)

    @property
    def most(self) -> int:
        """The same of a sum of areas: that of the area which has the most."""
        terms = self.components.terms if self.components is not None else ()
        return max((part.fewer for _, part in terms), default=self.fewer)


@dataclass(frozen=True)
class Interval:
    """The limits, the standard deviation over redraws, how the limits were made, and how many redraws are degenerate.

    `method` is "" where there are no limits, and `note` then says why.
    """

    low: float
    high: float
    sd: float
    method: str
    degenerate: int
    note: str


def interval(drawn: Drawn, *, confidence: float, method: Method, kind: Kind, support: Support) -> Interval:
    """Give the two-sided confidence interval of one number.

    "auto" takes the law of its kind: area "score", a mean or difference of areas "student", proportion "logit" (see
    `limits`), a mean of proportions and other "bca". What few images make larger ("biased") has "allowance" by any
    method, for its redraws lie above it. There is none for a number that is NaN, with fewer than two estimable redraws,
    and under 10 patients with positive (or negative) images; for a mean of areas, where each has fewer. "bca" that
    degenerates gives way to "percentile", and says so.
    Raises ValueError for a confidence outside (0, 1) and for an unknown method.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence!r} must be between 0 and 1, such as 0.95")
    if method not in ("auto", "percentile", "bca"):
        raise ValueError(f"intervals {method!r}: choose auto, percentile or bca")
    draws = drawn.draws[np.isfinite(drawn.draws)]
    degenerate = len(drawn.draws) - len(draws)
    sd = float(draws.std(ddof=1)) if len(draws) > 1 else math.nan
    reason = _reason(drawn, draws, kind, support)
    if reason is not None:
        return Interval(math.nan, math.nan, sd, "", degenerate, reason)
    (low, high), name, note = _made(drawn, draws, confidence, method, kind, support)
    if not (math.isfinite(low) and math.isfinite(high)):
        return Interval(math.nan, math.nan, sd, "", degenerate, "no interval: the variance is not estimable")
    return Interval(low, high, sd, name, degenerate, note)


def _reason(drawn: Drawn, draws: Floats, kind: Kind, support: Support) -> str | None:
    """Why there is no interval; "" where the number itself is none, None where there is one."""
    if not math.isfinite(drawn.value):
        return ""
    if support.most < FEWEST:
        which = "negative patients" if support.negative_patients < support.positive_patients else "positive patients"
        if kind in ("proportion", "mean_proportion"):
            which = "patients that it is a share of"
        return f"no interval: fewer than {FEWEST} {which}"
    if len(draws) < 2:
        return f"no interval: only {len(draws)} of {len(drawn.draws)} redraws can be estimated"
    return None


def _made(
    drawn: Drawn, draws: Floats, confidence: float, method: Method, kind: Kind, support: Support
) -> tuple[Limits, str, str]:
    """The limits, what made them, and a note."""
    if kind == "biased":
        mean, spread = float(draws.mean()), float(draws.std(ddof=1))
        made = limits.of_biased(drawn.value, mean=mean, spread=spread, patients=support.most, confidence=confidence)
        return made, "allowance", ""
    if method == "percentile":
        return percentile(draws, confidence=confidence), "percentile", ""
    if method == "bca" or kind in ("mean_proportion", "other"):
        return _bca(drawn, draws, confidence)
    if kind == "proportion":
        variance, patients = float(draws.var(ddof=1)), support.fewer
        made = limits.of_proportion(drawn.value, variance=variance, patients=patients, confidence=confidence)
        return made, "logit", ""
    held = support.components or Components(drawn.value, np.empty(0), support.variance, fewer=support.fewer, scale=0.0)
    if kind == "area":
        return limits.of_area(held, confidence=confidence), "score", ""
    low, high = np.clip(limits.of_sum(held, confidence=confidence), 0 if kind == "mean_area" else -1, 1)
    return (float(low), float(high)), "student", ""


def percentile(draws: Floats, *, confidence: float) -> Limits:
    """The quantiles of the redraws at (1 - confidence)/2 and (1 + confidence)/2, linear between order statistics."""
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _bca(drawn: Drawn, draws: Floats, confidence: float) -> tuple[Limits, str, str]:
    """Bias-corrected and accelerated quantiles of the redraws, or why they are the plain ones."""
    levels, why = bca_levels(drawn, draws, confidence=confidence)
    if why:
        return percentile(draws, confidence=confidence), "percentile", f"percentile, for BCa degenerates: {why}"
    low, high = np.quantile(draws, levels)
    return (float(low), float(high)), "bca", ""


def bca_levels(drawn: Drawn, draws: Floats, *, confidence: float) -> tuple[Limits, str]:
    """The levels of the redraws that bound a BCa interval (Efron, JASA 1987), and why there are none.

    Redraws equal to the number (within 1e-12) count half; the acceleration is from the blocks left out. There are none
    where all redraws are equal, where bias or acceleration is not finite, or where a level is beyond [1/B, 1 - 1/B].
    """
    nowhere = (math.nan, math.nan)
    if np.ptp(draws) <= SAME:
        return nowhere, "all redraws are equal"
    equal = np.abs(draws - drawn.value) <= SAME
    below = np.count_nonzero((draws < drawn.value) & ~equal) + np.count_nonzero(equal) / 2
    bias = float(ndtri(below / len(draws)))
    if not math.isfinite(bias):
        return nowhere, "all redraws lie on one side of the number"
    if not len(drawn.left_out) or not np.ptp(drawn.left_out) > SAME:
        return nowhere, "the number does not change, or has none, with a block of patients left out"
    apart = drawn.left_out.mean() - drawn.left_out
    acceleration = float((apart**3).sum()) / (6 * float(apart @ apart) ** 1.5)
    levels = [_shifted(level, bias, acceleration) for level in ((1 - confidence) / 2, (1 + confidence) / 2)]
    if not 1 / len(draws) <= levels[0] < levels[1] <= 1 - 1 / len(draws):
        return nowhere, "its levels are beyond the redraws"
    return (levels[0], levels[1]), ""


def _shifted(level: float, bias: float, acceleration: float) -> float:
    moved = bias + float(ndtri(level))
    return float(ndtr(bias + moved / (1 - acceleration * moved))) if acceleration * moved < 1 else math.nan
