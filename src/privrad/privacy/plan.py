"""The plan of one private run: sampling, clipping, noise and accounting in one frozen object."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from privrad.privacy import accounting
from privrad.privacy.noise import gaussian
from privrad.privacy.randomness import stream_key
from privrad.privacy.sampling import Integers, PoissonSampler, ViewSampler

log = logging.getLogger("privrad")

Unit = Literal["patient", "record"]
NoiseMode = Literal["release", "reproducible"]
Clipping = Literal["mixed", "opacus"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that the guarantee of one run rests on, in plain numbers.

    `population` is the declared number of units and `expected_batch` the mean number per step; both are constants that
    no count of the data enters. `epsilon` is the target at `delta`; `noise_multiplier` is the standard deviation of
    the noise over `clipping_norm`. Raises ValueError for a value outside its range.
    """

    unit: Unit
    population: int
    expected_batch: int
    steps: int
    delta: float
    clipping_norm: float
    epsilon: float
    noise_multiplier: float
    views: int = 1
    clipping: Clipping = "mixed"
    precision: Precision = "float32"
    max_images_per_patient: int | None = None
    noise: NoiseMode = "release"

    def __post_init__(self) -> None:
        for name in ("population", "expected_batch", "steps", "views"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("delta", "clipping_norm", "epsilon", "noise_multiplier"):
            _require(0 < getattr(self, name) < math.inf, name, getattr(self, name), "above 0 and finite")
        _require(self.unit in ("patient", "record"), "unit", self.unit, "patient or record")
        _require(self.noise in ("release", "reproducible"), "noise", self.noise, "release or reproducible")
        _require(self.clipping in ("mixed", "opacus"), "clipping", self.clipping, "mixed or opacus")
        known = self.precision == "float32" or (self.precision == "bfloat16" and self.clipping == "mixed")
        _require(known, "precision", self.precision, "float32, or bfloat16 with clipping mixed")
        most = f"at most population {self.population}, since the sampling rate must not exceed 1"
        _require(self.expected_batch <= self.population, "expected_batch", self.expected_batch, most)
        below = f"below 1/population = {1 / self.population:.3g}, else one unit could be published outright"
        _require(self.delta < 1 / self.population, "delta", self.delta, below)
        if self.unit == "record":
            images = self.max_images_per_patient
            _require(
                images is not None and images >= 1,
                "max_images_per_patient",
                images,
                "at least 1 where the unit is the record",
            )
            _require(self.views == 1, "views", self.views, "1 where the unit is the record")
        if self.delta > 1 / (10 * self.population):
            log.warning(
                "delta %g is above 1/(10 population) = %.3g; prefer a smaller one", self.delta, 0.1 / self.population
            )

    @classmethod
    def calibrated(cls, *, epsilon: float, **settings: Any) -> Plan:
        """The plan with the least noise that keeps PLD epsilon at or below `epsilon` after all steps.

        `settings` are the other fields except noise_multiplier.
        """
        plan = cls(epsilon=epsilon, noise_multiplier=1.0, **settings)
        needed = accounting.noise_multiplier(epsilon, plan.delta, plan.sample_rate, plan.steps)
        object.__setattr__(plan, "noise_multiplier", needed)
        return plan

    @property
    def sample_rate(self) -> float:
        """The probability of each unit to join a step: expected_batch / population."""
        return self.expected_batch / self.population

    def batches(self, run_key: bytes, *, units: int) -> PoissonSampler:
        """The sampler of units; `units` are those present, which change neither rate nor divisor."""
        return PoissonSampler(key=stream_key(run_key, "batch"), sample_rate=self.sample_rate, units=units)

    def choices(self, run_key: bytes, *, images: Sequence[Integers]) -> ViewSampler:
        """The choice of each sampled unit's images; `images[u]` are the rows of unit u."""
        return ViewSampler(key=stream_key(run_key, "views"), views=self.views, images=images)

    def noise_of(self, run_key: bytes, step: int, size: int) -> npt.NDArray[np.float32]:
        """The noise of one step for a sum of clipped gradients, standard deviation noise_multiplier · clipping_norm."""
        return gaussian(stream_key(run_key, "noise"), step, size, scale=self.noise_multiplier * self.clipping_norm)


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name} {value} must be {allowed}")
