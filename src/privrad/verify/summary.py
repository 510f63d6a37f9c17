"""What summary.json and overview.json say, from what was found for the tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from privrad import config
from privrad.verify import cells
from privrad.verify.check import Check
from privrad.verify.experiment import FAIRNESS, METRICS, Experiment
from privrad.verify.predicted import ALL, COUNTED, Run
from privrad.verify.read import content
from privrad.verify.tables import NEAR, Key, number

REFERENCES = ("eps-inf", "eps-inf-matched")
OF_MEAN = ("value", "low", "high", "sd", "pooled_sd", "images", "patients", "positives")
OF_WORST = ("value", "simultaneous_low", "simultaneous_high")
SETTINGS: tuple[str, ...] = (
    "redraws",
    "resample",
    "confidence",
    "intervals",
    "margin",
    "minimum_cell",
    "threshold",
    "specificity",
)
SETTINGS += ("fairness_difference", "age_bands")
Rows = Mapping[Key, Mapping[str, Any]]


def as_asked(experiment: Experiment, settings: config.Evaluation, *, seed: int) -> Iterator[Check]:
    """The settings in summary.json are those of the study file."""
    asked = {name: getattr(settings, name) for name in SETTINGS} | {"seed": seed}
    asked["age_bands"] = settings.age_bands if isinstance(settings.age_bands, str) else list(settings.age_bands)
    said = {name: experiment.settings.get(name) for name in asked}
    file = f"{experiment.name}/summary.json"
    yield Check(what="settings, as in the study file", file=file, said=said, found=asked, holds=said == asked)


def checks(experiment: Experiment) -> Iterator[Check]:
    """Every number of summary.json but the settings, each model's apart."""
    test, said, file = experiment.test, experiment.settings, f"{experiment.name}/summary.json"
    counts = {"findings": list(test.findings), "images": len(test.images), "patients": len(set(test.patients.tolist()))}
    counts["age_edges"] = [plain(edge) for edge in experiment.age_edges]
    found = counts | {"noninferior": _noninferior(experiment.validated, experiment)}
    fields = {*SETTINGS, "seed", "models", *found}
    for name, value in found.items():
        yield Check(what=name, file=file, said=said.get(name), found=value, holds=near(said.get(name), value))
    yield Check(what="fields", file=file, said=sorted(said), found=sorted(fields), holds=fields == set(said))
    models = {(model["arm"], model["seed"]): model for model in said["models"]}
    yield Check(
        what="models",
        file=file,
        said=len(said["models"]),
        found=len(test.epsilons),
        holds=models.keys() == test.epsilons.keys(),
    )
    for run in test.epsilons:
        model, of_model = models.get(run), _model(experiment, run)
        what = f"model {run[0]}, seed {run[1]}"
        yield Check(what=what, file=file, said=model, found=of_model, holds=near(model, of_model))


def overview(experiment: Experiment) -> Iterator[Check]:
    """Every number of overview.json, each model's apart."""
    said, file = content(experiment.folder / "overview.json"), f"{experiment.name}/overview.json"
    runs = {(arm, f"seed-{seed}"): (arm, seed) for arm, seed in experiment.test.epsilons}
    held = {(arm, seed): model for arm, seeds in said.items() for seed, model in seeds.items()}
    yield Check(what="models", file=file, said=len(held), found=len(runs), holds=held.keys() == runs.keys())
    for (arm, seed), run in runs.items():
        model = _model(experiment, run)
        mean, worst = model["mean_auroc"], model["worst_group"] or {}
        found = {"auroc": mean["value"], "auroc_low": mean["low"], "auroc_high": mean["high"]}
        found["worst_group_auroc"] = worst.get("value")
        told = held.get((arm, seed))
        yield Check(what=f"model {arm}, {seed}", file=file, said=told, found=found, holds=near(told, found))


def near(said: Any, found: Any) -> bool:
    """Whether two values of JSON are equal, numbers to NEAR."""
    if isinstance(said, dict) and isinstance(found, dict):
        return said.keys() == found.keys() and all(near(said[key], found[key]) for key in said)
    if isinstance(said, list) and isinstance(found, list):
        return len(said) == len(found) and all(map(near, said, found))
    if isinstance(said, float) and isinstance(found, float):
        return math.isclose(said, found, rel_tol=NEAR, abs_tol=NEAR)
    return bool(said == found) and isinstance(said, bool) == isinstance(found, bool)


def _model(experiment: Experiment, run: Run) -> dict[str, Any]:
    epsilon = experiment.test.epsilons[run]
    key = (run[0], str(run[1]), cells.MEAN, *ALL, "auroc", "")
    mean = _row(experiment, "metrics.csv", key)
    return {
        "arm": run[0],
        "seed": run[1],
        "epsilon": plain(epsilon),
        "mean_auroc": {name: plain(mean[name]) for name in OF_MEAN},
        "worst_group": _worst(experiment, run),
    }


def _worst(experiment: Experiment, run: Run) -> dict[str, Any] | None:
    """The lowest of the worst groups of all columns but the number of findings; of equal ones that named last."""
    lowest: tuple[str, Mapping[str, Any]] | None = None
    for key, found in experiment.modelled.fairness.items():
        column = key[3]
        asked = key[:3] == (run[0], str(run[1]), cells.MEAN) and key[4:6] == ("(worst)", "auroc")
        if not asked or column == COUNTED or math.isnan(found["value"]):
            continue
        if lowest is None or found["value"] <= lowest[1]["value"]:
            lowest = (column, _row(experiment, "fairness.csv", key))
    if lowest is None:
        return None
    column, row = lowest
    return {"column": column, "note": row["note"]} | {name: plain(row[name]) for name in OF_WORST}


def _row(experiment: Experiment, file: str, key: Key) -> dict[str, Any]:
    """A row as it was found; where something was not recomputed, as the table says."""
    metrics = file == "metrics.csv"
    found = (experiment.modelled.metrics if metrics else experiment.modelled.fairness)[key]
    said = experiment.table(file, METRICS if metrics else FAIRNESS).rows.get(key, {})
    numbers = {name: number(said[name]) for name in (*OF_MEAN, *OF_WORST) if name in said}
    return {"note": said.get("note"), **numbers, **{name: value for name, value in found.items() if value is not None}}


def _noninferior(validated: Rows, experiment: Experiment) -> dict[str, Any] | None:
    """The smallest budget that stays within the margin with all larger ones: going down from the largest."""
    for reference in REFERENCES:
        mine = {key: row for key, row in validated.items() if key[1] == reference and 0 < row["epsilon"] < math.inf}
        met = None
        for epsilon in sorted({row["epsilon"] for row in mine.values()}, reverse=True):
            here = {key: row for key, row in mine.items() if row["epsilon"] == epsilon}
            if not all(row["noninferior"] for row in here.values()):
                break
            met = {
                "arm": next(iter(here))[0],
                "epsilon": epsilon,
                "reference": reference,
                "margin": experiment.settings["margin"],
            }
        if mine:
            return met
    return None


def plain(value: Any) -> Any:
    """A value as JSON has it: infinity in words, null for what is missing."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
