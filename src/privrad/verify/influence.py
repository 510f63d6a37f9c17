"""An AUROC's sampling variance from midranks: DeLong's, for images that come in units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Influence:
    """An area, or a sum of areas, and how much each unit bears on it; the variance is the sum of squares.

    Of one area `fewer` is the lesser number of units with positive and with negative images, `scale` what a binormal
    variance is multiplied by. `terms` are the single areas of a sum with their factors.
    """

    area: float
    of_units: Floats
    fewer: int
    scale: float = math.nan
    terms: tuple[tuple[float, Influence], ...] = ()

    @property
    def variance(self) -> float:
        return float(self.of_units @ self.of_units)

    @property
    def parts(self) -> tuple[tuple[float, Influence], ...]:
        """The single areas with their factors."""
        return self.terms or ((1.0, self),)

    def minus(self, other: Influence) -> Influence:
        """The difference of two areas that share their units."""
        return total([(1.0, self), (-1.0, other)])


def of_area(scores: Floats, *, labels: NDArray[np.bool_], units: NDArray[np.intp], count: int) -> Influence | None:
    """The influence of each of `count` units on one AUROC; None without a positive or a negative image.

    Source: Sun and Xu, IEEE Signal Processing Letters 21 (2014) for the midranks; Obuchowski, Biometrics 53 (1997) for
    the sums over a unit; docs/coverage.md for the factors p/(p-1) of the p units with positives and of those with
    negatives, and for the scale.
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return None
    ranks = rankdata(scores)
    won = (ranks[labels] - rankdata(scores[labels])) / negatives
    held = 1 - (ranks[~labels] - rankdata(scores[~labels])) / positives
    area = float(won.mean())
    of_units = _summed(won - area, units[labels], count) + _summed(held - area, units[~labels], count)
    sides = [len(np.unique(units[kept])) for kept in (labels, ~labels)]
    independent = sum(float(np.var(side, ddof=1)) / len(side) if len(side) > 1 else math.nan for side in (won, held))
    scale = 1 / sides[0] + 1 / sides[1]
    if independent > 0:
        scale = (1 / positives + 1 / negatives) * max(1.0, float(of_units @ of_units) / independent)
    return Influence(area, of_units, min(sides), scale)


def mean(parts: Sequence[Influence]) -> Influence | None:
    """The mean of areas that share their units; None of nothing."""
    return total([(1 / len(parts), part) for part in parts]) if parts else None


def total(parts: Sequence[tuple[float, Influence]]) -> Influence:
    """A sum of areas, each times a factor."""
    return Influence(
        area=math.fsum(factor * part.area for factor, part in parts),
        of_units=np.sum([factor * part.of_units for factor, part in parts], axis=0),
        fewer=min(part.fewer for _, part in parts),
        terms=tuple((factor * own, leaf) for factor, part in parts for own, leaf in part.parts),
    )


def _summed(deviations: Floats, units: NDArray[np.intp], count: int) -> Floats:
    held = len(np.unique(units))
    factor = math.sqrt(held / (held - 1)) if held > 1 else math.nan
    return np.asarray(factor * np.bincount(units, weights=deviations, minlength=count) / len(units))
