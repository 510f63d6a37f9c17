"""The privacy-loss distribution (PLD) of Poisson-subsampled Gaussian steps, discretised so that it bounds from above.

A unit of `images` records, of which each step draws Binomial(images, rate), moves the sum of clipped gradients by at
most as many clipping norms as were drawn: one step is told apart from one without the unit no better than the mixture
of Gaussians N(k, noise²) over that binomial from N(0, noise²) (Choquette-Choo et al. 2024, arXiv 2312.06620). Units of
one record are the subsampled Gaussian mechanism. The points are dp-accounting's "connect the dots" (Doroshenko et al.
2022, arXiv 2207.04380), and so are composition and conversion; only the curve is computed here, for all points at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, log_ndtr, logsumexp, ndtr, ndtri, xlog1py, xlogy

Floats = npt.NDArray[np.float64]
Kinds = tuple[tuple[float, float, int, int], ...]

FINEST = 1e-4
POINTS = 2**22
TAIL = math.exp(-50)


@lru_cache(maxsize=16)
def distribution(noise: float, rate: float, images: int, steps: int, interval: float) -> Any:
    """dp-accounting's PLD of `steps` steps, its losses multiples of `interval`, removing and adding the unit."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    counts, weights = binomial(images, rate)
    remove = _discretised(noise, counts, weights, interval, removing=True)
    add = _discretised(noise, counts, weights, interval, removing=False)
    return pld.PrivacyLossDistribution(remove, add).self_compose(steps)


def fitting_interval(runs: Kinds) -> float:
    """The interval of losses for runs (noise, rate, images, steps) that are composed; infinite where none below 1 fits.

    1e-4 for units of one record, finer where a step spreads less. For others a 32nd of a step's spread, which adds
    about a ten-thousandth to epsilon. Never so fine that there are more than about four million points. 1e-4 times a
    power of 2, so that a run has the same distribution in most companies.
    """
    extents = [(_extent(noise, rate, images), images, steps) for noise, rate, images, steps in runs]
    wanted = min(min(FINEST, one.spread / 1.5) if images == 1 else one.spread / 32 for one, images, _ in extents)
    interval = FINEST * 2.0 ** math.floor(math.log2(max(wanted, 1e-12) / FINEST))
    while interval <= 1:
        terms = max(2 * one.widest * one.terms for one, _, _ in extents)
        if max(_width(extents, interval), terms / 2) <= interval * POINTS:
            return interval
        interval *= 2
    return math.inf


def binomial(images: int, rate: float) -> tuple[Floats, Floats]:
    """The numbers of records that a step can draw, and their log probabilities, without tails below 1e-21."""
    counts = np.arange(images + 1, dtype=np.float64)
    logs = gammaln(images + 1) - gammaln(counts + 1) - gammaln(images - counts + 1)
    logs = logs + xlogy(counts, rate) + xlog1py(images - counts, -rate)
    shares = np.exp(logs)
    kept = (np.cumsum(shares) > TAIL / 2) & (np.cumsum(shares[::-1])[::-1] > TAIL / 2)
    kept[1] |= not kept[1:].any()
    return counts[kept], logs[kept]


def log_ratio(y: Floats, noise: float, counts: Floats, weights: Floats) -> Floats:
    """The log density of the mixture over that of N(0, noise²) at each y: the loss of removing, rising in y."""
    terms = weights + (np.multiply.outer(y, counts) - counts**2 / 2) / noise**2
    return np.asarray(logsumexp(terms, axis=-1), dtype=np.float64)


def _discretised(noise: float, counts: Floats, weights: Floats, interval: float, *, removing: bool) -> Any:
    from dp_accounting.pld import pld_pmf

    low, high = _ends(noise, counts, weights, removing=removing)
    lower, upper = math.floor(low / interval), math.ceil(high / interval)
    losses = np.arange(lower, upper + 1, dtype=np.float64) * interval
    deltas = _curve(losses, noise, counts, weights, removing=removing)
    return pld_pmf.create_pmf_pessimistic_connect_dots_fixed_gap(interval, lower, upper, deltas).to_dense_pmf()


def _ends(noise: float, counts: Floats, weights: Floats, *, removing: bool) -> tuple[float, float]:
    """The losses below and above which less than about TAIL of the probability lies."""
    far = -float(ndtri(TAIL / 2)) * noise
    if removing:
        share = np.minimum(np.log(TAIL / 2 / len(counts)) - weights, math.log(0.5))
        reach = float(np.max(counts - noise * ndtri(np.exp(share))))
        below, above = log_ratio(np.array([-far, reach]), noise, counts, weights)
        return float(below), float(above)
    below, above = -log_ratio(np.array([far, -far]), noise, counts, weights)
    return float(below), float(above)


