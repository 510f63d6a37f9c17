"""The law of the bootstrap redraws: which units each redraw holds, and how often.

A unit is a patient (or an image). The units are in ascending order of their ids. Redraw b of seed s takes
`default_rng([s, b]).integers(units, size=units)`, so that any one redraw can be had without the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from privrad.evaluation.roc import SLAB

Floats = NDArray[np.float64]
BLOCKS = 100


@dataclass(frozen=True)
class Drawn:
    """One number on the test set, on each redraw, and with each block of units left out; NaN where not estimable."""

    value: float
    draws: Floats
    left_out: Floats


@dataclass(frozen=True)
class Weights:
    """How often each unit counts: `matrix` is [1 + redraws + blocks, units].

    Its first row is the test set itself (all ones), then come the redraws, then the jackknife: a row that leaves out
    one block of units each.
    """

    matrix: NDArray[np.uint16]
    redraws: int = 0

    @property
    def rows(self) -> int:
        return int(self.matrix.shape[0])

    @cached_property
    def slabs(self) -> NDArray[np.unsignedinteger]:
        """The same weights as [slabs, units, SLAB]: many rows of a unit side by side, zeros after the last row.

        In bytes where all fit, as they do in any redraw of more than a handful of units.
        """
        count = -(-self.rows // SLAB)
        kind = np.uint8 if self.matrix.max(initial=0) < 256 else np.uint16
        slabs = np.zeros((count, self.units, SLAB), dtype=kind)
        for slab in range(count):
            rows = self.matrix[slab * SLAB : (slab + 1) * SLAB]
            slabs[slab, :, : len(rows)] = rows.T
        return slabs

    @property
    def units(self) -> int:
        return int(self.matrix.shape[1])

    def drawn(self, values: Floats) -> Drawn:
        """One value a row of the matrix, taken apart."""
        return Drawn(float(values[0]), values[1 : 1 + self.redraws], values[1 + self.redraws :])


def weigh(units: int, *, redraws: int, seed: int) -> Weights:
    """Draw the weights of `redraws` bootstrap samples of `units` units, and of the jackknife over at most 100 blocks.

    The blocks are dealt by `default_rng([seed, 2**32]).permutation(units) % blocks`.
    """
    blocks = min(units, BLOCKS)
    matrix = np.ones((1 + redraws + blocks, units), dtype=np.uint16)
    for redraw in range(redraws):
        taken = np.random.default_rng([seed, redraw]).integers(units, size=units)
        matrix[1 + redraw] = np.bincount(taken, minlength=units)
    dealt = np.random.default_rng([seed, 2**32]).permutation(units) % blocks
    matrix[1 + redraws + dealt, np.arange(units)] = 0
    return Weights(matrix, redraws)
