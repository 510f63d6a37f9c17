"""Whether two models differ in AUROC, whether they differ by little, and how far trainings of one arm lie apart.

Each pair of models is compared on the same redraws of the same test patients; docs/statistics.md has the laws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import norm

from privrad.evaluation import delong, hanley_mcneil
from privrad.evaluation.estimates import ALL, MEAN, Estimates, Group, Measured, Run, TestSet
from privrad.evaluation.intervals import Interval, Support, interval
from privrad.evaluation.p_values import equivalence, holm, paired_p
from privrad.evaluation.redraws import Drawn, Floats

NOT_PRIVATE = "eps-inf"
ALIKE = "the two rank the images alike"
NO_DELONG = "no DeLong test: neither area has a variance"


def compare(test: TestSet, estimates: Estimates, *, confidence: float, margin: float) -> list[dict[str, Any]]:
    """Rows of significance.csv: every pair of arms, the one of less epsilon against its reference, by finding.

    Arms of no known epsilon are in no pair; two without privacy are one only where the reference is named "eps-inf".
    Holm's adjustment is over the findings of a pair; their mean is outside that family, and repeats the row of a single
    finding. A one-sided test passes at a p below 1 - `confidence`. NaN, with a note, is what cannot be tested.
    Raises ValueError for a margin not above 0.
    """
    if not margin > 0:
        raise ValueError(f"margin {margin!r} must be above 0: the AUROC that may be lost and still count as none")
    rows = []
    several = test.averages(MEAN)
    for one, reference in _pairs(test):
        found = [
            _row(test, estimates, one, reference, finding, confidence=confidence, margin=margin)
            for finding in (*test.findings, *[MEAN] * several)
            if (one, ALL, finding) in estimates and (reference, ALL, finding) in estimates
        ]
        for name in ("p_bootstrap", "p_delong"):
            adjusted = iter(holm([row[name] for row in found if row["finding"] != MEAN]))
            for row in found:
                row[f"{name}_holm"] = math.nan if row["finding"] == MEAN else next(adjusted)
        rows += found if several else [*found, *(row | {"finding": MEAN} for row in found)]
    return rows


def _pairs(test: TestSet) -> Iterator[tuple[Run, Run]]:
    """Every run with each reference: the training of the same seed, or else the reference's first."""
    arms: dict[str, list[int]] = {}
    epsilons: dict[str, float] = {}
    for (arm, seed), epsilon in test.epsilons.items():
        arms.setdefault(arm, []).append(seed)
        epsilons.setdefault(arm, epsilon)
    for reference, seeds in arms.items():
        for arm in arms:
            both = math.isinf(epsilons[arm]) and reference == NOT_PRIVATE and arm != reference
            if epsilons[arm] < epsilons[reference] or both:
                for seed in arms[arm]:
                    yield (arm, seed), (reference, seed if seed in seeds else min(seeds))


def _row(
    test: TestSet, estimates: Estimates, one: Run, reference: Run, finding: str, *, confidence: float, margin: float
) -> dict[str, Any]:
    cell, other = estimates[one, ALL, finding], estimates[reference, ALL, finding]
    reason = incomparable(test, estimates, one, reference, finding)
    drawn, spread = difference(other, cell, confidence=confidence)
    sound = not reason and math.isfinite(spread.low)
    draws = drawn.draws if sound else np.array([])
    z, p_delong = delong_test(other, cell) if sound else (math.nan, math.nan)
    p_noninferior, p_equivalent = _equivalence(other, cell, margin=margin) if sound else (math.nan, math.nan)
    p_paired, hanley_note = math.nan, ""
    if sound and finding != MEAN:
        p_paired, hanley_note = _hanley_mcneil(test, (one, cell), (reference, other), finding)
    notes = [f"against seed {reference[1]} of the reference"] * (one[1] != reference[1])
    notes += [
        reason or spread.note,
        hanley_note,
        NO_DELONG * (sound and math.isnan(z)),
        ALIKE * (z == 0 and drawn.value == 0),
    ]
    notes += [] if reason else [missing(cell, other)]
    return {
        "arm": one[0],
        "reference": reference[0],
        "epsilon": test.epsilons[one],
        "reference_epsilon": test.epsilons[reference],
        "seed": one[1],
        "finding": finding,
        "value": math.nan if reason else drawn.value,
        "low": math.nan if reason else spread.low,
        "high": math.nan if reason else spread.high,
        "p_bootstrap": paired_p(draws),
        "delong_z": z,
        "p_delong": p_delong,
        "p_hanley_mcneil": p_paired,
        "margin": margin,
        "p_noninferior": p_noninferior,
        "noninferior": _passes(p_noninferior, confidence),
        "p_equivalent": p_equivalent,
        "equivalent": _passes(p_equivalent, confidence),
        "note": "; ".join(dict.fromkeys(filter(None, notes))),
    }


def missing(*cells: Measured) -> str:
    """Why a difference of cells has no value: what is said of the first that has no AUROC; "" where all have one."""
    without = [cell for cell in cells if not math.isfinite(cell["auroc"].value)]
    return (without[0].note or "not estimable") if without else ""