def _curve(losses: Floats, noise: float, counts: Floats, weights: Floats, *, removing: bool) -> Floats:
    """delta at each epsilon in `losses` (rising) of one step.

    Where y is the point at which the loss of removing equals epsilon, delta of removing is the mixture's mass above y
    less exp(epsilon) times N(0, noise²)'s; adding, y is where it equals -epsilon and the masses are those below y. The
    share that draws nothing is taken out of both, which keeps small differences exact. TAIL stands for numbers of
    records that are left out.
    """
    drawn, parts = counts[counts > 0], weights[counts > 0]
    nothing = float(np.exp(weights[0])) if counts[0] == 0 else 0.0
    target = losses if removing else -losses
    beyond = _log_excess(target, float(weights[0]) if nothing else -math.inf)
    met = beyond > -np.inf
    y = _where(beyond[met], noise, drawn, parts)
    deltas = np.where(met, 0.0, -np.expm1(np.minimum(losses, 0)) if removing else 0.0)
    shifted = (drawn - y[:, None]) / noise
    if removing:
        deltas[met] = ndtr(shifted) @ np.exp(parts) - np.exp(beyond[met] + log_ndtr(-y / noise))
        deltas = deltas + TAIL
    else:
        scaled = losses[met]
        free = -np.expm1(scaled + (math.log(nothing) if nothing else -math.inf))
        lower = np.exp(scaled[:, None] + parts + log_ndtr(-shifted)).sum(axis=1)
        deltas[met] = free * ndtr(y / noise) - lower
    return np.asarray(np.maximum.accumulate(np.clip(deltas, 0, 1)[::-1])[::-1], dtype=np.float64)


def _log_excess(losses: Floats, nothing: float) -> Floats:
    """log(exp(loss) - exp(nothing)), minus infinity where the loss is not above it."""
    if nothing == -math.inf:
        return losses
    above = np.maximum(losses - nothing, 0)
    with np.errstate(divide="ignore"):
        return np.asarray(nothing + above + np.log(-np.expm1(-above)), dtype=np.float64)


def _where(beyond: Floats, noise: float, drawn: Floats, parts: Floats) -> Floats:
    """The y at which the mixture without its share at 0, over N(0, noise²), has the log ratio `beyond`.

    Newton's method on a convex rising function from above its root, where it cannot overshoot.
    """
    y = np.min((beyond[:, None] - parts) * noise**2 / drawn + drawn / 2, axis=1)
    if len(drawn) == 1:
        return np.asarray(y, dtype=np.float64)
    for _ in range(60):
        terms = parts + (y[:, None] * drawn - drawn**2 / 2) / noise**2
        top = terms.max(axis=1)
        shares = np.exp(terms - top[:, None])
        total = shares.sum(axis=1)
        step = (top + np.log(total) - beyond) * noise**2 * total / (shares @ drawn)
        y = y - step
        if np.max(np.abs(step), initial=0) < 1e-10 * noise:
            break
    return np.asarray(y, dtype=np.float64)


@dataclass(frozen=True)
class _Extent:
    """The loss of one step: mean, standard deviation, largest absolute value; the terms of its mixture."""

    mean: float
    spread: float
    widest: float
    terms: int


@lru_cache(maxsize=256)
def _extent(noise: float, rate: float, images: int) -> _Extent:
    """What one step's loss extends over, the larger of removing and adding, by Gauss-Hermite quadrature."""
    counts, weights = binomial(images, rate)
    ends = [abs(end) for way in (True, False) for end in _ends(noise, counts, weights, removing=way)]
    scores, shares = np.polynomial.hermite_e.hermegauss(32)
    some = slice(None, None, 1 + len(counts) // 64)
    mass = np.exp(weights[some])[:, None] * shares
    removed = log_ratio(counts[some][:, None] + noise * scores, noise, counts, weights)
    added = -log_ratio(noise * scores, noise, counts, weights)
    mean, spread = np.max([_moments(removed, mass), _moments(added, shares)], axis=0)
    return _Extent(float(mean), float(spread), max(ends), len(counts))


def _moments(losses: Floats, mass: Floats) -> tuple[float, float]:
    mean = float(np.average(losses, weights=mass))
    return abs(mean), math.sqrt(float(np.average((losses - mean) ** 2, weights=mass)))


def _width(extents: Sequence[tuple[_Extent, int, int]], interval: float) -> float:
    """About the range of losses that dp-accounting keeps after all steps of all runs.

    Rounding to points adds to mean and variance; the tails are cut by a Chernoff bound of a few given orders.
    """
    reach = max(2 * one.widest + 4 * interval for one, _, _ in extents)
    mean = sum(steps * (one.mean + interval**2 / 8) for one, _, steps in extents)
    variance = sum(steps * (one.spread + interval / 2) ** 2 for one, _, steps in extents)
    order = min(max(math.sqrt(70 / variance), 1 / reach), 20 / reach)
    return 2 * (mean + variance * order / 2 + 35 / order) + reach
