"""summary.json: the few numbers that a study is known by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from privrad.evaluation import groups
from privrad.evaluation.estimates import MEAN, TestSet
from privrad.evaluation.rows import REFERENCES
from privrad.evaluation.settings import Settings

Rows = Sequence[Mapping[str, Any]]


def summary(
    test: TestSet,
    metrics: Rows,
    gaps: Rows,
    validated: Rows,
    settings: Settings,
) -> dict[str, Any]:
    """The settings, the edges of the bands of age, and of each model its mean AUROC and the group served worst.

    Groups by the number of findings are left out there: they say how ill an image is, not who the patient is.
    """
    overall = {
        (row["arm"], row["seed"]): row
        for row in metrics
        if row["finding"] == MEAN and row["metric"] == "auroc" and row["group_by"] == "all"
    }
    worst = {
        (row["arm"], row["seed"]): row
        for row in sorted(gaps, key=lambda row: -row["value"] if math.isfinite(row["value"]) else math.inf)
        if row["finding"] == MEAN
        and row["metric"] == "auroc"
        and row["group"] == "(worst)"
        and row["group_by"] != groups.FINDINGS
        and math.isfinite(row["value"])
    }
    keys = ("value", "low", "high", "sd", "pooled_sd", "images", "patients", "positives")
    models = [
        {"arm": arm, "seed": seed, "epsilon": _plain(test.epsilons[arm, seed])}
        | {"mean_auroc": {key: _plain(overall[arm, seed][key]) for key in keys}}
        | {"worst_group": _worst(worst.get((arm, seed)))}
        for arm, seed in test.epsilons
    ]
    bands = settings.age_bands
    named = {
        name: getattr(settings, name)
        for name in ("redraws", "resample", "confidence", "seed", "intervals", "margin", "minimum_cell")
    }
    return named | {
        "threshold": settings.threshold,
        "specificity": settings.specificity,
        "fairness_difference": settings.fairness_difference,
        "age_bands": bands if isinstance(bands, str) else [float(edge) for edge in bands],
        "age_edges": [_plain(edge) for edge in test.age_edges],
        "findings": list(test.findings),
        "images": len(test.images),
        "patients": len(set(test.patients)),
        "models": models,
        "noninferior": _noninferior(validated, settings),
    }


def _worst(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"column": row["group_by"], "note": row["note"]} | {
        key: _plain(row[key]) for key in ("value", "simultaneous_low", "simultaneous_high")
    }


def _noninferior(validated: Rows, settings: Settings) -> dict[str, Any] | None:
    """The smallest budget that stays, with all larger ones, within the margin of no privacy on validation patients.

    Going down from the largest and stopping at the first that does not keeps the chance of one wrong claim at that of
    a single test. The reference is the arm without privacy, or the matched one where there is no other.
    """
    for reference in REFERENCES:
        mine = [row for row in validated if row["reference"] == reference and 0 < row["epsilon"] < math.inf]
        met = None
        for epsilon in sorted({row["epsilon"] for row in mine}, reverse=True):
            trainings = [row for row in mine if row["epsilon"] == epsilon]
            if not all(row["noninferior"] for row in trainings):
                break
            met = {key: trainings[0][key] for key in ("arm", "epsilon", "reference")} | {"margin": settings.margin}
        if mine:
            return met
    return None


def _plain(value: Any) -> Any:
    """A number that can stand in JSON: infinity as text, what is missing as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
