"""The mean over findings: of a single one it is that finding, in every table and in the summary."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from privrad.evaluation import evaluate, tables
from privrad.evaluation.settings import Settings
from tests.evaluation import made

SETTINGS = Settings(redraws=100, minimum_cell=5, seed=3)
WITH_MEANS = ("metrics.csv", "differences.csv", "significance.csv", "fairness.csv", "seeds.csv")


def evaluated(folder: Path, *findings: str) -> Path:
    """Evaluates a model and two trainings of another, the second without validation images and so without a cut-off."""
    ease = {"eps-1": 0.9, "eps-inf": 1.8}
    table = made.predictions(patients=120, findings=findings, ease=ease, seeds={"eps-1": (0, 1)})
    held_out = table["patient_id"].str[-1].isin(("4", "9"))
    table["split"] = table["split"].mask(held_out, "validation")
    table = table[~held_out | (table["seed"] == 0)]
    table["sex"] = table["sex"].mask(table["patient_id"] == "p00001", "X")
    table.to_parquet(folder / "predictions.parquet")
    evaluate.run([folder / "predictions.parquet"], settings=SETTINGS, out=folder, threads=1)
    return folder


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluated(tmp_path_factory.mktemp("single"), "pdac")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluated(tmp_path_factory.mktemp("several"), "pdac", "cyst")


def read(folder: Path, name: str, finding: str) -> pd.DataFrame:
    """The rows of one finding, as text."""
    table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
    return table[table["finding"] == finding].drop(columns="finding").reset_index(drop=True)


@pytest.mark.parametrize("name", WITH_MEANS)
def test_the_mean_of_a_single_finding_is_that_finding_to_the_last_letter(name: str, single: Path) -> None:
    own = read(single, name, "pdac")
    assert len(own)
    pd.testing.assert_frame_equal(read(single, name, "mean"), own)


@pytest.mark.parametrize("name", WITH_MEANS)
def test_the_mean_of_several_findings_is_none_of_them(name: str, several: Path) -> None:
    own, mean = read(several, name, "pdac"), read(several, name, "mean")
    assert len(own) == len(mean)
    assert not mean.equals(own)


def test_a_single_finding_keeps_its_own_laws_and_several_have_those_of_a_mean(single: Path, several: Path) -> None:
    asked = ["auroc", "sensitivity", "ppv", "ece"]
    for folder, laws in (
        (single, ["score", "logit", "logit", "allowance"]),
        (several, ["student", "bca", "bca", "allowance"]),
    ):
        rows = read(folder, "metrics.csv", "mean").query("arm == 'eps-1' and seed == '0' and group_by == 'all'")
        rows = rows[rows["rule"].isin(("", "youden"))].set_index("metric").loc[asked]
        assert rows["method"].tolist() == laws
        assert (rows["pooled_sd"] == "").all() == (folder == single)


def test_the_summary_tells_the_interval_of_the_single_finding(single: Path) -> None:
    own = read(single, "metrics.csv", "pdac").query("metric == 'auroc' and group_by == 'all'")
    told = json.loads((single / "summary.json").read_text())["models"]
    assert len(told) == len(own) == 3
    for model, row in zip(told, own.to_dict("records"), strict=True):
        said = model["mean_auroc"]
        assert (model["arm"], str(model["seed"])) == (row["arm"], row["seed"])
        assert {name: repr(said[name]) for name in ("value", "low", "high", "sd")}.items() <= row.items()
        assert said["pooled_sd"] is None


def test_a_new_table_with_means_is_asked_for_its_single_finding_too(single: Path) -> None:
    for name, columns in tables.COLUMNS.items():
        means = len(read(single, name, "mean")) if "finding" in columns else 0
        assert (means > 0) == (name in WITH_MEANS), name
