"""What correlations.csv and correlation_points.csv say: Pearson's r over findings and over budgets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import pearsonr, zscore

from privrad.verify.cells import MEAN, Cell
from privrad.verify.compared import Areas
from privrad.verify.intervals import Support, interval
from privrad.verify.predicted import ALL, Group, Predicted, Run
from privrad.verify.redraws import Drawn, Floats, Weights
from privrad.verify.tables import Key

KEYS = ("statistic", "arm")
POINTS = ("finding", "arm")
BUDGETS = "(budgets)"
FEWEST = 3
Found = Iterator[tuple[Key, dict[str, Any]]]
Parity = Mapping[Run, tuple[Drawn, int]]
"""Accuracy of women less that of the others, and the fewest patients of either, by model."""


def points(test: Predicted, held: Areas) -> Found:
    """Each finding of each arm but the reference: its AUROC, that without privacy, what is lost, and its cases."""
    areas, reference = _by_arm(test, held), _reference(test)
    for arm, of in areas.items() if len(test.findings) > 1 else ():
        for finding, drawn in of.items() if arm != reference else ():
            other = areas.get(reference, {}).get(finding)
            without = other.value if other else math.nan
            lost = {"reference_auroc": without, "drop": without - drawn.value}
            yield (finding, arm), {"auroc": drawn.value, "cases": _cases(test, finding)} | lost


def correlations(test: Predicted, held: Areas, parity: Parity, *, confidence: float) -> Found:
    """Every coefficient with its interval over redraws and its number of points."""
    areas, reference = _by_arm(test, held), _reference(test)
    for arm, of in areas.items() if len(test.findings) > 1 else ():
        without = areas.get(reference, {})
        lost = {finding: without[finding].minus(drawn) for finding, drawn in of.items() if finding in without}
        pairs: dict[str, list[tuple[Drawn, Drawn | float]]] = {
            "auroc_vs_cases": [(drawn, _cases(test, finding)) for finding, drawn in of.items()]
        }
        if arm != reference:
            pairs["auroc_vs_drop"] = [(drawn, without[finding]) for finding, drawn in lost.items()]
            pairs["drop_vs_cases"] = [(drawn, _cases(test, finding)) for finding, drawn in lost.items()]
        few = min((_fewest(held, test, arm, finding) for finding in of), default=0)
        for statistic, sides in pairs.items():
            yield (statistic, arm), _correlated(sides, few, confidence)
    yield from _of_parity(test, parity, confidence)


def parity(
    cells: Mapping[tuple[Group, str], Cell], *, compared: Sequence[Group], rule: str, weights: Weights
) -> tuple[Drawn, int] | None:
    """One model's accuracy of women less the mean of the other compared groups of the column sex, by their images."""
    women = [group for group in compared if group[1].lower() in ("f", "female")]
    if not women:
        return None
    held = {group: cells[group, MEAN] for group in compared}
    name = ("accuracy", rule)
    drawn = {group: weights.taken(cell.draws[name]) for group, cell in held.items()}
    others = [group for group in compared if group != women[0]]
    shares = np.array([held[group].images for group in others], dtype=float)
    shares /= shares.sum()

    def mean(which: str) -> Any:
        return sum(share * getattr(drawn[group], which) for share, group in zip(shares, others, strict=True))

    rest = Drawn(mean("value"), mean("draws"), mean("left_out"))
    return drawn[women[0]].minus(rest), min(cell.patients for cell in held.values())


def _of_parity(test: Predicted, held: Parity, confidence: float) -> Found:
    budgets = [arm for arm in dict.fromkeys(arm for arm, _ in test.epsilons) if 0 < _epsilon(test, arm) < math.inf]
    signed = {arm: parts for arm in budgets if (parts := [held[run][0] for run in held if run[0] == arm])}
    if not signed:
        return
    few = min(patients for run, (_, patients) in held.items() if run[0] in signed)
    means = {arm: _mean(parts) for arm, parts in signed.items()}
    sized = {arm: Drawn(abs(drawn.value), abs(drawn.draws), abs(drawn.left_out)) for arm, drawn in means.items()}
    logs = {arm: math.log(_epsilon(test, arm)) for arm in means}
    plain = {arm: _epsilon(test, arm) for arm in means}
    asked = {"parity_vs_epsilon": (means, plain), "parity_vs_log_epsilon": (means, logs)}
    asked["absolute_parity_vs_log_epsilon"] = (sized, logs)
    for statistic, (one, other) in asked.items():
        yield (statistic, BUDGETS), _correlated([(one[arm], other[arm]) for arm in one], few, confidence)


