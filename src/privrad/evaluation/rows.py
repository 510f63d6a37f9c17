"""Rows of the tables: each number with its interval, what privacy costs, and the cut-offs that were chosen."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from privrad.evaluation import estimates, redraws, significance, thresholds
from privrad.evaluation.estimates import ALL, MEAN, Estimates, Group, Measured, Run, TestSet
from privrad.evaluation.intervals import Kind, Support, interval
from privrad.evaluation.settings import Settings

REFERENCES = ("eps-inf", "eps-inf-matched")
OF_PATIENTS = {
    **dict.fromkeys(("sensitivity", "underdiagnosis"), "positive"),
    **dict.fromkeys(("specificity", "fpr", "overdiagnosis"), "negative"),
    **dict.fromkeys(("accuracy", "selection_rate"), "all"),
    **{"ppv": "called positive", "npv": "called negative"},
}
"""The proportions, and which patients' images each is a proportion of."""
RULES = ("youden", "specificity", "youden_test")


def cutoffs(test: TestSet, held_out: TestSet | None, settings: Settings) -> list[dict[str, Any]]:
    """The cut-offs of every run and finding: from validation images, and for comparison from the test images."""
    rows = []
    for one, finding in test.scored:
        for rule in RULES:
            source = test if rule == "youden_test" else held_out
            scored = source.scored.get((one, finding)) if source is not None else None
            scores, labels = (scored[1], scored[2]) if scored else (None, None)
            found = thresholds.choose(
                scores,
                labels=labels,
                rule="youden" if rule == "youden_test" else rule,
                specificity=settings.specificity,
            )
            rows.append(
                {"arm": one[0], "seed": one[1], "finding": finding, "rule": rule, "threshold": found.value}
                | {"sensitivity": found.sensitivity, "specificity": found.specificity}
                | {
                    "images": 0 if labels is None else len(labels),
                    "positives": 0 if labels is None else int(labels.sum()),
                }
                | {"note": found.note}
            )
    return rows


def _kind(metric: str, *, averaged: bool) -> Kind:
    if metric == "auroc":
        return "mean_area" if averaged else "area"
    if metric == "ece":
        return "biased"
    if metric not in OF_PATIENTS:
        return "other"
    return "mean_proportion" if averaged else "proportion"


def _support(cell: Measured, metric: str, rule: str) -> Support:
    """What a number rests on: a proportion on the patients with images that it is a proportion of."""
    if metric not in OF_PATIENTS:
        variance = cell.components.variance if cell.components else math.nan
        return Support(cell.positive_patients, cell.negative_patients, variance, cell.components)
    called = cell.called_patients.get(rule, (0, 0))
    of = {"positive": cell.positive_patients, "negative": cell.negative_patients, "all": cell.patients}
    of |= {"called positive": called[0], "called negative": called[1]}
    return Support(of[OF_PATIENTS[metric]], of[OF_PATIENTS[metric]])


def metrics(test: TestSet, measured: Estimates, settings: Settings) -> Iterable[dict[str, Any]]:
    for (one, group, finding), cell in measured.items():
        for (metric, rule), drawn in cell.metrics.items():
            spread = interval(
                drawn,
                confidence=settings.confidence,
                method=settings.intervals,
                kind=_kind(metric, averaged=test.averages(finding)),
                support=_support(cell, metric, rule),
            )
            yield (
                {"arm": one[0], "epsilon": test.epsilons[one], "seed": one[1], "finding": finding}
                | {"group_by": group[0], "group": group[1], "metric": metric, "rule": rule, "value": drawn.value}
                | {"low": spread.low, "high": spread.high, "sd": spread.sd}
                | {"pooled_sd": cell.pooled_sd.get((metric, rule), math.nan), "method": spread.method}
                | {"degenerate": spread.degenerate, "images": cell.images, "patients": cell.patients}
                | {"positives": cell.positives, "positive_patients": cell.positive_patients}
                | {"note": _joined(*_about(test, measured, (one, group, finding), (metric, rule)), spread.note)}
            )


