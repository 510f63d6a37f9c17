"""Epsilon of Poisson-subsampled Gaussian training, by three accountants, under add-or-remove-one neighbours.

The privacy-loss distribution (PLD, dp-accounting) is the reported number; Rényi DP (dp-accounting) and the privacy
random variable (PRV, Opacus) are cross-checks. `noise_multiplier` is the standard deviation of the noise over the
clipping norm. Gaussian DP (the central limit) under-reports and is not offered.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from privrad.privacy import calibration, losses, renyi
from privrad.privacy.attack import Attack, bound
from privrad.privacy.losses import Kinds

__all__ = [
    "Attack",
    "Run",
    "adaptive",
    "attack",
    "compose",
    "epsilon",
    "noise_multiplier",
    "patient_curve",
    "patient_epsilon",
    "prv_epsilon",
    "rdp_epsilon",
    "spent",
]


SMALLEST_DELTA = 1e-9
LARGEST_NOISE = 1e9


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run as an accountant sees it.

    `images` is the largest number of records of one unit of account: 1 where the run's unit is the unit of account,
    else max_images_per_patient. Raises ValueError for a value outside its range.
    """

    noise_multiplier: float
    sample_rate: float
    steps: int
    images: int = 1

    def __post_init__(self) -> None:
        _check(sample_rate=self.sample_rate, steps=self.steps, noise_multiplier=self.noise_multiplier)
        _whole("images", self.images)


def epsilon(noise_multiplier: float, *, delta: float, sample_rate: float, steps: int) -> float:
    """The epsilon of one run at `delta` by PLD, an upper bound up to float64 rounding.

    Raises ValueError for a value outside its range.
    """
    return compose([Run(noise_multiplier=noise_multiplier, sample_rate=sample_rate, steps=steps)], delta=delta)


def compose(runs: Sequence[Run], *, delta: float) -> float:
    """The epsilon at `delta` of all runs together, chosen before the first of them, as one PLD; 0 for no runs.

    By Rényi DP, which is valid and looser, where float64 cannot resolve a PLD: below delta 1e-9, or with losses in the
    hundreds of thousands.
    """
    _check(delta=delta)
    return _composed(_kinds(runs), delta=delta) if runs else 0.0


def adaptive(runs: Sequence[Run], *, delta: float) -> float:
    """The epsilon at `delta` of runs each chosen after the results of those before; 0 for no runs.

    A Rényi odometer (see privacy.renyi.odometer): it holds after every run at once, so that stopping when it would pass
    a budget keeps the budget.
    """
    _check(delta=delta)
    return renyi.odometer(_kinds(runs), delta=delta)


def spent(declared: Sequence[Run], later: Sequence[Run], *, delta: float) -> float:
    """The epsilon at `delta` of the runs declared before the first and of those chosen later.

    Where there are both, each part has half of delta and their epsilons add up.
    """
    if not later:
        return compose(declared, delta=delta)
    if not declared:
        return adaptive(later, delta=delta)
    return compose(declared, delta=delta / 2) + adaptive(later, delta=delta / 2)


def patient_epsilon(noise_multiplier: float, *, delta: float, sample_rate: float, steps: int, images: int) -> float:
    """The epsilon of a patient with `images` records in a run whose unit is the record, by PLD.

    An upper bound (see privacy.losses): the discretisation is as coarse as adds about a ten-thousandth to it.
    """
    run = Run(noise_multiplier=noise_multiplier, sample_rate=sample_rate, steps=steps, images=images)
    return compose([run], delta=delta)


def patient_curve(
    noise_multiplier: float, *, delta: float, sample_rate: float, steps: int, images: int
) -> dict[int, float]:
    """The epsilon of patients with 1, 2, 4, … and `images` records in a run whose unit is the record, by PLD."""
    _whole("images", images)
    counts = [*(2**power for power in range((images - 1).bit_length())), images]
    run: dict[str, Any] = {"delta": delta, "sample_rate": sample_rate, "steps": steps}
    return {count: patient_epsilon(noise_multiplier, images=count, **run) for count in counts}


