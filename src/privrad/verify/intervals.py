"""Intervals of one number, by the laws of docs/coverage.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

from privrad.verify import limits
from privrad.verify.influence import Influence
from privrad.verify.redraws import Drawn, Floats

Kind = Literal["area", "mean_area", "proportion", "mean_proportion", "difference", "biased", "other"]
Limits = tuple[float, float]
FEWEST = 10
SAME = 1e-12
"""How far apart two numbers may lie that are the same but for rounding."""
LAWS = {
    **{"area": "score", "mean_area": "student", "difference": "student", "proportion": "logit"},
    **{"mean_proportion": "bca", "biased": "allowance", "other": "bca"},
}


@dataclass(frozen=True, kw_only=True)
class Support:
    """What a number rests on: patients with a positive and with a negative image, and of areas their influence."""

    positive_patients: int
    negative_patients: int
    influence: Influence | None = None


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Bounds, the spread of the redraws, how the bounds were made, and how many redraws were not estimable."""

    low: float
    high: float
    sd: float
    method: str
    degenerate: int
    note: str = ""


def interval(drawn: Drawn, *, confidence: float, method: str, kind: Kind, support: Support) -> Interval:
    """The interval of one number by a method, of "auto" by the law of its kind; NaN where there is none."""
    known = drawn.draws[np.isfinite(drawn.draws)]
    sd, lost = deviation(known), len(drawn.draws) - len(known)
    note = _why_not(drawn, known, kind, support)
    if note is None:
        law = LAWS[kind] if method == "auto" or kind == "biased" else method
        (low, high), made, note = _made(law, drawn, known, support, kind, confidence)
        if math.isfinite(low) and math.isfinite(high):
            return Interval(low=low, high=high, sd=sd, method=made, degenerate=lost, note=note)
        note = "no interval: the variance is not estimable"
    return Interval(low=math.nan, high=math.nan, sd=sd, method="", degenerate=lost, note=note)


def percentiles(drawn: Floats, *, confidence: float) -> Limits:
    """The bounds that leave the same share of the estimable redraws beyond each; NaN of fewer than two."""
    known = drawn[np.isfinite(drawn)]
    return _at(known, ((1 - confidence) / 2, (1 + confidence) / 2)) if len(known) > 1 else (math.nan, math.nan)


def deviation(values: Floats) -> float:
    """The standard deviation (n - 1) of what is finite; NaN of fewer than two."""
    known = values[np.isfinite(values)]
    return float(np.std(known, ddof=1)) if known.size > 1 else math.nan


def _why_not(drawn: Drawn, known: Floats, kind: Kind, support: Support) -> str | None:
    """Why there is no interval, "" where there is no number; None where there is one."""
    if not math.isfinite(drawn.value):
        return ""
    counts = {"positive patients": support.positive_patients, "negative patients": support.negative_patients}
    if _fewer(support) < FEWEST:
        who = "patients that it is a share of" if "proportion" in kind else min(counts, key=lambda name: counts[name])
        return f"no interval: fewer than {FEWEST} {who}"
    if len(known) < 2:
        return f"no interval: only {len(known)} of {len(drawn.draws)} redraws can be estimated"
    return None


def _fewer(support: Support) -> int:
    """The patients of the rarer label; of a mean or difference of areas, those of the area that has the most."""
    terms = support.influence.terms if support.influence is not None else ()
    return max((part.fewer for _, part in terms), default=min(support.positive_patients, support.negative_patients))


def _made(
    law: str, drawn: Drawn, known: Floats, support: Support, kind: Kind, confidence: float
) -> tuple[Limits, str, str]:
    """The limits by one law, the law that served in the end, and a note."""
    if law == "allowance":
        above, reach = max(0.0, float(known.mean()) - drawn.value), limits.student(_fewer(support) - 1, confidence)
        reach *= deviation(known)
        return (max(0.0, drawn.value - above / (math.sqrt(2) - 1) - 2 * reach), min(1.0, drawn.value + reach)), law, ""
    if law == "bca":
        levels, why = _levels(drawn, known, confidence)
        if why:
            return percentiles(known, confidence=confidence), "percentile", f"percentile, for BCa degenerates: {why}"
        return _at(known, levels), "bca", ""
    if law == "percentile":
        return percentiles(known, confidence=confidence), law, ""
    if law == "logit":
        patients = min(support.positive_patients, support.negative_patients)
        return _logit(drawn.value, float(np.var(known, ddof=1)), patients, confidence), law, ""
    if support.influence is None:
        return (math.nan, math.nan), law, ""
    if law == "score":
        return limits.of_area(support.influence, confidence=confidence), law, ""
    low, high = np.clip(limits.of_sum(support.influence, confidence=confidence), 0 if kind == "mean_area" else -1, 1)
    return (float(low), float(high)), law, ""


def _at(known: Floats, levels: Limits) -> Limits:
    low, high = np.quantile(known, levels)
    return float(low), float(high)


def _levels(drawn: Drawn, known: Floats, confidence: float) -> tuple[Limits, str]:
    """The bias-corrected and accelerated levels (Efron, JASA 1987), and why there are none."""
    nothing = (math.nan, math.nan)
    if known.max() - known.min() <= SAME:
        return nothing, "all redraws are equal"
    equal = abs(known - drawn.value) <= SAME
    share = (np.sum((known < drawn.value) & ~equal) + np.sum(equal) / 2) / len(known)
    if share in (0, 1):
        return nothing, "all redraws lie on one side of the number"
    bias, left_out = float(ndtri(share)), drawn.left_out
    if not (len(left_out) and left_out.max() - left_out.min() > SAME):
        return nothing, "the number does not change, or has none, with a block of patients left out"
    apart = left_out.mean() - left_out
    acceleration = float(np.sum(apart**3)) / (6 * float(np.sum(apart**2)) ** 1.5)
    levels = []
    for level in ((1 - confidence) / 2, (1 + confidence) / 2):
        moved = bias + float(ndtri(level))
        stretched = 1 - acceleration * moved
        levels.append(float(ndtr(bias + moved / stretched)) if stretched > 0 else math.nan)
    edge = 1 / len(known)
    inside = edge <= levels[0] < levels[1] <= 1 - edge
    return (levels[0], levels[1]), "" if inside else "its levels are beyond the redraws"


def _logit(value: float, variance: float, patients: int, confidence: float) -> Limits:
    """Limits of a proportion by its logit; at 0 and 1, and where no redraw differs, Wilson's of so many images."""
    t, own = limits.student(patients - 1, confidence), value * (1 - value)
    if not (variance > 1e-24 and own > 0):
        share = t**2 / patients
        roots = np.roots([1 + share, -(2 * value + share), value**2]).real
        return float(np.clip(roots.min(), 0, 1)), float(np.clip(roots.max(), 0, 1))
    half = t * math.sqrt(variance * patients / (patients - 1) + own / patients**2) / own
    return float(expit(logit(value) - half)), float(expit(logit(value) + half))
