"""What differences.csv, significance.csv, validation.csv and seeds.csv say of pairs of models and of trainings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import bisect
from scipy.special import ndtri, owens_t
from scipy.stats import norm, pearsonr
from sklearn.metrics import roc_auc_score

from privrad.verify import limits
from privrad.verify.cells import ANY, MEAN, Cell
from privrad.verify.influence import Influence
from privrad.verify.intervals import Interval, Support, deviation, interval
from privrad.verify.predicted import ALL, Group, Predicted, Run
from privrad.verify.read import VerifyError
from privrad.verify.redraws import Drawn, Floats, Weights
from privrad.verify.tables import Key

REFERENCES = ("eps-inf", "eps-inf-matched")
AUROC = ("auroc", "")
DIFFERENCES = ("arm", "reference", "seed", "finding", "group_by", "group", "metric")
SIGNIFICANCE = ("arm", "reference", "seed", "finding")
VALIDATION = ("arm", "reference", "seed")
SEEDS = ("arm", "finding", "metric")
LEVELS = (0.5, 0.25, 0.1, 0.05, 0.025, 0.01, 0.001, 0.0001)
SOUGHT = {"p_noninferior": 5e-6, "p_equivalent": 5e-6}
"""How far two p values may lie apart that were sought as a root."""
Found = Iterator[tuple[Key, dict[str, Any]]]


@dataclass(frozen=True)
class Area:
    """One cell's AUROC, without redraws where those were not made, and what it rests on."""

    drawn: Drawn | None
    value: float
    images: int
    positive_patients: int
    negative_patients: int
    influence: Influence | None

    @classmethod
    def of(cls, cell: Cell, weights: Weights) -> Area:
        value, drawn = cell.values[AUROC], cell.draws.get(AUROC)
        held = weights.taken(drawn) if drawn is not None else None
        return cls(held, value, cell.images, cell.positive_patients, cell.negative_patients, cell.influence)

    def minus(self, other: Area, *, confidence: float) -> tuple[Drawn, Interval] | None:
        """The difference of two areas redraw by redraw, and its interval; None where they were not redrawn."""
        if self.drawn is None or other.drawn is None:
            return None
        apart = self.influence.minus(other.influence) if self.influence and other.influence else None
        support = Support(
            positive_patients=min(self.positive_patients, other.positive_patients),
            negative_patients=min(self.negative_patients, other.negative_patients),
            influence=apart,
        )
        drawn = self.drawn.minus(other.drawn)
        return drawn, interval(drawn, confidence=confidence, method="auto", kind="difference", support=support)


Areas = Mapping[tuple[Run, Group, str], Area]


def areas(cells: Mapping[tuple[Group, str], Cell], run: Run, weights: Weights) -> dict[tuple[Run, Group, str], Area]:
    """The areas of one model's cells."""
    return {(run, group, finding): Area.of(cell, weights) for (group, finding), cell in cells.items() if finding != ANY}


def differences(held: Areas, epsilons: Mapping[Run, float], *, confidence: float) -> Found:
    """Reference minus arm, for each group and finding; a seed that the reference lacks meets its first."""
    for reference in REFERENCES:
        seeds = sorted(seed for arm, seed in epsilons if arm == reference)
        for (run, group, finding), area in held.items():
            seed = run[1] if run[1] in seeds else next(iter(seeds), None)
            other = held.get(((reference, seed), group, finding)) if seed is not None else None
            if other is None or run[0] == reference:
                continue
            found: dict[str, Any] = {"epsilon": epsilons[run], "value": other.value - area.value}
            if (apart := other.minus(area, confidence=confidence)) is not None:
                found |= _bounds(apart[1]) | {"method": apart[1].method, "degenerate": apart[1].degenerate}
            yield (run[0], reference, str(run[1]), finding, *group, "auroc"), found


def significance(test: Predicted, held: Areas, *, confidence: float, margin: float) -> Found:
    """Every pair of arms, finding by finding, with the tests of their difference; Holm's adjustment within a pair.

    The row of the mean of a single finding is that finding's.
    """
    one, *others = test.findings
    for run, reference in _pairs(test.epsilons):
        found = {
            finding: _tested(test, held, run, reference, finding, confidence=confidence, margin=margin)
            for finding in ((*test.findings, MEAN) if others else test.findings)
            if (run, ALL, finding) in held and (reference, ALL, finding) in held
        }
        singly = [row for finding, row in found.items() if finding != MEAN]
        for name in ("p_bootstrap", "p_delong"):
            for row, adjusted in zip(singly, holm([row[name] for row in singly]), strict=True):
                row[f"{name}_holm"] = adjusted
            if MEAN in found:
                found[MEAN][f"{name}_holm"] = math.nan
        if not others:
            found[MEAN] = found[one]
        for finding, row in found.items():
            yield (run[0], reference[0], str(run[1]), finding), row


