"""Pearson's correlations over findings and over budgets: what is lost, against how well and how often it is seen.

The points are few and fixed: findings, or budgets. An interval says what another sample of test patients would give for
the same points, not for other findings; docs/statistics.md says how to read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from privrad.evaluation.estimates import ALL, MEAN, Estimates, TestSet
from privrad.evaluation.intervals import Support, interval
from privrad.evaluation.redraws import Drawn, Floats
from privrad.evaluation.significance import NOT_PRIVATE, minus_drawn

Row = dict[str, Any]
FEWEST = 3
FEMALE = ("f", "female")
BUDGETS = "(budgets)"
OVER_FINDINGS = {
    "auroc_vs_drop": "AUROC without privacy, and AUROC lost; over findings",
    "auroc_vs_cases": "AUROC, and number of cases; over findings",
    "drop_vs_cases": "AUROC lost, and number of cases; over findings",
}
OVER_BUDGETS = {
    "parity_vs_epsilon": "accuracy of women less that of men, and epsilon; over private budgets",
    "parity_vs_log_epsilon": "accuracy of women less that of men, and log epsilon; over private budgets",
    "absolute_parity_vs_log_epsilon": "distance of both sexes in accuracy, and log epsilon; over private budgets",
}


def correlations(
    test: TestSet, estimates: Estimates, gaps: Sequence[Mapping[str, Any]], *, confidence: float = 0.95
) -> tuple[list[Row], list[Row]]:
    """Rows of correlation_points.csv and of correlations.csv; `gaps` are those of fairness.csv.

    An arm's number is the mean over its trainings. Cases are the positive test images, as they are, not redrawn.
    Fewer than 3 points, or points of no spread, give NaN with the reason in `about`. A study of a single finding has
    none over findings.
    """
    areas = {arm: _areas(test, estimates, arm) for arm in dict.fromkeys(arm for arm, _ in test.epsilons)}
    cases = {finding: cell.positives for (_, group, finding), cell in estimates.items() if group == ALL}
    reference = _reference(test)
    points, rows = [], []
    for arm, of_finding in areas.items() if len(test.findings) > 1 else ():
        held = areas.get(reference, {})
        both = [finding for finding in of_finding if finding in held]
        lost = {finding: minus_drawn(held[finding], of_finding[finding]) for finding in both}
        asked = {"auroc_vs_cases": (of_finding, _fixed(cases, of_finding))}
        if arm != reference:
            points += [_point(arm, finding, of_finding[finding], held, lost, cases) for finding in of_finding]
            asked |= {"auroc_vs_drop": (held, lost), "drop_vs_cases": (lost, _fixed(cases, lost))}
        few = min((_support(test, estimates, arm, finding) for finding in of_finding), default=0)
        for statistic, (one, other) in asked.items():
            rows.append(_row(statistic, arm, OVER_FINDINGS[statistic], one, other, few, confidence))
    return points, rows + _of_parity(test, estimates, gaps, confidence)


def pearson(one: Floats, other: Floats) -> Floats:
    """Pearson's r over the first axis of two arrays [points, draws]; NaN where a point is, or where nothing varies."""
    with np.errstate(invalid="ignore", divide="ignore"):
        own, others = one - one.mean(axis=0), other - other.mean(axis=0)
        r = (own * others).sum(axis=0) / np.sqrt((own**2).sum(axis=0) * (others**2).sum(axis=0))
    varies = (np.ptp(one, axis=0) > 0) & (np.ptp(other, axis=0) > 0)
    return np.where(varies, np.clip(r, -1, 1), np.nan)


def _reference(test: TestSet) -> str:
    """The arm without privacy; "" if there is none."""
    free = [arm for (arm, _), epsilon in test.epsilons.items() if math.isinf(epsilon)]
    return NOT_PRIVATE if NOT_PRIVATE in free else next(iter(free), "")


def _areas(test: TestSet, estimates: Estimates, arm: str) -> dict[str, Drawn]:
    """The AUROC of every estimable finding, the mean over the arm's trainings."""
    found: dict[str, Drawn] = {}
    for finding in test.findings:
        cells = [estimates.get((run, ALL, finding)) for run in test.epsilons if run[0] == arm]
        known = [cell["auroc"] for cell in cells if cell and math.isfinite(cell["auroc"].value)]
        if known:
            found[finding] = _mean(known)
    return found


def _mean(parts: Sequence[Drawn]) -> Drawn:
    return Drawn(
        float(np.mean([part.value for part in parts])),
        np.mean([part.draws for part in parts], axis=0),
        np.mean([part.left_out for part in parts], axis=0),
    )


def _fixed(cases: Mapping[str, int], like: Mapping[str, Drawn]) -> dict[str, Drawn]:
    """Numbers that no redraw changes, in the shape of those that they are held against."""
    return {
        name: Drawn(float(cases[name]), np.full_like(part.draws, cases[name]), np.full_like(part.left_out, cases[name]))
        for name, part in like.items()
    }


