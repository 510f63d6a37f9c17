"""Epsilon of Poisson-subsampled Gaussian training, by three accountants, under add-or-remove-one neighbours.

The privacy-loss distribution (PLD, dp-accounting) is the reported number; Rényi DP (dp-accounting) and the privacy
random variable (PRV, Opacus) are cross-checks. `noise_multiplier` is the standard deviation of the noise over the
clipping norm.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.stats import norm

INTERVAL = 1e-4
COARSE = 5e-4
COARSE_FROM = 1.5
TOLERANCE = 1e-4
LARGEST_NOISE = 1e6


def epsilon(noise_multiplier: float, *, delta: float, sample_rate: float, steps: int) -> float:
    """The epsilon of one run at `delta` by PLD, an upper bound up to float64 rounding.

    Raises ValueError for a value outside its range.
    """
    _check(delta=delta, sample_rate=sample_rate, steps=steps, noise_multiplier=noise_multiplier)
    return float(_distribution(noise_multiplier, sample_rate, steps, INTERVAL).get_epsilon_for_delta(delta))


def compose(runs: Sequence[tuple[float, float, int]], *, delta: float) -> float:
    """The epsilon at `delta` of all runs together, each (noise_multiplier, sample_rate, steps), as one PLD."""
    if not runs:
        return 0.0
    total: Any = None
    for noise, rate, steps in runs:
        _check(delta=delta, sample_rate=rate, steps=steps, noise_multiplier=noise)
        distribution = _distribution(noise, rate, steps, INTERVAL)
        total = distribution if total is None else total.compose(distribution)
    return float(total.get_epsilon_for_delta(delta))


def patient_epsilon(noise_multiplier: float, *, delta: float, sample_rate: float, steps: int, images: int) -> float:
    """The epsilon of a patient with `images` records in a run whose unit is the record, by PLD.

    In each step Binomial(images, sample_rate) of the records are drawn, each moving the sum by at most the clipping
    norm, worst of all in one direction: a mixture of Gaussians (Choquette-Choo et al. 2024, arXiv 2312.06620). An upper
    bound: the discretisation is as coarse as adds about a thousandth to it.
    """
    _check(delta=delta, sample_rate=sample_rate, steps=steps, noise_multiplier=noise_multiplier)
    if images < 1:
        raise ValueError(f"images {images} must be at least 1")
    from dp_accounting.pld import privacy_loss_distribution as pld

    record = epsilon(noise_multiplier, delta=delta, sample_rate=sample_rate, steps=steps)
    interval = min(max(INTERVAL, 0.05 * record / math.sqrt(2 * steps * math.log(1 / delta))), 1e-2)
    drawn = range(images + 1)
    shares = [math.comb(images, k) * sample_rate**k * (1 - sample_rate) ** (images - k) for k in drawn]
    kept = [(float(k), share) for k, share in zip(drawn, shares, strict=True) if share > 0]
    single = pld.from_mixture_gaussian_mechanism(
        noise_multiplier, [k for k, _ in kept], [share for _, share in kept], value_discretization_interval=interval
    )
    return float(single.self_compose(steps).get_epsilon_for_delta(delta))


def rdp_epsilon(noise_multiplier: float, *, delta: float, sample_rate: float, steps: int) -> float:
    """The epsilon of one run by Rényi DP: valid, and looser than PLD."""
    _check(delta=delta, sample_rate=sample_rate, steps=steps, noise_multiplier=noise_multiplier)
    import dp_accounting

    event = dp_accounting.PoissonSampledDpEvent(sample_rate, dp_accounting.GaussianDpEvent(noise_multiplier))
    accountant = dp_accounting.rdp.RdpAccountant(_orders())
    return float(accountant.compose(event, steps).get_epsilon(delta))


def prv_epsilon(noise_multiplier: float, *, delta: float, sample_rate: float, steps: int) -> float:
    """The epsilon of one run by Opacus' PRV accountant: the upper end of its interval.

    The stated error is 0.01, or a thousandth of the RDP epsilon where that is more, which bounds time and memory.
    """
    error = max(0.01, rdp_epsilon(noise_multiplier, delta=delta, sample_rate=sample_rate, steps=steps) / 1000)
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(noise_multiplier, sample_rate, steps)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return float(accountant.get_epsilon(delta, eps_error=error))


@lru_cache(maxsize=64)
def noise_multiplier(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """The smallest noise multiplier, to about 1 part in 10,000, whose PLD epsilon does not exceed `epsilon`.

    Where epsilon is large a coarse PLD finds the neighbourhood, and the fine one settles it.
    Raises ValueError for a value outside its range, and where no noise multiplier up to a million is enough.
    """
    _check(delta=delta, sample_rate=sample_rate, steps=steps)
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise ValueError(f"epsilon {epsilon} must be above 0 and finite")

    def excess(log_sigma: float, interval: float) -> float:
        if log_sigma > math.log(LARGEST_NOISE):
            raise ValueError(
                f"epsilon {epsilon} at delta {delta:g} needs a noise multiplier above {LARGEST_NOISE:g}; "
                "raise epsilon, or lower the steps or the expected batch"
            )
        reached = _distribution(math.exp(log_sigma), sample_rate, steps, interval).get_epsilon_for_delta(delta)
        return math.log(max(float(reached), 1e-12) / epsilon)

    start, slope = math.log(_central_limit(epsilon, delta, sample_rate, steps)), -1.2
    if epsilon > COARSE_FROM:
        start, slope = _search(lambda x: excess(x, COARSE), start, slope, tolerance=10 * TOLERANCE)
    return math.exp(_search(lambda x: excess(x, INTERVAL), start, slope, tolerance=TOLERANCE)[0])


def _search(excess: Callable[[float], float], start: float, slope: float, *, tolerance: float) -> tuple[float, float]:
    """The x at which a falling function is at most 0 and its root at most `tolerance` below x, and the slope there.

    Secant steps that aim half the tolerance past the root, kept inside the bracket seen so far.
    """
    low, high, x = -math.inf, math.inf, start
    value = excess(x)
    for _ in range(80):
        if value > 0:
            low = x
        else:
            high = x
            if value >= slope * tolerance or high - low <= tolerance:
                return x, slope
        step = max(-1.0, min(1.0, -value / slope)) + tolerance / 2
        following = x + step
        if not low < following < high:
            following = (low + high) / 2
        reached = excess(following)
        if abs(following - x) > 10 * TOLERANCE and reached != value:
            slope = min(-0.05, (reached - value) / (following - x))
        x, value = following, reached
    raise ValueError(f"the search for a noise multiplier did not settle near {math.exp(x):g}; check epsilon and delta")


def _central_limit(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """A first guess of the noise multiplier, from the Gaussian limit of many steps (Bu et al. 2020)."""

    def spent(mu: float) -> float:
        gain, loss = norm.logcdf(-epsilon / mu + mu / 2), epsilon + norm.logcdf(-epsilon / mu - mu / 2)
        return float(math.exp(gain) - math.exp(min(loss, 700.0)))

    low, high = 1e-6, 1e3
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if spent(middle) < delta else (low, middle)
    return max(0.1, 1 / math.sqrt(math.log1p(low**2 / (rate**2 * steps))))


def _distribution(noise: float, rate: float, steps: int, interval: float) -> Any:
    from dp_accounting.pld import privacy_loss_distribution as pld

    single = pld.from_gaussian_mechanism(noise, sampling_prob=rate, value_discretization_interval=interval)
    return single.self_compose(steps)


def _orders() -> list[float]:
    """Orders from 2 up: below it the series of a fractional order may not settle."""
    return [*np.arange(2, 12, 0.25).tolist(), *range(12, 64), *(2**k for k in range(6, 14))]


def _check(*, delta: float, sample_rate: float, steps: int, noise_multiplier: float | None = None) -> None:
    if not 0 < delta < 1:
        raise ValueError(f"delta {delta} must lie in (0, 1)")
    if not 0 < sample_rate <= 1:
        raise ValueError(f"sample_rate {sample_rate} must lie in (0, 1]")
    if steps < 1:
        raise ValueError(f"steps {steps} must be at least 1")
    if noise_multiplier is not None and not (noise_multiplier > 0 and math.isfinite(noise_multiplier)):
        raise ValueError(f"noise_multiplier {noise_multiplier} must be above 0 and finite")