def _pairs(epsilons: Mapping[Run, float]) -> Iterator[tuple[Run, Run]]:
    arms: dict[str, list[int]] = {}
    for arm, seed in epsilons:
        arms.setdefault(arm, []).append(seed)
    of = {arm: epsilons[arm, seeds[0]] for arm, seeds in arms.items()}
    for reference, seeds in arms.items():
        for arm in arms:
            if of[arm] < of[reference] or (reference == "eps-inf" != arm and math.isinf(of[arm])):
                for seed in arms[arm]:
                    yield (arm, seed), (reference, seed if seed in seeds else min(seeds))


def _tested(
    test: Predicted, held: Areas, run: Run, reference: Run, finding: str, *, confidence: float, margin: float
) -> dict[str, Any]:
    area, other = held[run, ALL, finding], held[reference, ALL, finding]
    apart = other.minus(area, confidence=confidence)
    if apart is None:
        raise VerifyError(f"the AUROC of {finding} was not redrawn")
    drawn, spread = apart
    same = finding != MEAN or _estimable(test, held, run) == _estimable(test, held, reference)
    sound = same and math.isfinite(spread.low)
    known = drawn.draws[np.isfinite(drawn.draws)] if sound else np.empty(0)
    z, p_delong = _delong(other, area) if sound else (math.nan, math.nan)
    p_hanley = _hanley(test, run, reference, finding) if sound and finding != MEAN else math.nan
    influence = other.influence.minus(area.influence) if other.influence and area.influence else None
    above, below = _reaches(influence, margin) if sound and influence else (math.nan, math.nan)
    fewer = min(_share(known <= 0), _share(known >= 0)) if known.size else math.nan
    return {
        "epsilon": test.epsilons[run],
        "reference_epsilon": test.epsilons[reference],
        "value": drawn.value if same else math.nan,
        "low": spread.low if same else math.nan,
        "high": spread.high if same else math.nan,
        "p_bootstrap": min(1.0, 2 * fewer) if known.size else math.nan,
        "delong_z": z,
        "p_delong": p_delong,
        "p_hanley_mcneil": p_hanley,
        "margin": margin,
        "p_noninferior": above,
        "noninferior": above < 1 - confidence if math.isfinite(above) else math.nan,
        "p_equivalent": max(above, below),
        "equivalent": max(above, below) < 1 - confidence if math.isfinite(above) else math.nan,
    }


def _reaches(loss: Influence, margin: float) -> tuple[float, float]:
    """The one-sided p that a loss reaches the margin, and that it reaches the margin the other way."""

    def above(level: float) -> float:
        return limits.of_sum(loss, confidence=max(1 - 2 * level, 1e-9))[1] - margin

    def below(level: float) -> float:
        return limits.of_sum(loss, confidence=max(1 - 2 * level, 1e-9))[0] - margin

    def above_reverse(level: float) -> float:
        return -limits.of_sum(loss, confidence=max(1 - 2 * level, 1e-9))[0] - margin

    def below_reverse(level: float) -> float:
        return -limits.of_sum(loss, confidence=max(1 - 2 * level, 1e-9))[1] - margin

    return _level(above, below), _level(above_reverse, below_reverse)


def _level(upper: Callable[[float], float], lower: Callable[[float], float]) -> float:
    """The level at which the upper limit, less the margin, is 0; where the middle is beyond it, 1 less the lower's.

    Sought from 1/2 downwards, step by step, and none is below the last of LEVELS.
    """
    middle = upper(LEVELS[0])
    if not math.isfinite(middle):
        return math.nan
    of = upper if middle <= 0 else lambda level: -lower(level)
    found = LEVELS[0] if of(LEVELS[0]) >= 0 else LEVELS[-1]
    for larger, smaller in pairwise(LEVELS if of(LEVELS[0]) < 0 else ()):
        if of(smaller) >= 0:
            found = float(bisect(of, smaller, larger, xtol=1e-10))
            break
    return found if middle <= 0 else 1 - found


def _share(beyond: Any) -> float:
    """(k + 1) / (B + 1) of k of B redraws; NaN of none."""
    return float((np.count_nonzero(beyond) + 1) / (beyond.size + 1)) if beyond.size else math.nan


def _estimable(test: Predicted, held: Areas, run: Run) -> set[str]:
    found = {finding: held.get((run, ALL, finding)) for finding in test.findings}
    return {finding for finding, area in found.items() if area is not None and area.influence is not None}