def _correlated(sides: Sequence[tuple[Drawn, Drawn | float]], few: int, confidence: float) -> dict[str, Any]:
    nothing = {"value": math.nan, "low": math.nan, "high": math.nan, "n": len(sides)}
    if len(sides) < FEWEST:
        return nothing
    values = [np.array([_on(side, "value") for side in pair]) for pair in zip(*sides, strict=True)]
    r = _r(values[0], values[1])
    if not math.isfinite(r):
        return nothing
    draws, left_out = (_each(sides, which) for which in ("draws", "left_out"))
    support = Support(positive_patients=few, negative_patients=few)
    made = interval(
        Drawn(r, draws, left_out), confidence=confidence, method="percentile", kind="other", support=support
    )
    return {"value": r, "low": made.low, "high": made.high, "n": len(sides)}


def _each(sides: Sequence[tuple[Drawn, Drawn | float]], which: str) -> Floats:
    """Pearson's r on every redraw, as the mean product of standardised points; NaN where a point is, or none varies."""
    count = len(getattr(sides[0][0], which))
    one, other = (
        np.array([np.broadcast_to(_on(side, which), (count,)) for side in pair]) for pair in zip(*sides, strict=True)
    )
    varies = (np.ptp(one, axis=0) > 0) & (np.ptp(other, axis=0) > 0)
    found = np.full(count, math.nan)
    found[varies] = (zscore(one[:, varies]) * zscore(other[:, varies])).mean(axis=0)
    return np.asarray(np.clip(found, -1, 1))


def _on(side: Drawn | float, which: str) -> Any:
    return getattr(side, which) if isinstance(side, Drawn) else side


def _r(one: Floats, other: Floats) -> float:
    known = np.isfinite(one).all() and np.isfinite(other).all()
    return float(pearsonr(one, other).statistic) if known and np.ptp(one) > 0 and np.ptp(other) > 0 else math.nan


def _by_arm(test: Predicted, held: Areas) -> dict[str, dict[str, Drawn]]:
    """The AUROC of each estimable finding, the mean over an arm's trainings."""
    found: dict[str, dict[str, Drawn]] = {}
    for arm in dict.fromkeys(arm for arm, _ in test.epsilons):
        found[arm] = {}
        for finding in test.findings:
            cells = [held.get((run, ALL, finding)) for run in test.epsilons if run[0] == arm]
            known = [cell.drawn for cell in cells if cell and cell.drawn and math.isfinite(cell.value)]
            if known:
                found[arm][finding] = _mean(known)
    return found


def _mean(parts: Sequence[Drawn]) -> Drawn:
    draws, left_out = (np.mean([getattr(part, which) for part in parts], axis=0) for which in ("draws", "left_out"))
    return Drawn(float(np.mean([part.value for part in parts])), draws, left_out)


def _reference(test: Predicted) -> str:
    free = [arm for (arm, _), epsilon in test.epsilons.items() if math.isinf(epsilon)]
    return "eps-inf" if "eps-inf" in free else next(iter(free), "")


def _cases(test: Predicted, finding: str) -> int:
    """The positive test images of a finding."""
    return max(int(held.labels.sum()) for (_, of), held in test.scored.items() if of == finding)


def _fewest(held: Areas, test: Predicted, arm: str, finding: str) -> int:
    cells = [held[run, ALL, finding] for run in test.epsilons if run[0] == arm and (run, ALL, finding) in held]
    return min(min(cell.positive_patients, cell.negative_patients) for cell in cells)


def _epsilon(test: Predicted, arm: str) -> float:
    return next(epsilon for (of, _), epsilon in test.epsilons.items() if of == arm)