@lru_cache(maxsize=64)
def attack(run: Run) -> Attack:
    """What an attacker can gain at most from one run, from the delta(epsilon) curve of its PLD."""
    return bound(_together(_kinds([run])))


def rdp_epsilon(noise_multiplier: float, *, delta: float, sample_rate: float, steps: int) -> float:
    """The epsilon of one run by Rényi DP: valid, and looser than PLD."""
    _check(delta=delta, sample_rate=sample_rate, steps=steps, noise_multiplier=noise_multiplier)
    import dp_accounting

    event = dp_accounting.PoissonSampledDpEvent(sample_rate, dp_accounting.GaussianDpEvent(noise_multiplier))
    accountant = dp_accounting.rdp.RdpAccountant(_orders())
    return float(accountant.compose(event, steps).get_epsilon(delta))


@lru_cache(maxsize=64)
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

    Raises ValueError for a value outside its range, and where a noise multiplier of a million is not enough, or one of
    a billionth is too much.
    """
    _check(delta=delta, sample_rate=sample_rate, steps=steps)
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise ValueError(f"epsilon {epsilon} must be above 0 and finite")
    return calibration.smallest(
        lambda noise, coarsest: _composed(((noise, sample_rate, 1, steps),), delta=delta, coarsest=coarsest),
        epsilon=epsilon,
        delta=delta,
        sample_rate=sample_rate,
        steps=steps,
    )


def _kinds(runs: Sequence[Run]) -> Kinds:
    """The runs as (noise, rate, images, steps), equal ones as one longer run, in an order of their own."""
    steps: dict[tuple[float, float, int], int] = {}
    for run in runs:
        kind = (float(run.noise_multiplier), float(run.sample_rate), int(run.images))
        steps[kind] = steps.get(kind, 0) + int(run.steps)
    return tuple((*kind, total) for kind, total in sorted(steps.items()))


def _composed(kinds: Kinds, *, delta: float, coarsest: float = 0.0) -> float:
    distribution = _together(kinds, coarsest) if delta >= SMALLEST_DELTA else None
    if distribution is None:
        return renyi.together(kinds, delta=delta)
    return float(distribution.get_epsilon_for_delta(delta))


@lru_cache(maxsize=4)
def _together(kinds: Kinds, coarsest: float = 0.0) -> Any | None:
    """The PLD of all runs at an interval of `coarsest` or what fits; None where the interval would be above 1."""
    interval = max(losses.fitting_interval(kinds), coarsest)
    if interval > 1:
        return None
    return reduce(lambda so_far, one: so_far.compose(one), (losses.distribution(*kind, interval) for kind in kinds))


def _orders() -> list[float]:
    """Orders from 2 up: below it the series of a fractional order may not settle."""
    return [*np.arange(2, 12, 0.25).tolist(), *range(12, 64), *(2**k for k in range(6, 14))]


def _check(
    *,
    delta: float | None = None,
    sample_rate: float | None = None,
    steps: int | None = None,
    noise_multiplier: float | None = None,
) -> None:
    if delta is not None and not 0 < delta < 1:
        raise ValueError(f"delta {delta} must lie in (0, 1)")
    if sample_rate is not None and not 0 < sample_rate <= 1:
        raise ValueError(f"sample_rate {sample_rate} must lie in (0, 1]; it is the expected batch over the population")
    if noise_multiplier is not None and not 1 / LARGEST_NOISE <= noise_multiplier <= LARGEST_NOISE:
        raise ValueError(
            f"noise_multiplier {noise_multiplier} must lie in [{1 / LARGEST_NOISE:g}, {LARGEST_NOISE:g}]; privrad "
            "calibrate gives the one that an epsilon needs"
        )
    if steps is not None:
        _whole("steps", steps)


def _whole(name: str, value: int) -> None:
    if not (math.isfinite(value) and value >= 1 and value == int(value)):
        raise ValueError(f"{name} {value} must be a whole number of at least 1")
