"""One private step after another: sample units, sum clipped gradients, add noise, divide by a constant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from privrad.privacy.gradients import OpacusGradients
from privrad.privacy.plan import Plan
from privrad.privacy.sampling import Integers

Load = Callable[[Integers], tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """The noisy mean gradient of each step, a function of (plan, run_key, data, weights, step).

    `units[u]` holds the rows of unit u and `load(rows)` gives their inputs and targets. `physical_batch` bounds the
    images that are on the device at once, though never below one unit's views, and changes nothing but rounding.
    """

    plan: Plan
    run_key: bytes = field(repr=False)
    gradients: OpacusGradients
    units: Sequence[Integers]
    load: Load
    physical_batch: int

    def __post_init__(self) -> None:
        if self.gradients.views != self.plan.views:
            raise ValueError(f"gradients of {self.gradients.views} views must have the plan's {self.plan.views}")
        if self.gradients.clipping_norm != self.plan.clipping_norm:
            given, planned = self.gradients.clipping_norm, self.plan.clipping_norm
            raise ValueError(f"gradients clipped to {given} must be clipped to the plan's {planned}")
        if self.physical_batch < 1:
            raise ValueError(f"physical_batch {self.physical_batch} must be at least 1")

    def batch(self, step: int) -> Integers:
        """The units of a step: a private fact."""
        return self.plan.batches(self.run_key, units=len(self.units)).batch(step)

    def noisy_mean(self, step: int) -> list[Tensor]:
        """(Sum of clipped unit gradients + noise) / expected batch, one tensor per trainable parameter.

        An empty batch gives noise alone. Raises ValueError for a step outside the plan, and where
        the sum is not finite.
        """
        if not 0 <= step < self.plan.steps:
            raise ValueError(f"step {step} must lie in [0, {self.plan.steps}), the steps that the plan accounts for")
        batch = self.batch(step)
        rows = self.plan.choices(self.run_key, images=self.units).rows(step, batch)
        at_once = max(1, self.physical_batch // self.plan.views)
        self.gradients.take()  # what an interrupted step left would count twice
        for start in range(0, len(rows), at_once):
            self.gradients.add(*self.load(rows[start : start + at_once].reshape(-1)))
        return self._with_noise(self.gradients.take(), step)

    def _with_noise(self, sums: list[Tensor], step: int) -> list[Tensor]:
        if not all(bool(value.isfinite().all()) for value in sums):
            raise ValueError(f"the sum of clipped gradients is not finite at step {step}; lower the learning rate")
        sizes = [value.numel() for value in sums]
        noise = torch.from_numpy(self.plan.noise_of(self.run_key, step, sum(sizes)))
        parts = noise.to(sums[0].device).split(sizes)
        return [
            (value + part.view_as(value)) / self.plan.expected_batch for value, part in zip(sums, parts, strict=True)
        ]
