"""The studies that the project ships say what the paper says, and fit the real cohorts that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from privrad import config
from privrad.cohorts import split
from tests.cohorts.trees import KEY, run_ingest

STUDIES = Path(__file__).parents[2] / "studies"


@pytest.mark.parametrize("name", ["paper_uka_cxr", "paper_uka_cxr_supplement"])
def test_the_papers_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMIC_CXR_JPG_ROOT", "mimic")
    monkeypatch.setenv("UKA_CXR_ROOT", "uka")
    monkeypatch.setenv("PRIVRAD_LEDGER", "ledger.jsonl")
    for experiment in config.load(STUDIES / f"{name}.yaml").experiments.values():
        privacy, training = experiment.privacy, experiment.training
        assert (privacy.unit, privacy.population, privacy.expected_batch) == ("record", 153_502, 128)
        assert privacy.steps == round(150 * 153_502 / 128)
        assert (privacy.delta, privacy.clipping_norm, privacy.noise) == (6e-6, 1.5, "release")
        assert (training.learning_rate, training.without_privacy.learning_rate) == (5e-4, 5e-5)
        assert (training.without_privacy.epochs, training.without_privacy.batch) == (150, 128)
        assert experiment.budgets == (0.29, 0.54, 1.06, 2.04, 4.71, 7.89, float("inf"))
        assert len(experiment.findings) == 8
        assert (experiment.image.size, experiment.model.width, experiment.model.groups) == (512, 64, 32)
        assert experiment.cohorts.private.sensitivity == "private"


def test_the_supplement_trains_from_scratch_and_other_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMIC_CXR_JPG_ROOT", "mimic")
    monkeypatch.setenv("UKA_CXR_ROOT", "uka")
    monkeypatch.setenv("PRIVRAD_LEDGER", "ledger.jsonl")
    experiments = config.load(STUDIES / "paper_uka_cxr_supplement.yaml").experiments
    assert {name: experiment.model.network for name, experiment in experiments.items()} == {
        "from_scratch_resnet9": "resnet9",
        "resnet18": "resnet18",
        "resnet34": "resnet34",
    }
    assert [
        name for name, experiment in experiments.items() if not isinstance(experiment.pretraining, config.Recipe)
    ] == ["from_scratch_resnet9"]


@pytest.mark.parametrize("name", ["nih_pneumonia", "covid_cxr"])
def test_a_study_on_real_radiographs_declares_about_the_patients_it_trains_on(
    name: str, tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVRAD_REAL_DATA", str(real_data))
    experiment = config.load(STUDIES / f"{name}.yaml").experiments["chest"]
    out = run_ingest(experiment.cohorts.private, tmp_path)
    places: dict[str, Any] = {"assignment": tmp_path / "assignment.parquet", "balance": tmp_path / "balance.csv"}
    findings = experiment.findings
    split.run(experiment.split.private, findings=findings, manifest=out.places["manifest"], key=KEY, **places)
    parts = pd.read_parquet(places["assignment"])["split"].value_counts()
    assert parts["train"] == pytest.approx(experiment.privacy.population, rel=0.2)
    assert experiment.privacy.delta <= 1 / (10 * experiment.privacy.population)
    balance = pd.read_csv(places["balance"]).set_index(["split", "column"])["images"]
    for part in ("train", "validation", "test"):
        assert 0 < balance[part, findings[0]].sum() < balance[part, "all"].sum()
