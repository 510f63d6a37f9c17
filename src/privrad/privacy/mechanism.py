"""One private step after another: sample units, sum clipped gradients, add noise, divide by a constant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, distributed, nn

from privrad.privacy.gradients import Gradients, Loss, MixedGradients
from privrad.privacy.plan import Plan
from privrad.privacy.reference import OpacusGradients
from privrad.privacy.sampling import Integers, PoissonSampler, ViewSampler

Load = Callable[[Integers], tuple[Tensor, Tensor]]
SMALLEST = 8
"""The smallest physical size, in units, that a batch is cut into."""


def gradients_of(
    model: nn.Module, *, plan: Plan, loss: Loss, methods: Mapping[str, str] | None = None
) -> MixedGradients | OpacusGradients:
    """The engine that the plan names, to be used as a context.

    `methods` are those of an earlier engine, where a run goes on. New ones are chosen by time where the noise is for
    release, and else by counting, which chooses the same on every machine.
    """
    if plan.clipping == "opacus":
        return OpacusGradients(model, loss=loss, clipping_norm=plan.clipping_norm, views=plan.views)
    return MixedGradients(
        model,
        loss=loss,
        clipping_norm=plan.clipping_norm,
        views=plan.views,
        precision=plan.precision,
        methods=methods,
        timed=plan.noise == "release",
    )


@dataclass(frozen=True)
class Ranks:
    """The processes that share a training, `rank` of `world`: each takes its share of every batch."""

    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise ValueError(f"rank {self.rank} must lie in [0, {self.world})")

    def share(self, rows: Integers) -> Integers:
        """What is this process' own of the rows of a batch, one row a unit."""
        return rows[self.rank :: self.world]

    def sum(self, values: list[Tensor]) -> list[Tensor]:
        """The sum over all processes, by one all-reduce of one buffer."""
        if self.world == 1:
            return values
        buffer = torch.cat([value.reshape(-1) for value in values])
        distributed.all_reduce(buffer)
        parts = buffer.split([value.numel() for value in values])
        return [part.view_as(value) for part, value in zip(parts, values, strict=True)]


@dataclass(kw_only=True)
class Mechanism:
    """The noisy mean gradient of each step, a function of (plan, run_key, data, weights, step).

    `units[u]` holds the rows of unit u and `load(rows)` gives their inputs and targets. `physical_batch` bounds the
    images that are on the device at once, though never below one unit's views, and changes nothing but rounding: a
    batch is cut into a few fixed sizes, the last one padded with units that count for nothing. The noise is the same
    in all processes of `ranks`, and added once, after their sum.
    """

    plan: Plan
    run_key: bytes = field(repr=False)
    gradients: Gradients
    units: Sequence[Integers]
    load: Load
    physical_batch: int
    ranks: Ranks = Ranks()
    _asked: int = field(default=-1, init=False)

    def __post_init__(self) -> None:
        if self.gradients.views != self.plan.views:
            raise ValueError(f"gradients of {self.gradients.views} views must have the plan's {self.plan.views}")
        if self.gradients.clipping_norm != self.plan.clipping_norm:
            given, planned = self.gradients.clipping_norm, self.plan.clipping_norm
            raise ValueError(f"gradients clipped to {given} must be clipped to the plan's {planned}")
        if self.physical_batch < 1:
            raise ValueError(f"physical_batch {self.physical_batch} must be at least 1")

    def batch(self, step: int) -> Integers:
        """The units of a step, in all processes together: a private fact."""
        return self._batches.batch(step)

    def noisy_mean(self, step: int) -> list[Tensor]:
        """(Sum of clipped unit gradients + noise) / expected batch, one tensor per trainable parameter.

        An empty batch gives noise alone. Raises ValueError for a step outside the plan or not above the last one asked
        for, since its noise on other weights would tell of the images, and where the sum is not finite.
        """
        if not 0 <= step < self.plan.steps:
            raise ValueError(f"step {step} must lie in [0, {self.plan.steps}), the steps that the plan accounts for")
        if step <= self._asked:
            raise ValueError(f"step {step} must be above {self._asked}, the last one asked for; its noise is used up")
        self._asked = step
        batch = self.batch(step)
        rows = self.ranks.share(self._choices.rows(step, batch))
        self.gradients.take()  # what an interrupted step left would count twice
        for part, padding in self._physical(rows):
            self.gradients.add(*self.load(part.reshape(-1)), padding=padding)
        return self._with_noise(self.ranks.sum(self.gradients.take()), step)

    @cached_property
    def _batches(self) -> PoissonSampler:
        return self.plan.batches(self.run_key, units=len(self.units))

    @cached_property
    def _choices(self) -> ViewSampler:
        return self.plan.choices(self.run_key, images=self.units)

    def _physical(self, rows: Integers) -> Iterator[tuple[Integers, int]]:
        """Parts of a batch's rows in fixed sizes, largest first, and how many of each part are padding."""
        size, start = max(1, self.physical_batch // self.plan.views), 0
        while start < len(rows):
            left = len(rows) - start
            while size > left and size // 2 >= SMALLEST:
                size //= 2
            part = rows[start : start + size]
            yield np.concatenate([part, np.repeat(part[:1], size - len(part), axis=0)]), size - len(part)
            start += size

    def _with_noise(self, sums: list[Tensor], step: int) -> list[Tensor]:
        if not all(bool(value.isfinite().all()) for value in sums):
            raise ValueError(f"the sum of clipped gradients is not finite at step {step}; lower the learning rate")
        sizes = [value.numel() for value in sums]
        noise = torch.from_numpy(self.plan.noise_of(self.run_key, step, sum(sizes)))
        parts = noise.to(sums[0].device).split(sizes)
        return [
            (value + part.view_as(value)) / self.plan.expected_batch for value, part in zip(sums, parts, strict=True)
        ]