def _delong(of: Area, minus: Area) -> tuple[float, float]:
    """z and two-sided p from the influence of each unit on the difference."""
    if of.influence is None or minus.influence is None:
        return math.nan, math.nan
    apart = of.influence.minus(minus.influence)
    if apart.variance == 0 == apart.area:
        return 0.0, 1.0
    z = apart.area / math.sqrt(apart.variance) if apart.variance > 0 else math.nan
    return z, float(2 * norm.sf(abs(z))) if math.isfinite(z) else math.nan


def _hanley(test: Predicted, run: Run, reference: Run, finding: str) -> float:
    """The two-sided p of Hanley and McNeil (1982, 1983), images taken as independent; docs/statistics.md."""
    one, other = test.scored[reference, finding], test.scored[run, finding]
    if not np.array_equal(one.rows, other.rows):
        return math.nan
    labels = one.labels
    ratings = [_pearson(one.scores[kept], other.scores[kept]) for kept in (labels, ~labels)]
    values = [_area(held.scores, labels) for held in (one, other)]
    errors = [_error(value, int(labels.sum()), int((~labels).sum())) for value in values]
    if min(errors) <= 0 or not all(map(math.isfinite, ratings)):
        return math.nan
    mean, alike, others = sum(values) / 2, sum(ratings) / 2, len(labels) - 2
    shared = others * _together(alike / 2, mean) + _together(alike, mean)
    r = shared / (others * _together(0.5, mean) + mean * (1 - mean))
    total = errors[0] ** 2 + errors[1] ** 2
    variance = total - 2 * r * errors[0] * errors[1]
    if variance < 1e-12 * total:
        return 1.0 if values[0] == values[1] else math.nan
    return float(2 * norm.sf(abs(values[0] - values[1]) / math.sqrt(variance)))


def _together(correlation: float, area: float) -> float:
    """How much likelier than by chance two correlated standard normal variables are both below the quantile of `area`.

    By Owen's T: the chance is area - 2 T(quantile, sqrt((1 - correlation) / (1 + correlation))).
    """
    slope = math.sqrt((1 - correlation) / (1 + correlation)) if correlation > -1 else math.inf
    return float(area - 2 * owens_t(ndtri(area), slope) - area**2)


def _error(area: float, positives: int, negatives: int) -> float:
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    return math.sqrt(max(0.0, variance) / (positives * negatives))


def _area(scores: Floats, labels: Any) -> float:
    return float(roc_auc_score(labels, scores))


def _pearson(one: Floats, other: Floats) -> float:
    constant = len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0
    return math.nan if constant else float(pearsonr(one, other).statistic)


def holm(p: Sequence[float]) -> list[float]:
    """p values adjusted for their number, those that are NaN left out: the step-down of Holm (1979)."""
    known = sorted(value for value in p if math.isfinite(value))
    steps = np.maximum.accumulate([min(1.0, (len(known) - rank) * value) for rank, value in enumerate(known)])
    return [float(steps[known.index(value)]) if math.isfinite(value) else math.nan for value in p]


def validation(held: Areas, epsilons: Mapping[Run, float], patients: int, *, confidence: float, margin: float) -> Found:
    """The loss of the mean AUROC on validation patients, and whether its upper bound is below the margin."""
    for key, found in differences(held, epsilons, confidence=confidence):
        if key[3] != MEAN:
            continue
        area = held[(key[0], int(key[2])), ALL, MEAN]
        kept = {name: found[name] for name in ("epsilon", "value", "low", "high")}
        shown = {"margin": margin, "noninferior": bool(found["high"] < margin)}
        yield (key[0], key[1], key[2]), kept | shown | {"images": area.images, "patients": patients}


def seeds(held: Areas, epsilons: Mapping[Run, float], findings: Sequence[str]) -> Found:
    """Mean and spread of the AUROC over the trainings of an arm, and the mean of their spreads over redraws."""
    for arm in dict.fromkeys(arm for arm, _ in epsilons):
        runs = [run for run in epsilons if run[0] == arm]
        for finding in (*findings, MEAN):
            cells = [held[run, ALL, finding] for run in runs if (run, ALL, finding) in held]
            known = [cell for cell in cells if math.isfinite(cell.value)]
            spreads = [deviation(cell.drawn.draws) for cell in known if cell.drawn is not None]
            yield (
                (arm, finding, "auroc"),
                {
                    "epsilon": epsilons[runs[0]],
                    "trainings": len(known),
                    "mean": float(np.mean([cell.value for cell in known])) if known else math.nan,
                    "sd": deviation(np.array([cell.value for cell in known])),
                    "sampling_sd": float(np.mean(spreads)) if spreads else math.nan,
                },
            )


def _bounds(spread: Interval) -> dict[str, Any]:
    return {"low": spread.low, "high": spread.high}
