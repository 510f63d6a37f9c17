"""Confidence intervals that hold together for several comparisons of groups, from redraws that the groups share."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
PSEUDO = 4
CERTAINTY = 0.99
HIDDEN = 1 / (math.sqrt(2) - 1)


@dataclass(frozen=True)
class Levels:
    """One metric, with values in [0, 1], in each of several groups.

    `values` [groups] on the test set, `draws` [groups, redraws] on the shared redraws, `patients` [groups] how many
    bear on each, at least 2. `biased` where few images make the metric larger, as they do a calibration error.
    """

    values: Floats
    draws: Floats
    patients: Floats
    biased: bool = False


@dataclass(frozen=True)
class Band:
    """Comparisons, one entry each: value, interval alone, interval that holds with all others, and its p value.

    `p` is that of a true value of 0, adjusted for all comparisons; it is at most 1 - confidence where the simultaneous
    interval leaves out 0. NaN intervals where the redraws are too few. `degenerate` redraws gave no number.
    """

    values: Floats
    low: Floats
    high: Floats
    simultaneous_low: Floats
    simultaneous_high: Floats
    p: Floats
    redraws: int
    degenerate: int


def band(levels: Levels, contrasts: Floats, *, confidence: float, bounds: tuple[float, float]) -> Band:
    """Give the intervals of `contrasts` [comparisons, groups]: value -+ quantile x standard error, cut at `bounds`.

    The standard error is that of the redraws, widened as `_widened` says. The quantile is Student's, with the degrees
    of freedom of Satterthwaite (Biometrics Bulletin 2, 1946); for all comparisons together, its tail is that of the
    largest studentised deviation of a redraw (max-|t|; Westfall and Young, Resampling-Based Multiple Testing, 1993),
    at the upper 99 % limit that so many redraws set it, so that no luck of the redraws makes a difference.
    The bias of a biased metric is added on both sides; redraws show at least sqrt(2) - 1 of an absolute deviation's.
    """
    usable: NDArray[np.bool_] = np.asarray(np.isfinite(levels.draws).all(axis=0))
    redraws = int(usable.sum())
    values = contrasts @ levels.values
    if redraws < 2:
        nothing = np.full(len(contrasts), math.nan)
        return Band(values, nothing, nothing, nothing, nothing, nothing, redraws, len(usable) - redraws)
    means = levels.draws[:, usable].mean(axis=1)
    bias = HIDDEN * np.abs(contrasts @ (means - levels.values)) * levels.biased
    deviations = levels.draws[:, usable] - means[:, None]
    of_levels = deviations.var(axis=1, ddof=1)
    deviations = contrasts @ deviations
    of_contrasts = deviations.var(axis=1, ddof=1)
    widened = _widened(levels.values, of_levels, levels.patients)
    error = np.sqrt(of_contrasts + contrasts**2 @ (widened - of_levels))
    freedom = (contrasts**2 @ widened) ** 2 / (contrasts**4 @ (widened**2 / (levels.patients - 1)))
    spread = np.sqrt(np.where(of_contrasts > 0, of_contrasts, math.inf))
    largest = np.sort((np.abs(deviations) / spread[:, None]).max(axis=0))
    observed = -special.ndtri(special.stdtr(freedom, -np.maximum(np.abs(values) - bias, 0) / error))
    alone = float(special.ndtri((1 + confidence) / 2))

    def within(quantile: float) -> tuple[Floats, Floats]:
        reach = bias + error * -special.stdtrit(freedom, special.ndtr(-quantile))
        reach = np.where(np.isfinite(reach), reach, math.nan)
        return np.clip(values - reach, *bounds), np.clip(values + reach, *bounds)

    together = max(alone, _critical(largest, confidence))
    p = np.maximum(_at_most(redraws - np.searchsorted(largest, observed), redraws), 2 * special.ndtr(-observed))
    return Band(values, *within(alone), *within(together), p, redraws, len(usable) - redraws)


def _widened(values: Floats, variances: Floats, patients: Floats) -> Floats:
    """The variance of each level from that of its redraws, made honest for few patients.

    Redraws of n patients give (n - 1)/n of the variance, and none at all where all n agree. A number in [0, 1] with
    that variance is as sure as a proportion of m = value (1 - value) / variance, at least n; Agresti and Coull's
    (American Statistician 52, 1998) with two successes and two failures added is the least that is allowed.
    """
    plain = variances * patients / (patients - 1)
    binomial = values * (1 - values)
    size = np.maximum(patients, np.divide(binomial, plain, out=np.zeros_like(plain), where=plain > 0))
    shrunk = (values * size + PSEUDO / 2) / (size + PSEUDO)
    return np.asarray(np.maximum(plain, shrunk * (1 - shrunk) / (size + PSEUDO)))


def _at_most(count: NDArray[np.intp], redraws: int) -> Floats:
    """What share of all redraws goes as far as `count` of these did, at the most: Clopper and Pearson's upper limit."""
    return np.where(count < redraws, special.betaincinv(count + 1, np.maximum(redraws - count, 1), CERTAINTY), 1.0)


def _critical(largest: Floats, confidence: float) -> float:
    """The bound that, for certain, no more than 1 - confidence of all redraws go beyond; infinite if these are few."""
    allowed = _allowed(len(largest), confidence)
    return float(largest[len(largest) - allowed]) if allowed else math.inf


@functools.cache
def _allowed(redraws: int, confidence: float) -> int:
    """How many of the redraws may go beyond that bound."""
    return int(np.count_nonzero(_at_most(np.arange(redraws), redraws) <= 1 - confidence))
