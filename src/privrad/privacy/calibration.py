"""The noise multiplier that a budget needs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import log_ndtr

COARSE = 5e-4
COARSE_FROM = 1.5
TOLERANCE = 1e-4
LARGEST_NOISE = 1e6


def smallest(
    reached: Callable[[float, float], float], *, epsilon: float, delta: float, sample_rate: float, steps: int
) -> float:
    """The smallest noise multiplier, to about 1 part in 10,000, that keeps to `epsilon`.

    `reached(noise, interval)` is the epsilon of a noise multiplier by a PLD of losses at that interval; where epsilon
    is large a coarse one finds the neighbourhood, and the fine one settles it.
    Raises ValueError where no noise multiplier up to a million is enough, or a billionth is too much.
    """

    def excess(log_sigma: float, interval: float) -> float:
        if log_sigma > math.log(LARGEST_NOISE):
            raise ValueError(
                f"epsilon {epsilon} at delta {delta:g} needs a noise multiplier above {LARGEST_NOISE:g}; "
                "raise epsilon, or lower the steps or the expected batch"
            )
        if log_sigma < -math.log(1000 * LARGEST_NOISE):
            raise ValueError(f"epsilon {epsilon} is more than a run can spend; lower it, or train without privacy")
        return math.log(max(reached(math.exp(log_sigma), interval), 1e-12) / epsilon)

    guess = _central_limit(epsilon, delta, sample_rate, steps)
    start, slope = math.log(guess), -max(1.2, 0.95 / guess**2)
    if epsilon > COARSE_FROM:
        start, slope = _search(lambda x: excess(x, COARSE), start, slope, tolerance=10 * TOLERANCE)
    return _rounded_up(math.exp(_search(lambda x: excess(x, 0.0), start, slope, tolerance=TOLERANCE)[0]))


def _rounded_up(value: float) -> float:
    """To six significant digits, so that other machines' last bits come to the same number."""
    scale = 10.0 ** (5 - math.floor(math.log10(value)))
    return math.ceil(value * scale) / scale


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
        gain, loss = log_ndtr(-epsilon / mu + mu / 2), epsilon + log_ndtr(-epsilon / mu - mu / 2)
        return float(np.exp(gain) - np.exp(min(loss, 700.0)))

    low, high = 1e-6, 1e3
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if spent(middle) < delta else (low, middle)
    return max(0.1, 1 / math.sqrt(math.log1p(low**2 / (rate**2 * steps))))
