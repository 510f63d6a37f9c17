"""One finding has one interval: verify finds it under the finding and under the mean, and takes no other for it."""

from __future__ import annotations

import copy
import csv
from pathlib import Path
from typing import Any

import pytest

from privrad.evaluation import evaluate
from privrad.evaluation.settings import Settings
from privrad.verify import experiment, influence, measured
from privrad.verify.intervals import Kind, Support, interval
from privrad.verify.predicted import ALL
from tests.evaluation import made

RUN = ("eps-1", 0)
FINDING = "pdac"
SETTINGS = Settings(redraws=60, minimum_cell=5, age_bands=(0, 50, 100), seed=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evaluation of three models of a single finding; one has no validation images, and so no cut-off."""
    results = tmp_path_factory.mktemp("results")
    table = made.predictions(patients=90, findings=[FINDING], ease={"eps-1": 0.9, "eps-8": 1.3, "eps-inf": 1.8})
    held_out = table["patient_id"].str[-1].isin(("4", "9"))
    table["split"] = table["split"].mask(held_out, "validation")
    table = table[~held_out | (table["arm"] != "eps-8")]
    paths = []
    for arm, part in table.groupby("arm"):
        paths.append(results / "predict" / str(arm) / "seed-0" / "predictions.parquet")
        paths[-1].parent.mkdir(parents=True)
        part.to_parquet(paths[-1])
    evaluate.run(paths, settings=SETTINGS, out=results / "evaluate", threads=1)
    return results / "evaluate"


@pytest.fixture(scope="module")
def recomputed(folder: Path) -> experiment.Experiment:
    """All that is recomputed, once."""
    found = experiment.read(folder, name="evaluate", everything=True)
    assert found.modelled.metrics
    return found


def test_an_honest_evaluation_of_a_single_finding_holds(folder: Path) -> None:
    checks = list(measured.checks(folder, name="evaluate", everything=True))
    assert {check.what for check in checks} >= {"rows", "noninferior"}
    assert [check for check in checks if not check.holds] == []


def test_what_is_recomputed_of_the_mean_is_what_is_recomputed_of_the_finding(recomputed: experiment.Experiment) -> None:
    for rows in (recomputed.modelled.metrics, recomputed.modelled.fairness):
        own = {(*key[:2], "mean", *key[3:]): row for key, row in rows.items() if key[2] == FINDING}
        assert own
        assert repr({key: row for key, row in rows.items() if key[2] == "mean"}) == repr(own)


@pytest.mark.parametrize(
    ("metric", "rule", "kind"), [("auroc", "", "mean_area"), ("sensitivity", "youden_test", "mean_proportion")]
)
def test_the_interval_of_a_mean_over_several_is_a_fault(
    metric: str, rule: str, kind: Kind, recomputed: experiment.Experiment, tmp_path: Path
) -> None:
    cell = recomputed.cells(RUN)[ALL, FINDING]
    support = Support(
        positive_patients=cell.positive_patients,
        negative_patients=cell.negative_patients,
        influence=influence.mean([cell.influence]) if metric == "auroc" and cell.influence else None,
    )
    drawn = recomputed.weights.taken(cell.draws[metric, rule])
    other = interval(drawn, confidence=0.95, method="auto", kind=kind, support=support)
    key = {"arm": RUN[0], "seed": "0", "finding": "mean", "group": "all", "metric": metric, "rule": rule}
    (tmp_path / "metrics.csv").write_bytes((recomputed.folder / "metrics.csv").read_bytes())
    rewritten(tmp_path / "metrics.csv", key, low=repr(other.low), high=repr(other.high), method=other.method)
    forged = copy.copy(recomputed)
    vars(forged).update(folder=tmp_path, held={})
    (found,) = [check for check in measured.FILES["metrics.csv"](forged) if not check.holds]
    assert f"finding=mean;group_by=all;group=all;metric={metric}" in found.what
    assert {"low", "high", "method"} <= set(found.said)


def rewritten(path: Path, key: dict[str, str], **changes: Any) -> None:
    """One row with other values."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    (row,) = [row for row in rows if key.items() <= row.items()]
    row.update(changes)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
