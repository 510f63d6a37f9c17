"""Tests of noise and sampling as pure functions from draws to p-values: each says how likely draws of the true law are.

Every p-value is two-sided, so that too regular is as odd as too irregular. `drawn` is boolean [steps, units]; its
p-values hold for rates from 0.1 to 0.9 over 1,000 steps or more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

Reals = npt.NDArray[np.float64] | npt.NDArray[np.float32]
Drawn = npt.NDArray[np.bool_]

ALARM = 1e-6


def noise_level(noise: Reals, scale: float) -> float:
    """That the standard deviation is `scale`: the sum of squares against chi-square."""
    return _two_sided(stats.chi2(noise.size), float(np.square(noise, dtype=np.float64).sum()) / scale**2)


def noise_level_power(size: int, wrong_by: float, *, alarm: float = ALARM) -> float:
    """The probability that `noise_level` over `size` draws falls below `alarm` where sigma is wrong by this ratio."""
    law = stats.chi2(size)
    low, high = law.ppf(alarm / 2), law.isf(alarm / 2)
    return float(law.cdf(low / wrong_by**2) + law.sf(high / wrong_by**2))


def noise_mean(noise: Reals, scale: float) -> float:
    """That the mean is 0."""
    return _two_sided(stats.norm(), float(noise.sum(dtype=np.float64)) / (scale * np.sqrt(noise.size)))


def noise_law(noise: Reals, scale: float) -> float:
    """That the law is normal: Kolmogorov and Smirnov."""
    return float(stats.kstest(np.asarray(noise, dtype=np.float64) / scale, "norm").pvalue)


def noise_tail(noise: Reals, scale: float, *, beyond: float) -> float:
    """That as many draws as a normal law has lie more than `beyond` standard deviations from 0."""
    seen = int((np.abs(noise) > beyond * scale).sum())
    return float(stats.binomtest(seen, noise.size, 2 * stats.norm.sf(beyond)).pvalue)


def noise_apart(first: Reals, second: Reals, scale: float) -> float:
    """That two draws of noise are independent: the sum of products, and of products of centred squares."""
    a, b = (np.asarray(noise, dtype=np.float64) / scale for noise in (first, second))
    products = float((a * b).sum()) / np.sqrt(a.size)
    squares = float(((a**2 - 1) * (b**2 - 1)).sum()) / (2 * np.sqrt(a.size))
    return min(1.0, 2 * min(_two_sided(stats.norm(), value) for value in (products, squares)))


def inclusion(drawn: Drawn, rate: float) -> float:
    """That every unit joins at the rate: counts over the steps against chi-square over the units."""
    steps, units = drawn.shape
    excess = drawn.sum(0) - steps * rate
    return _two_sided(stats.chi2(units), float((excess**2).sum() / (steps * rate * (1 - rate))))


def total(drawn: Drawn, rate: float) -> float:
    """That the number of units over all steps is Binomial: finds an error of the rate that all units share."""
    return float(stats.binomtest(int(drawn.sum()), drawn.size, rate).pvalue)


def batch_sizes(drawn: Drawn, rate: float) -> float:
    """That the size of a batch is Binomial: chi-square over deciles and tails, the last ones of five steps or more."""
    steps, units = drawn.shape
    law = stats.binom(units, rate)
    ends = law.ppf([5 / steps, 0.02, *np.arange(1, 10) / 10, 0.98]).astype(int).tolist()
    edges = np.array(sorted({-1, *ends, int(law.isf(5 / steps)) - 1, units}))
    expected = steps * np.diff(law.cdf(edges))
    seen = np.histogram(drawn.sum(1), bins=edges + 0.5)[0]
    return _two_sided(stats.chi2(len(seen) - 1), float(((seen - expected) ** 2 / expected).sum()))


def units_apart(drawn: Drawn, rate: float) -> float:
    """That units are independent of each other: the squared correlation of every pair of units, summed."""
    steps, units = drawn.shape
    centred = _unit_columns(drawn, rate)
    squares = steps * (centred.T @ centred)[np.triu_indices(units, 1)] ** 2
    return _two_sided(stats.chi2(squares.size), float(squares.sum()))


def steps_apart(drawn: Drawn, rate: float, *, lag: int = 1) -> float:
    """That steps are independent: the squared correlation of every unit with every unit `lag` steps on, summed."""
    now, later = _unit_columns(drawn[:-lag], rate), _unit_columns(drawn[lag:], rate)
    squares = len(now) * (now.T @ later) ** 2
    return _two_sided(stats.chi2(squares.size), float(squares.sum()))


SAMPLING: dict[str, Callable[[Drawn, float], float]] = {
    "inclusion": inclusion,
    "total": total,
    "batch_sizes": batch_sizes,
    "units_apart": units_apart,
    "steps_apart": steps_apart,
}


def sampling_alarms(drawn: Drawn, rate: float) -> set[str]:
    """The detectors of `SAMPLING` whose p-value is below `ALARM`."""
    return {name for name, detector in SAMPLING.items() if detector(drawn, rate) < ALARM}


def choices(rows: npt.NDArray[np.int64], *, images: int) -> float:
    """That each of one unit's images is chosen equally often; `rows` are [steps, views], each below `images`.

    Views without repeats are more even than independent draws, which the variance allows for.
    """
    steps, views = rows.shape
    chosen = np.bincount(rows.ravel(), minlength=images)
    variance = steps * views * (images - views) / (images * (images - 1))
    return _two_sided(stats.chi2(images - 1), float(((chosen - steps * views / images) ** 2).sum() / variance))


def _unit_columns(drawn: Drawn, rate: float) -> npt.NDArray[np.float64]:
    centred = drawn - rate
    return np.asarray(centred / np.linalg.norm(centred, axis=0))


def _two_sided(law: stats.distributions.rv_frozen, value: float) -> float:
    return float(min(1.0, 2 * min(law.cdf(value), law.sf(value))))
