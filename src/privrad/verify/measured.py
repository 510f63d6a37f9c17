"""What evaluate/ says of an experiment, held against what its predictions give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from privrad import config
from privrad.verify import beside, compared, drawn, related, sampled, summary, tables, thresholds
from privrad.verify.check import Check
from privrad.verify.experiment import FAIRNESS, METRICS, Experiment, read
from privrad.verify.read import VerifyError

FAULTS = (VerifyError, LookupError, TypeError, ValueError, ArithmeticError, OSError)


def checks(
    folder: Path, *, name: str, settings: config.Evaluation | None = None, seed: int = 0, everything: bool = False
) -> Iterator[Check]:
    """Every check of one experiment's evaluation, file by file.

    `name` is how the folder is told, `settings` and `seed` what the study file asks for, where that is known. Every
    number is recomputed. Of the bands of curves a sample is, and with a large test set of the intervals of rank metrics
    those of the whole; all are with `everything`.
    """
    try:
        experiment = read(folder, name=name, everything=everything)
    except FAULTS as error:
        yield _failed(f"{name}/summary.json", error)
        return
    if settings is not None:
        yield from summary.as_asked(experiment, settings, seed=seed)
    for file, check in FILES.items():
        try:
            yield from check(experiment)
        except FAULTS as error:
            yield _failed(f"{name}/{file}", error)


def _failed(file: str, error: Exception) -> Check:
    told = f"{error} is missing or not one of those known" if isinstance(error, LookupError) else str(error)
    return Check(what="a file to recompute", file=file, said=None, found=told or type(error).__name__, holds=False)


def _thresholds(experiment: Experiment) -> Iterator[Check]:
    found = thresholds.of(experiment.test, experiment.validation, specificity=experiment.settings["specificity"])
    yield from tables.held(experiment.table("thresholds.csv", thresholds.KEYS), dict(found))


def _metrics(experiment: Experiment) -> Iterator[Check]:
    yield from tables.held(experiment.table("metrics.csv", METRICS), experiment.modelled.metrics)


def _fairness(experiment: Experiment) -> Iterator[Check]:
    yield from tables.held(experiment.table("fairness.csv", FAIRNESS), experiment.modelled.fairness)


def _differences(experiment: Experiment) -> Iterator[Check]:
    confidence = experiment.settings["confidence"]
    found = compared.differences(experiment.modelled.areas, experiment.test.epsilons, confidence=confidence)
    yield from tables.held(experiment.table("differences.csv", compared.DIFFERENCES), dict(found))


def _significance(experiment: Experiment) -> Iterator[Check]:
    asked = {name: experiment.settings[name] for name in ("confidence", "margin")}
    found = compared.significance(experiment.test, experiment.modelled.areas, **asked)
    yield from tables.held(
        experiment.table("significance.csv", compared.SIGNIFICANCE), dict(found), sought=compared.SOUGHT
    )


def _seeds(experiment: Experiment) -> Iterator[Check]:
    test = experiment.test
    found = compared.seeds(experiment.modelled.areas, test.epsilons, test.findings)
    yield from tables.held(experiment.table("seeds.csv", compared.SEEDS), dict(found))


def _correlations(experiment: Experiment) -> Iterator[Check]:
    held, confidence = experiment.modelled, experiment.settings["confidence"]
    found = related.correlations(experiment.test, held.areas, held.parity, confidence=confidence)
    yield from tables.held(experiment.table("correlations.csv", related.KEYS), dict(found))


def _points(experiment: Experiment) -> Iterator[Check]:
    found = related.points(experiment.test, experiment.modelled.areas)
    yield from tables.held(experiment.table("correlation_points.csv", related.POINTS), dict(found))


def _validation(experiment: Experiment) -> Iterator[Check]:
    yield from tables.held(experiment.table("validation.csv", compared.VALIDATION), experiment.validated)


def _drawn(experiment: Experiment) -> Iterator[Check]:
    found: dict[str, dict[Any, Any]] = {file: {} for file in drawn.KEYS}
    findings = len(experiment.test.findings)
    for place, (run, finding) in enumerate(experiment.test.scored):
        bands = experiment.everything or place % findings == place // findings
        asked = {"weights": experiment.weights, "confidence": experiment.settings["confidence"], "bands": bands}
        for file, key, columns in drawn.of(experiment.test, run, finding, **asked):
            found[file][key] = columns
    for file, rows in found.items():
        yield from tables.held(experiment.table(file, drawn.KEYS[file]), rows)


def _summary(experiment: Experiment) -> Iterator[Check]:
    yield from summary.checks(experiment)


FILES: dict[str, Callable[[Experiment], Iterator[Check]]] = {
    "thresholds.csv": _thresholds,
    "metrics.csv": _metrics,
    "sample of redraws": sampled.checks,
    "fairness.csv": _fairness,
    "differences.csv": _differences,
    "significance.csv": _significance,
    "seeds.csv": _seeds,
    "correlations.csv": _correlations,
    "correlation_points.csv": _points,
    "validation.csv": _validation,
    "curves.csv": _drawn,
    "summary.json": _summary,
    "overview.json": summary.overview,
    "../figures/published.csv": beside.checks,
}
