"""Linked cells: which must be hidden beside the small ones so that no sum gives a small one away."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_array, vstack
from scipy.sparse.csgraph import connected_components

Floats = NDArray[np.float64]
SHOWN, SMALL, WITHHELD = "", "small", "withheld"
NEVER = math.inf
TOLERANCE = 1e-6


class ReleaseError(RuntimeError):
    """Linked cells that no one can reason about; the message says what the solver said."""


@dataclass(frozen=True)
class Cell:
    """One number that sums are made of.

    A `small` cell is hidden from the start, and what is released must leave all of `target` possible. Any other is
    shown unless `cost` is NEVER or `shown` is False, or until it has to be withheld; the cheapest goes first. `free` is
    what everybody knows of it when it is not shown. The true `value` lies in `free`, and `free` spans `target`.
    """

    value: float
    free: tuple[float, float]
    target: tuple[float, float] | None = None
    shown: bool = True
    cost: float = NEVER


@dataclass
class Linked:
    """Cells by name, and what is known of their sums: each of `rows` is coefficients and bounds of their sum."""

    cells: dict[Hashable, Cell] = field(default_factory=dict)
    rows: list[tuple[Mapping[Hashable, float], float, float]] = field(default_factory=list)

    def know(self, coefficients: Mapping[Any, float], *, low: float = 0.0, high: float = 0.0) -> None:
        """Take it as known that a weighted sum of cells lies within bounds."""
        self.rows.append((coefficients, low, high))

    def total(self, whole: Hashable, parts: Sequence[Hashable]) -> None:
        """Take it as known that parts add up to the whole; where they do not, only that they do not exceed it, or do.

        Overlapping parts (a patient with images in two age bands) come to more than the whole, incomplete ones to less.
        """
        left = sum(self.cells[part].value for part in parts) - self.cells[whole].value
        coefficients = {**dict.fromkeys(parts, 1.0), whole: -1.0}
        self.know(coefficients, low=-math.inf if left < 0 else 0.0, high=math.inf if left > 0 else 0.0)

    def join(self, other: Linked, *, name: Hashable) -> None:
        """Add the cells and sums of another, each cell under (name, its own name)."""
        self.cells |= {(name, own): cell for own, cell in other.cells.items()}
        for row, low, high in other.rows:
            self.know({(name, own): value for own, value in row.items()}, low=low, high=high)

    def without(self, states: Mapping[Hashable, str]) -> Linked:
        """The same, where those cells are not shown that are already withheld."""
        gone = {name: replace(self.cells[name], shown=False) for name, state in states.items() if state == WITHHELD}
        return Linked(self.cells | gone, self.rows)


def hidden(linked: Linked, *, at_once: int = 1) -> dict[Hashable, str]:
    """SHOWN, SMALL or WITHHELD for every cell, so that each target stays possible; the same for the same cells.

    While the bounds that a linear program finds for a small cell do not span its target, the cheapest of the shown
    cells that the program's dual solution rests on is withheld: without that cell the proof of the bound falls. What
    is possible stays possible when more is withheld, so no bound is looked for twice. A bound that rests on nothing
    that can be withheld stays: it follows from what is said of the hidden cells alone. One program looks for `at_once`
    bounds, each in another set of cells that sums tie together, which saves time where sets are many and alike.
    """
    solver = _Solver(linked)
    solver.all_at_once()
    while asked := solver.unreached(at_once):
        solver.free_up(asked)
    return dict(zip(solver.names, solver.states, strict=True))


class _Solver:
    """The linear programs of linked cells, and the extremes that some solution of them has reached.

    Cells that are shown are constants, so rows tie hidden cells together in sets that have nothing to do with each
    other.
    """

    def __init__(self, linked: Linked) -> None:
        cells = list(linked.cells.values())
        self.names = list(linked.cells)
        self.free = np.array([cell.free for cell in cells], dtype=float).reshape(-1, 2)
        self.cost = np.array([cell.cost for cell in cells], dtype=float)
        self.states = [SMALL if cell.target else SHOWN if cell.shown else WITHHELD for cell in cells]
        self.target = np.array([cell.target or (math.nan, math.nan) for cell in cells], dtype=float).reshape(-1, 2)
        self.values = np.array([cell.value for cell in cells], dtype=float)
        self.open = np.array([state != SHOWN for state in self.states], dtype=bool)
        self.reached = np.column_stack([self.values, self.values])
        self.given_up = np.zeros((len(cells), 2), dtype=bool)
        self.rows, self.low, self.high = _matrix(linked, {name: at for at, name in enumerate(self.names)})
        self.columns = self.rows.tocsc()
        self.constant = self.rows @ np.where(self.open, 0.0, self.values)
        self.tied = self._tied()

    def _tied(self) -> NDArray[np.intp]:
        """The number of the set that each hidden cell is in; -1 for those that are shown."""
        held = abs(self.columns[:, self.open])
        tied = np.full(len(self.names), -1)
        tied[self.open] = connected_components(held.T @ held, directed=False)[1]
        return tied

    def all_at_once(self) -> None:
        """Look for two solutions: with all small cells together as low, and as high, as they can be."""
        small = np.isfinite(self.target[:, 0])
        for sign in (1.0, -1.0):
            if small.any():
                self._solve(sign * small)

    def unreached(self, at_once: int) -> list[tuple[int, int]]:
        """In each of some sets the first small cell, and side (0 low, 1 high), that no solution takes to its target."""
        places, sides = np.nonzero(self._short() & ~self.given_up)
        first = np.unique(self.tied[places], return_index=True)[1]
        return [(int(places[at]), int(sides[at])) for at in first[:at_once]]

    def _short(self) -> NDArray[np.bool_]:
        short: NDArray[np.bool_] = (self.reached - self.target) * (1.0, -1.0) > TOLERANCE
        return short

    def free_up(self, asked: Sequence[tuple[int, int]]) -> None:
        """Take these cells as low or high as can be; withhold a cell for each that falls short, or give it up."""
        objective = np.zeros(len(self.names))
        for place, side in asked:
            objective[place] = 1.0 - 2 * side
        rows, weight = self._solve(objective)
        short, of = self._short(), self._set_of(rows)
        gone = set()
        for place, side in asked:
            if not short[place, side]:
                continue
            own = of == self.tied[place]
            rests = np.abs(weight[own] @ self.rows[rows[own]]) > 1e-9
            candidates = np.flatnonzero(rests & ~self.open & (self.cost < NEVER))
            if len(candidates):
                gone.add(min(candidates.tolist(), key=lambda at: (self.cost[at], self.values[at], at)))
            else:
                self.given_up[place, side] = True
        for at in gone:
            self.states[at], self.open[at] = WITHHELD, True
        if gone:
            self.constant = self.rows @ np.where(self.open, 0.0, self.values)
            self.tied = self._tied()

    def _set_of(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """The number of the set that each of these rows ties."""
        held = self.rows[rows][:, self.open]
        numbers: NDArray[np.intp] = self.tied[self.open][held.indices[held.indptr[:-1]]]
        return numbers

    def _solve(self, objective: Floats) -> tuple[NDArray[np.intp], Floats]:
        """Minimise over the sets that the objective bears on; keep what is reached; give their rows and dual values."""
        own = np.flatnonzero(np.isin(self.tied, self.tied[objective != 0]))
        held = self.columns[:, own]
        rows = np.unique(held.indices)
        held = held.tocsr()[rows]
        low, high = self.low[rows] - self.constant[rows], self.high[rows] - self.constant[rows]
        exact, above, below = low == high, np.isfinite(high) & (low != high), np.isfinite(low) & (low != high)
        found = linprog(
            objective[own],
            A_ub=vstack([held[above], -held[below]]),
            b_ub=np.concatenate([high[above], -low[below]]),
            A_eq=held[exact],
            b_eq=high[exact],
            bounds=self.free[own],
            method="highs",
        )
        if found.status != 0:
            raise ReleaseError(f"the linear program of linked cells was not solved: {found.message}")
        self.reached[own, 0] = np.minimum(self.reached[own, 0], found.x)
        self.reached[own, 1] = np.maximum(self.reached[own, 1], found.x)
        weight = np.zeros(len(rows))
        weight[exact] = found.eqlin.marginals
        weight[above] += found.ineqlin.marginals[: above.sum()]
        weight[below] -= found.ineqlin.marginals[above.sum() :]
        return rows, weight


def _matrix(linked: Linked, places: Mapping[Hashable, int]) -> tuple[csr_array, Floats, Floats]:
    """The known sums as rows over cells, with their bounds."""
    entries = [(at, places[name], value) for at, (row, _, _) in enumerate(linked.rows) for name, value in row.items()]
    down, across, values = (np.array(each) for each in zip(*entries, strict=True)) if entries else ([], [], [])
    matrix = csr_array((np.asarray(values, dtype=float), (down, across)), shape=(len(linked.rows), len(places)))
    matrix.eliminate_zeros()
    low, high = (np.array([row[side] for row in linked.rows], dtype=float) for side in (1, 2))
    return matrix, low, high
