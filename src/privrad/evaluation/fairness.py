"""How far each group of test images is from the others, how badly the worst one fares, and how sure that is.

docs/fairness.md defines every number and says which comparisons are the study's own question.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy import linalg

from privrad import progress
from privrad.evaluation.comparable import Column, Name, columns
from privrad.evaluation.estimates import ALL, ANY, MEAN, Estimates, Group, Measured, TestSet
from privrad.evaluation.simultaneous import Band, Levels, band

Row = dict[str, Any]
METRICS = {
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "fpr": "fpr",
    "selection_rate": "selection_rate",
    "underdiagnosis": "underdiagnosis",
    "ece": "calibration",
    "auroc": "auroc",
}
CONFIRMATORY = ("sex", "age")
"""The columns whose groups are compared together in the accuracy, mean over findings: the study's own question."""
WORST, RANGE = "(worst)", "(range)"


def gaps(test: TestSet, estimates: Estimates, *, confidence: float, minimum_cell: int) -> list[Row]:
    """The rows of fairness.csv: each group less the others, the worst group and the range, with simultaneous intervals.

    Groups with fewer patients than `minimum_cell` are not compared: they have a NaN value and the reason in `note`.
    Intervals are simultaneous over the groups of a column, and over those of CONFIRMATORY together in the accuracy of
    the mean over findings, or of a single finding; `flagged` where they leave out 0.
    """
    rows: list[Row] = []
    groups = [group for group in test.members if group != ALL]
    for one in progress.track(test.epsilons, what="fairness: models", total=len(test.epsilons)):
        for finding in (*test.findings, MEAN, ANY) if groups else ():
            key = {"arm": one[0], "epsilon": test.epsilons[one], "seed": one[1], "finding": finding}
            for name in _metrics(estimates.get((one, groups[0], finding))):
                held = columns(test, estimates, one, finding, name=name, minimum=minimum_cell)
                joint = name[0] == "accuracy" and (finding == MEAN or not test.averages(MEAN))
                rows += [key | row for row in _rows(held, name, confidence=confidence, joint=joint)]
    return rows


def _metrics(cell: Measured | None) -> list[Name]:
    """The metrics that groups are compared in, each with the rule of its threshold."""
    held = cell.metrics if cell else ()
    return [name for metric in METRICS for name in held if name[0] == metric]


def _rows(held: Sequence[Column], name: Name, *, confidence: float, joint: bool) -> Iterator[Row]:
    """The rows of one model, finding and metric; `joint` makes one family of the CONFIRMATORY columns."""
    metric = METRICS[name[0]]
    asked = [column for column in held if joint and column.name in CONFIRMATORY]
    together = _compared(asked, confidence=confidence)
    for column in held:
        key = {"group_by": column.name, "rule": name[1]}
        found = together if joint and column.name in CONFIRMATORY else _compared([column], confidence=confidence)
        for group, cell in column.cells.items():
            told = found[group] if group in found else _nothing(column.reasons[group])
            size = {"images": cell.images, "patients": cell.patients}
            yield key | {"group": group[1], "metric": f"{metric}_difference"} | told | size
        if name[0] == "auroc":
            yield key | {"group": WORST, "metric": metric} | _worst(column, confidence=confidence)
        yield key | {"group": RANGE, "metric": f"{metric}_range"} | _range(column, confidence=confidence)


def _compared(family: Sequence[Column], *, confidence: float) -> dict[Group, Row]:
    """Each compared group of a family of columns less the others of its own column."""
    held = [column for column in family if column.compared]
    if not held:
        return {}
    levels = Levels(
        values=np.concatenate([column.levels.values for column in held]),
        draws=np.concatenate([column.levels.draws for column in held]),
        patients=np.concatenate([column.levels.patients for column in held]),
        biased=held[0].levels.biased,
    )
    contrasts = linalg.block_diag(*(column.others for column in held))
    found = band(levels, contrasts, confidence=confidence, bounds=(-1, 1))
    groups = [group for column in held for group in column.compared]
    return {group: _told(found, place) for place, group in enumerate(groups)}


def _worst(column: Column, *, confidence: float) -> Row:
    """The lowest group. Where a band holds all groups, the lowest lies from its lowest low to its lowest high."""
    if not column.compared:
        return _nothing("not estimable: fewer than two groups to compare") | {"images": 0, "patients": 0}
    levels = column.levels
    found = band(levels, np.eye(len(levels.values)), confidence=confidence, bounds=(0, 1))
    place = int(np.argmin(levels.values))
    cell = column.cells[column.compared[place]]
    low, high = float(found.simultaneous_low.min()), float(found.simultaneous_high.min())
    told = _told(found, place, said=[f"group {column.compared[place][1]}", *column.left_out])
    return (
        told
        | {"low": low, "high": high, "simultaneous_low": low, "simultaneous_high": high}
        | {"p_simultaneous": math.nan, "flagged": False, "images": cell.images, "patients": cell.patients}
    )


def _range(column: Column, *, confidence: float) -> Row:
    """The largest less the smallest: of all pairs of groups, whose band holds together, the furthest apart."""
    if not column.compared:
        return _nothing("not estimable: fewer than two groups to compare") | {"images": 0, "patients": 0}
    levels = column.levels
    pairs = np.array([one - other for one, other in combinations(np.eye(len(levels.values)), 2)])
    found = band(levels, pairs, confidence=confidence, bounds=(-1, 1))
    least = np.maximum(np.maximum(found.simultaneous_low, -found.simultaneous_high), 0)
    most = np.maximum(np.abs(found.simultaneous_low), np.abs(found.simultaneous_high))
    low, high = float(least.max()), float(most.max())
    largest, smallest = (column.compared[int(pick(levels.values))] for pick in (np.argmax, np.argmin))
    few = min(column.cells[largest], column.cells[smallest], key=lambda cell: cell.patients)
    told = _told(
        found,
        int(np.argmax(np.abs(found.values))),
        said=[f"largest {largest[1]}, smallest {smallest[1]}", *column.left_out],
    )
    return (
        told
        | {"value": float(np.ptp(levels.values)), "low": low, "high": high, "simultaneous_low": low}
        | {"simultaneous_high": high, "p_simultaneous": float(found.p.min()), "flagged": low > 0}
        | {"images": few.images, "patients": few.patients}
    )


def _told(found: Band, place: int, *, said: Sequence[str] = ()) -> Row:
    low, high = float(found.simultaneous_low[place]), float(found.simultaneous_high[place])
    notes = list(said)
    if math.isnan(low):
        notes.append(f"no simultaneous interval: {found.redraws} redraws are too few")
    elif found.degenerate:
        notes.append(f"not estimable in {found.degenerate} of {found.degenerate + found.redraws} redraws")
    return (
        {"value": float(found.values[place]), "low": float(found.low[place]), "high": float(found.high[place])}
        | {"simultaneous_low": low, "simultaneous_high": high, "p_simultaneous": float(found.p[place])}
        | {"flagged": low > 0 or high < 0, "note": "; ".join(notes)}
    )


def _nothing(note: str) -> Row:
    numbers = ("value", "low", "high", "simultaneous_low", "simultaneous_high", "p_simultaneous")
    return dict.fromkeys(numbers, math.nan) | {"flagged": False, "note": note}