def incomparable(test: TestSet, estimates: Estimates, one: Run, other: Run, finding: str, *, group: Group = ALL) -> str:
    """Why the difference of two models would mean nothing (means over other findings); "" where it has a meaning."""
    if not test.averages(finding):
        return ""
    sets = [
        {name for name in test.findings if (cell := estimates.get((run, group, name))) and cell.components is not None}
        for run in (one, other)
    ]
    apart = ", ".join(name for name in test.findings if name in sets[0] ^ sets[1])
    return f"not comparable: only one of the two means includes {apart}" if apart else ""


def difference(of: Measured, minus: Measured, *, confidence: float) -> tuple[Drawn, Interval]:
    """The AUROC of one cell minus that of another, redraw by redraw, with its interval.

    Its support is the lesser of the two cells' patients.
    """
    drawn, support = _apart(of, minus)
    return drawn, interval(drawn, confidence=confidence, method="auto", kind="difference", support=support)


def _apart(of: Measured, minus: Measured) -> tuple[Drawn, Support]:
    apart = delong.difference(of.components, minus.components) if of.components and minus.components else None
    support = Support(
        min(of.positive_patients, minus.positive_patients),
        min(of.negative_patients, minus.negative_patients),
        apart.variance if apart else math.nan,
        apart,
    )
    return minus_drawn(of["auroc"], minus["auroc"]), support


def _equivalence(of: Measured, minus: Measured, *, margin: float) -> tuple[float, float]:
    drawn, support = _apart(of, minus)

    def limits(confidence: float) -> tuple[float, float]:
        spread = interval(drawn, confidence=confidence, method="auto", kind="difference", support=support)
        return spread.low, spread.high

    return equivalence(limits, margin=margin)


def minus_drawn(of: Drawn, minus: Drawn) -> Drawn:
    """The difference of two numbers that share their redraws."""
    return Drawn(of.value - minus.value, of.draws - minus.draws, of.left_out - minus.left_out)


def _passes(p: float, confidence: float) -> bool | None:
    """Whether a one-sided test passes; None where there is none."""
    return bool(p < 1 - confidence) if math.isfinite(p) else None


def delong_test(of: Measured, minus: Measured) -> tuple[float, float]:
    """z and two-sided p of one AUROC minus another, from the clustered variance of their difference.

    Two models that rank all images alike have z 0 and p 1; NaN where the variance is not estimable.
    """
    if of.components is None or minus.components is None:
        return math.nan, math.nan
    apart = delong.difference(of.components, minus.components)
    if apart.variance == 0 and apart.area == 0:
        return 0.0, 1.0
    if not apart.variance > 0:
        return math.nan, math.nan
    z = apart.area / math.sqrt(apart.variance)
    return z, float(2 * norm.sf(abs(z)))


def _hanley_mcneil(
    test: TestSet, one: tuple[Run, Measured], reference: tuple[Run, Measured], finding: str
) -> tuple[float, str]:
    rows, scores, labels = test.scored[one[0], finding]
    other_rows, other_scores, _ = test.scored[reference[0], finding]
    if not np.array_equal(rows, other_rows):
        return math.nan, "the two were scored on different images: no Hanley-McNeil test"
    found = hanley_mcneil.compare(
        reference[1]["auroc"].value,
        one[1]["auroc"].value,
        ratings=hanley_mcneil.ratings(other_scores, scores, labels=labels),
        positives=one[1].positives,
        negatives=one[1].images - one[1].positives,
    )
    if math.isnan(found.p):
        return math.nan, "no Hanley-McNeil test: an area of 0 or 1, or all images of a label score the same"
    return found.p, ""


def seeds(test: TestSet, estimates: Estimates) -> list[dict[str, Any]]:
    """Rows of seeds.csv: mean and spread of the AUROC over the trainings of each arm, by finding.

    `sd` is between trainings, all measured on the same test images; `sampling_sd` is the mean over trainings of the
    spread over redraws: another sample of patients, the same training. Neither contains the other.
    """
    rows = []
    for arm in dict.fromkeys(arm for arm, _ in test.epsilons):
        runs = [run for run in test.epsilons if run[0] == arm]
        for finding in (*test.findings, MEAN):
            cells = [estimates[run, ALL, finding]["auroc"] for run in runs if (run, ALL, finding) in estimates]
            known = [cell for cell in cells if math.isfinite(cell.value)]
            values = [cell.value for cell in known]
            spreads = [_spread(cell.draws) for cell in known]
            rows.append(
                {"arm": arm, "epsilon": test.epsilons[runs[0]], "finding": finding, "metric": "auroc"}
                | {"trainings": len(known), "mean": float(np.mean(values)) if known else math.nan}
                | {"sd": _spread(np.array(values)), "sampling_sd": float(np.mean(spreads)) if known else math.nan}
                | {"note": _trainings(len(known), len(runs))}
            )
    return rows


def _spread(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if known.size > 1 else math.nan


def _trainings(known: int, runs: int) -> str:
    if not known:
        return "not estimable"
    lacking = f"{runs - known} of {runs} trainings not estimable" if known < runs else ""
    return "; ".join(filter(None, [lacking, "one training: no spread between trainings" if known == 1 else ""]))
