"""Evaluation: how accurate and how fair each model is, how sure that is, and what privacy costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from privrad import files
from privrad.evaluation import correlations, curves, estimates, fairness, redraws, roc, rows, significance, tables
from privrad.evaluation.estimates import Run
from privrad.evaluation.overview import overview
from privrad.evaluation.predictions import Predictions, load
from privrad.evaluation.settings import Settings
from privrad.evaluation.summary import summary


def run(predictions: Sequence[Path], *, settings: Settings, out: Path, threads: int | None = None) -> None:
    """Measure predictions on their test split, and write tables, summary.json and overview.json to the folder `out`.

    The redraws are shared by all models, findings and groups. `threads` changes the speed alone; None is all cores.
    Raises PredictionsError (a ValueError) for predictions that cannot be measured.
    """
    out.mkdir(parents=True, exist_ok=True)
    roc.use(threads)
    for name, found in measure(load(predictions), settings).items():
        if isinstance(found, dict):
            files.write_json(out / name, found)
        else:
            files.write_text(out / name, tables.text(found, tables.COLUMNS[name]))


def measure(read: Predictions, settings: Settings) -> dict[str, Any]:
    """Every table of an evaluation as rows, and what is JSON as a dictionary, by the name of the file."""
    test = estimates.arrange(
        read.test,
        resample=settings.resample,
        age_bands=settings.age_bands,
        minimum_cell=settings.minimum_cell,
        intersections=settings.intersections,
    )
    held_out = None
    if len(read.validation):
        held_out = estimates.arrange(read.validation, resample=settings.resample, grouped=False)
    chosen = rows.cutoffs(test, held_out, settings)
    at: dict[tuple[Run, str], dict[str, float]] = {}
    for row in chosen:
        at.setdefault(((row["arm"], row["seed"]), row["finding"]), {})[row["rule"]] = row["threshold"]
    weights = redraws.weigh(test.unit_count, redraws=settings.redraws, seed=settings.seed)
    measured = estimates.estimate(
        test, weights, cutoffs=at, rule=settings.threshold, minimum_cell=settings.minimum_cell
    )
    metrics = list(rows.metrics(test, measured, settings))
    gaps = fairness.gaps(test, measured, confidence=settings.confidence, minimum_cell=settings.minimum_cell)
    points, related = correlations.correlations(test, measured, gaps, confidence=settings.confidence)
    validated = rows.validated(held_out, settings)
    known_by = summary(test, metrics, gaps, validated, settings)
    return {
        "metrics.csv": metrics,
        "differences.csv": list(rows.differences(test, measured, settings)),
        "significance.csv": significance.compare(
            test, measured, confidence=settings.confidence, margin=settings.margin
        ),
        "fairness.csv": gaps,
        "thresholds.csv": chosen,
        "validation.csv": validated,
        **curves.of(test, weights, confidence=settings.confidence),
        "correlations.csv": related,
        "correlation_points.csv": points,
        "seeds.csv": significance.seeds(test, measured),
        "summary.json": known_by,
        "overview.json": overview(known_by),
    }
