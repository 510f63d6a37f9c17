"""Which groups of a column can be compared on a number, and why the others cannot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from privrad.evaluation.estimates import ALL, Estimates, Group, Measured, Run, TestSet
from privrad.evaluation.simultaneous import Floats, Levels

FEWEST = 2
Name = tuple[str, str]
"""A metric and the rule of its threshold, "" without."""


@dataclass(frozen=True)
class Column:
    """The groups of one column on one metric: their cells, why each is not compared ("" if it is), and who is."""

    name: str
    cells: dict[Group, Measured]
    reasons: dict[Group, str]
    compared: list[Group]
    levels: Levels

    @property
    def left_out(self) -> list[str]:
        """How many groups are not compared, in words; nothing where all are."""
        count = len(self.cells) - len(self.compared)
        return [f"{count} of {len(self.cells)} groups not compared"] * (count > 0)

    @property
    def others(self) -> Floats:
        """Contrasts: each compared group less the mean of the other ones, weighted by their images on the test set."""
        images = np.array([self.cells[group].images for group in self.compared], dtype=float)
        weights = np.tile(images, (len(images), 1))
        np.fill_diagonal(weights, 0)
        return np.asarray(np.eye(len(images)) - weights / weights.sum(axis=1, keepdims=True))


def columns(test: TestSet, estimates: Estimates, one: Run, finding: str, *, name: Name, minimum: int) -> list[Column]:
    """The columns of a test set, on one metric (and rule) of one model and finding.

    A group is compared where at least `minimum` patients (2 at the least) bear on the number; in the mean over
    findings, half as many of each finding suffice. Two such groups are needed.
    """
    groups = [group for group in test.members if group != ALL and (one, group, finding) in estimates]
    parts = _parts(test, estimates, one, finding, name)
    found = []
    for column in dict.fromkeys(group[0] for group in groups):
        cells = {group: estimates[one, group, finding] for group in groups if group[0] == column}
        of_findings = {group: {part: estimates.get((one, group, part)) for part in parts} for group in cells}
        reasons = {group: _why_not(held, name, max(minimum, FEWEST)) for group, held in of_findings.items()}
        compared = [group for group, reason in reasons.items() if not reason]
        if len(compared) == 1:
            reasons[compared.pop()] = "not estimable: no other group to compare with"
        levels = Levels(
            values=np.array([cells[group][name].value for group in compared]),
            draws=np.array([cells[group][name].draws for group in compared]),
            patients=np.array([_least(of_findings[group].values(), name[0]) for group in compared]),
            biased=name[0] == "ece",
        )
        found.append(Column(column, cells, reasons, compared, levels))
    return found


def _parts(test: TestSet, estimates: Estimates, one: Run, finding: str, name: Name) -> list[str]:
    """The findings that a number is a mean of: those that have it on the whole test set."""
    if not test.averages(finding):
        return [finding]
    return [each for each in test.findings if _estimable(estimates.get((one, ALL, each)), name)]


def _least(cells: Iterable[Measured | None], metric: str) -> float:
    """How many patients bear on a number of each of some findings, at the least."""
    return float(min(_support(cell, metric)[0] for cell in cells if cell))


def _estimable(cell: Measured | None, name: Name) -> bool:
    return cell is not None and name in cell.metrics and math.isfinite(cell[name].value)


def _support(cell: Measured, metric: str) -> tuple[int, str]:
    """How many patients bear on a number, and which."""
    positive = (cell.positive_patients, " with a positive image")
    negative = (cell.negative_patients, " with a negative image")
    if metric in ("sensitivity", "underdiagnosis"):
        return positive
    if metric == "fpr":
        return negative
    return min(positive, negative) if metric == "auroc" else (cell.patients, "")


def _why_not(cells: Mapping[str, Measured | None], name: Name, minimum: int) -> str:
    """Why a group is not compared, "" if it is; `cells` are those of the findings that its number is a mean of."""
    if not cells:
        return "not estimable: no finding is"
    for finding, cell in cells.items():
        said = f" for {finding}" if len(cells) > 1 else ""
        if cell is None:
            return f"not estimable: no images{said}"
        half = max(math.ceil(minimum / 2), FEWEST) if len(cells) > 1 else minimum
        bearing, which = _support(cell, name[0])
        for patients, who, needed in ((cell.patients, "", minimum), (bearing, which + said, half)):
            if patients < needed:
                return f"too few: {patients} patient{'s' * (patients != 1)}{who}, {needed} needed"
        if not _estimable(cell, name):
            return "not estimable" + (": no threshold" if name[1] else "") + said
    return ""
