"""Poisson sampling of units, and the choice of each unit's views: functions of (key, step) alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from privrad.privacy.randomness import uniforms

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PoissonSampler:
    """Each of `units` joins a step's batch by its own coin of probability `sample_rate`.

    The batch size is thus Binomial(units, sample_rate) and, given its size, the batch is a uniform subset; an empty
    batch is a batch. The rate comes from the plan, never from the number of units present.
    """

    key: bytes = field(repr=False)
    sample_rate: float
    units: int

    def __post_init__(self) -> None:
        if not 0 < self.sample_rate <= 1:
            raise ValueError(f"sample_rate {self.sample_rate} must lie in (0, 1]")
        if self.units < 0:
            raise ValueError(f"units {self.units} must be at least 0")

    def batch(self, step: int) -> Integers:
        """The units of one step, ascending."""
        return np.flatnonzero(uniforms(self.key, step, self.units) < self.sample_rate).astype(np.int64)


@dataclass(frozen=True)
class ViewSampler:
    """Which `views` of its own images each sampled unit contributes.

    `images[u]` holds the rows of unit u. Without replacement where a unit has enough images, else with it.
    """

    key: bytes = field(repr=False)
    views: int
    images: Sequence[Integers]

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ValueError(f"views {self.views} must be at least 1")
        empty = [unit for unit, rows in enumerate(self.images) if not len(rows)]
        if empty:
            raise ValueError(f"unit {empty[0]} has no image; leave out units without images")

    def rows(self, step: int, batch: Integers) -> Integers:
        """Image rows [len(batch), views] for the units of one step."""
        widest = max((len(self.images[unit]) for unit in batch), default=0)
        widest = max(widest, self.views)
        draws = uniforms(self.key, step, len(batch) * widest).reshape(len(batch), widest)
        chosen = np.empty((len(batch), self.views), dtype=np.int64)
        for row, (unit, draw) in enumerate(zip(batch, draws, strict=True)):
            own = self.images[unit]
            if len(own) >= self.views > 1:
                chosen[row] = own[np.argsort(draw[: len(own)], kind="stable")[: self.views]]
            else:
                chosen[row] = own[(draw[: self.views] * len(own)).astype(np.int64)]
        return chosen