def _about(test: TestSet, measured: Estimates, key: estimates.Key, name: tuple[str, str]) -> tuple[str, str]:
    """What is known of a cell, and why the number is none; of a mean, over which findings it is."""
    (one, group, finding), (_, rule) = key, name
    cell = measured[key]
    parts = {each: measured[one, group, each] for each in test.findings if (one, group, each) in measured}
    note = estimates.over(test, parts, name) if test.averages(finding) else cell.note
    if math.isfinite(cell[name].value):
        return note.removeprefix(estimates.NOWHERE), ""
    if note.startswith(estimates.NOWHERE):
        return note, ""
    return note, f"not estimable: no threshold by {rule}, or nothing to divide by" if rule else "not estimable"


def _joined(*notes: str) -> str:
    return "; ".join(dict.fromkeys(filter(None, notes)))


def differences(test: TestSet, measured: Estimates, settings: Settings) -> Iterable[dict[str, Any]]:
    """Reference minus arm, redraw by redraw: what privacy costs. A seed the reference lacks meets its first."""
    for reference in REFERENCES:
        seeds = [seed for arm, seed in test.epsilons if arm == reference]
        for ((arm, seed), group, finding), cell in measured.items():
            paired = ((reference, seed if seed in seeds else min(seeds, default=seed)), group, finding)
            if arm == reference or paired not in measured or ("auroc", "") not in cell.metrics:
                continue
            drawn, spread = significance.difference(measured[paired], cell, confidence=settings.confidence)
            wrong = significance.incomparable(test, measured, (arm, seed), paired[0], finding, group=group)
            if wrong:
                drawn, spread = replace(drawn, value=math.nan), replace(spread, low=math.nan, high=math.nan, method="")
            notes = [f"against seed {paired[0][1]} of the reference"] * (paired[0][1] != seed) + [wrong]
            notes += [] if wrong else [significance.missing(cell, measured[paired])]
            notes += ["the two were scored on different images"] * _apart(test, (arm, seed), paired[0], group, finding)
            yield (
                {"arm": arm, "reference": reference, "epsilon": test.epsilons[arm, seed], "seed": seed}
                | {"finding": finding, "group_by": group[0], "group": group[1], "metric": "auroc"}
                | {"value": drawn.value, "low": spread.low, "high": spread.high, "method": spread.method}
                | {"degenerate": spread.degenerate, "note": _joined(*notes, spread.note)}
            )


def _apart(test: TestSet, one: Run, other: Run, group: Group, finding: str) -> bool:
    """Whether two models have scored different images of a group, for a finding or for any that a mean is over."""
    of = test.findings if finding == MEAN else (finding,)
    scored = [[test.scored[run, name][0] for name in of if (run, name) in test.scored] for run in (one, other)]
    kept = [[rows[test.members[group][rows]] for rows in of_run] for of_run in scored]
    return len(kept[0]) != len(kept[1]) or not all(map(np.array_equal, *kept))


def validated(held_out: TestSet | None, settings: Settings) -> list[dict[str, Any]]:
    """What each arm loses of the mean AUROC on validation patients, and whether that stays within the margin."""
    if held_out is None:
        return []
    weights = redraws.weigh(held_out.unit_count, redraws=settings.redraws, seed=settings.seed)
    measured = estimates.estimate(
        held_out, weights, cutoffs={}, rule=settings.threshold, minimum_cell=settings.minimum_cell
    )
    rows = []
    for row in differences(held_out, measured, settings):
        if row["finding"] == MEAN:
            cell = measured[(row["arm"], row["seed"]), ALL, MEAN]
            rows.append(
                {key: row[key] for key in ("arm", "reference", "epsilon", "seed")}
                | {"images": cell.images, "patients": cell.patients}
                | {key: row[key] for key in ("value", "low", "high")}
                | {"margin": settings.margin, "noninferior": bool(row["high"] < settings.margin), "note": row["note"]}
            )
    return rows
