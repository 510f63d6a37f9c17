"""Evaluation: how accurate each model is, in all and by group, with bootstrap intervals, and what privacy costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from privrad import files
from privrad.evaluation import roc
from privrad.evaluation.estimates import MEAN, Cell, Estimate, TestSet, arrange, estimate
from privrad.evaluation.predictions import load

METRIC = "auroc"
REFERENCES = ("eps-inf", "eps-inf-matched")
DIFFERENCES = [
    *("arm", "reference", "epsilon", "seed", "finding", "group_by", "group"),
    *("metric", "value", "low", "high", "degenerate", "note"),
]


def run(
    predictions: Sequence[Path],
    *,
    redraws: int,
    resample: str,
    confidence: float,
    age_bands: Sequence[float],
    minimum_cell: int,
    seed: int,
    out: Path,
) -> None:
    """Measure predictions on their test split; write metrics.csv, differences.csv and summary.json to the folder `out`.

    `redraws` bootstrap samples of patients (or images, by `resample`) are shared by all models, findings and groups.
    Raises PredictionsError (a ValueError) for predictions that cannot be measured.
    """
    if resample not in ("patient", "image"):
        raise ValueError(f"resample {resample!r} must be patient or image")
    test = arrange(load(predictions), age_bands=age_bands)
    estimates = estimate(test, redraws=redraws, resample=resample, seed=seed, minimum_cell=minimum_cell)
    metrics = pd.DataFrame(_metrics(test, estimates, confidence=confidence))
    differences = pd.DataFrame(_differences(test, estimates, confidence=confidence), columns=DIFFERENCES)
    settings = {"redraws": redraws, "resample": resample, "confidence": confidence, "seed": seed}
    for name, table in (("metrics.csv", metrics), ("differences.csv", differences)):
        files.write_text(out / name, table.to_csv(index=False, lineterminator="\n"))
    files.write_json(out / "summary.json", _summary(test, metrics, settings | {"minimum_cell": minimum_cell}))


def _metrics(test: TestSet, estimates: dict[Cell, Estimate], *, confidence: float) -> list[dict[str, Any]]:
    rows = []
    for (one, group, finding), cell in estimates.items():
        spread = roc.interval(cell.draws, confidence=confidence)
        note = cell.note
        if math.isfinite(cell.value) and math.isnan(spread.low):
            note = "; ".join(filter(None, [note, "no interval: fewer than two redraws can be estimated"]))
        rows.append(
            {"arm": one[0], "epsilon": test.epsilons[one], "seed": one[1], "finding": finding}
            | {"group_by": group[0], "group": group[1], "metric": METRIC, "value": cell.value}
            | {"low": spread.low, "high": spread.high, "sd": spread.sd, "pooled_sd": cell.pooled_sd}
            | {"images": cell.images, "patients": cell.patients, "positives": cell.positives}
            | {"degenerate": spread.degenerate, "note": note}
        )
    return rows


def _differences(test: TestSet, estimates: dict[Cell, Estimate], *, confidence: float) -> list[dict[str, Any]]:
    """Reference minus arm, redraw by redraw: what privacy costs. A seed the reference lacks meets its first."""
    rows = []
    for reference in REFERENCES:
        seeds = [seed for arm, seed in test.epsilons if arm == reference]
        for ((arm, seed), group, finding), cell in estimates.items():
            paired = ((reference, seed if seed in seeds else min(seeds, default=seed)), group, finding)
            if arm == reference or paired not in estimates:
                continue
            other = estimates[paired]
            spread = roc.interval(other.draws - cell.draws, confidence=confidence)
            notes = [f"against seed {paired[0][1]} of the reference"] * (paired[0][1] != seed)
            notes += ["the two were scored on different images"] * (cell.images != other.images)
            rows.append(
                {"arm": arm, "reference": reference, "epsilon": test.epsilons[arm, seed], "seed": seed}
                | {
                    "finding": finding,
                    "group_by": group[0],
                    "group": group[1],
                    "metric": METRIC,
                    "value": other.value - cell.value,
                }
                | {"low": spread.low, "high": spread.high, "degenerate": spread.degenerate, "note": "; ".join(notes)}
            )
    return rows


def _summary(test: TestSet, metrics: pd.DataFrame, settings: dict[str, Any]) -> dict[str, Any]:
    means = metrics[metrics["finding"] == MEAN]
    models = []
    for (arm, seed), epsilon in test.epsilons.items():
        mine = means[(means["arm"] == arm) & (means["seed"] == seed)]
        overall = mine[mine["group_by"] == "all"].iloc[0]
        sure = (mine["note"] == "") & (mine["patients"] >= settings["minimum_cell"])
        grouped = mine[(mine["group_by"] != "all") & sure].dropna(subset="value")
        worst = grouped.sort_values("value", kind="stable").iloc[0] if len(grouped) else None
        named = {} if worst is None else {"column": worst["group_by"], "group": worst["group"], **_numbers(worst)}
        models.append(
            {"arm": arm, "seed": seed, "epsilon": epsilon if math.isfinite(epsilon) else str(epsilon)}
            | {"mean_auroc": _numbers(overall), "worst_group": named or None}
        )
    return settings | {
        "findings": list(test.findings),
        "images": len(test.images),
        "patients": int(test.images["patient_id"].nunique()),
        "models": models,
    }


def _numbers(row: pd.Series) -> dict[str, Any]:
    spreads = {name: float(row[name]) for name in ("value", "low", "high", "sd", "pooled_sd")}
    counts = {name: int(row[name]) for name in ("images", "patients", "positives")}
    return {name: value if math.isfinite(value) else None for name, value in spreads.items()} | counts