def _support(test: TestSet, estimates: Estimates, arm: str, finding: str) -> int:
    cells = [estimates.get((run, ALL, finding)) for run in test.epsilons if run[0] == arm]
    return min(min(cell.positive_patients, cell.negative_patients) for cell in cells if cell)


def _point(
    arm: str,
    finding: str,
    area: Drawn,
    held: Mapping[str, Drawn],
    lost: Mapping[str, Drawn],
    cases: Mapping[str, int],
) -> Row:
    return {
        "finding": finding,
        "arm": arm,
        "auroc": area.value,
        "reference_auroc": held[finding].value if finding in held else math.nan,
        "drop": lost[finding].value if finding in lost else math.nan,
        "cases": cases[finding],
    }


def _row(
    statistic: str,
    arm: str,
    about: str,
    one: Mapping[str, Drawn],
    other: Mapping[str, Drawn],
    few: int,
    confidence: float,
) -> Row:
    names = [name for name in one if name in other]
    row = {"statistic": statistic, "arm": arm, "value": math.nan, "low": math.nan, "high": math.nan, "n": len(names)}
    if len(names) < FEWEST:
        return row | {"about": f"{about}; not estimable: fewer than {FEWEST} points"}
    parts = [[side[name] for name in names] for side in (one, other)]
    values, draws, left_out = (
        pearson(*(np.stack([np.atleast_1d(getattr(part, which)) for part in side]) for side in parts))
        for which in ("value", "draws", "left_out")
    )
    drawn = Drawn(float(values[0]), draws, left_out)
    if not math.isfinite(drawn.value):
        return row | {"about": f"{about}; not estimable: the points do not vary"}
    support = Support(positive_patients=few, negative_patients=few)
    spread = interval(drawn, confidence=confidence, method="percentile", kind="other", support=support)
    told = about if math.isfinite(spread.low) or not spread.note else f"{about}; {spread.note}"
    return row | {"value": drawn.value, "low": spread.low, "high": spread.high, "about": told}


def _of_parity(test: TestSet, estimates: Estimates, gaps: Sequence[Mapping[str, Any]], confidence: float) -> list[Row]:
    """How the accuracy difference of the sexes goes with epsilon, if there are sexes and private budgets."""
    asked_for = {"finding": MEAN, "group_by": "sex", "metric": "accuracy_difference"}
    gaps = [row for row in gaps if all(row[key] == value for key, value in asked_for.items())]
    signed: dict[str, Drawn] = {}
    epsilons: dict[str, float] = {}
    patients: list[int] = []
    for arm in dict.fromkeys(arm for (arm, _), epsilon in test.epsilons.items() if 0 < epsilon < math.inf):
        runs = [run for run in test.epsilons if run[0] == arm]
        found = [part for run in runs if (part := _parity(estimates, gaps, run, patients)) is not None]
        if found:
            signed[arm], epsilons[arm] = _mean(found), test.epsilons[runs[0]]
    if not signed:
        return []
    sized = {arm: Drawn(abs(part.value), abs(part.draws), abs(part.left_out)) for arm, part in signed.items()}
    plain = {arm: _like(part, epsilons[arm]) for arm, part in signed.items()}
    logs = {arm: _like(part, math.log(epsilons[arm])) for arm, part in signed.items()}
    asked = zip(OVER_BUDGETS.items(), ((signed, plain), (signed, logs), (sized, logs)), strict=True)
    return [
        _row(statistic, BUDGETS, about, one, other, min(patients), confidence)
        for (statistic, about), (one, other) in asked
    ]


def _like(part: Drawn, value: float) -> Drawn:
    return Drawn(value, np.full_like(part.draws, value), np.full_like(part.left_out, value))


def _parity(
    estimates: Estimates, gaps: Sequence[Mapping[str, Any]], run: tuple[str, int], patients: list[int]
) -> Drawn | None:
    """Accuracy of women less the image-weighted mean of the other groups of the column sex, as fairness.csv has it."""
    rows = [row for row in gaps if (row["arm"], row["seed"]) == run and math.isfinite(row["value"])]
    women = [row for row in rows if str(row["group"]).lower() in FEMALE]
    if not women:
        return None
    cells = {str(row["group"]): estimates[run, ("sex", str(row["group"])), MEAN] for row in rows}
    rule = ("accuracy", str(women[0]["rule"]))
    own = cells.pop(str(women[0]["group"]))
    patients += [own.patients, *(cell.patients for cell in cells.values())]
    weights = np.array([cell.images for cell in cells.values()], dtype=float)
    draws, left_out = (
        getattr(own[rule], which)
        - np.average([getattr(cell[rule], which) for cell in cells.values()], axis=0, weights=weights)
        for which in ("draws", "left_out")
    )
    return Drawn(float(women[0]["value"]), draws, left_out)
