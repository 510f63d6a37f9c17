"""Rényi divergences of one Poisson-subsampled Gaussian step, by quadrature, and what they say of adaptive runs."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import logsumexp

from privrad.privacy.losses import Floats, Kinds, binomial, log_ratio

ORDERS = (1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 256, 512)
POINTS = 2**21


@lru_cache(maxsize=256)
def one_step(noise: float, rate: float, images: int) -> tuple[float, ...]:
    """The Rényi divergence at each of ORDERS of one step, the larger of removing and adding the unit.

    The unit has `images` records, each drawn with probability `rate` (see privacy.losses). The trapezoidal rule is
    exact to rounding for such smooth densities. An order whose integral would need too many points gets the
    divergence of a step that draws all of them, an upper bound.
    """
    counts, weights = binomial(images, rate)
    all_drawn = [order * images**2 / (2 * noise**2) for order in ORDERS]
    if rate == 1:
        return tuple(all_drawn)
    spacing = min(noise, noise**2) / 8
    reach = [order * float(counts[-1]) + 12 * noise for order in ORDERS]
    fits = [2 * far / spacing * len(counts) <= POINTS for far in reach]
    far = max((one for one, fit in zip(reach, fits, strict=True) if fit), default=0.0)
    half = math.ceil(far / spacing)
    y = np.arange(-half, half + 1, dtype=np.float64) * spacing
    ratio = log_ratio(y, noise, counts, weights)
    density = -((y / noise) ** 2) / 2 + math.log(spacing / (noise * math.sqrt(2 * math.pi)))
    return tuple(
        min(bound, _divergence(order, ratio, density)) if fit else bound
        for order, bound, fit in zip(ORDERS, all_drawn, fits, strict=True)
    )


def odometer(runs: Kinds, *, delta: float) -> float:
    """What adaptively chosen runs (noise, rate, images, steps) have spent by now, in epsilon at `delta`.

    exp((order - 1)(loss - divergences spent)) is a supermartingale for each order, whatever is chosen next and why;
    so by Ville's inequality and a union over ORDERS the loss never exceeds, at any time, what this returns at that
    time, but with probability `delta` (Feldman & Zrnic 2021; Lécuyer 2021). 0 for no runs.
    """
    charges = [(steps, one_step(noise, rate, images)) for noise, rate, images, steps in runs]
    if not charges:
        return 0.0
    share = math.log(len(ORDERS) / delta)
    return min(
        math.fsum(steps * step[index] for steps, step in charges) + share / (order - 1)
        for index, order in enumerate(ORDERS)
    )


def together(runs: Kinds, *, delta: float) -> float:
    """The epsilon at `delta` of runs (noise, rate, images, steps) chosen before the first (Canonne et al. 2020)."""
    charges = [(steps, one_step(noise, rate, images)) for noise, rate, images, steps in runs]
    return min(
        max(
            0.0,
            math.fsum(steps * step[index] for steps, step in charges)
            + math.log1p(-1 / order)
            - math.log(delta * order) / (order - 1),
        )
        for index, order in enumerate(ORDERS)
    )


def _divergence(order: float, ratio: Floats, density: Floats) -> float:
    removing = float(logsumexp(order * ratio + density))
    adding = float(logsumexp((1 - order) * ratio + density))
    return max(removing, adding, 0.0) / (order - 1)
