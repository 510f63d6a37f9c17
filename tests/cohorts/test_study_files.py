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


def test_the_papers_settings_of_ct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDAC_ROOT", "pdac")
    monkeypatch.setenv("PRIVRAD_LEDGER", "ledger.jsonl")
    experiment = config.load(STUDIES / "paper_pdac.yaml").experiments["pancreas"]
    privacy, training = experiment.privacy, experiment.training
    assert (privacy.unit, privacy.population, privacy.expected_batch) == ("patient", 975, 512)
    assert privacy.steps == round(150 * 975 / 512)
    assert (privacy.delta, privacy.clipping_norm, privacy.noise) == (1e-3, 1.0, "release")
    assert (training.learning_rate, training.without_privacy.learning_rate) == (2e-4, 2e-4)
    assert (training.positive_weights, training.without_privacy.augmentation) == ("none", None)
    assert experiment.budgets == (0.29, 0.54, 1.06, 2.04, 4.71, 5, 6, 7, 8, float("inf"))
    assert experiment.seeds == (0, 1, 2)
    assert (experiment.modality, experiment.pretraining, experiment.compare) == ("ct", None, "pdac")
    assert (experiment.image.size, experiment.image.window) == ((224, 224, 128), (-150, 250))
    model = experiment.model
    assert (model.network, model.width, model.groups) == ("scale_resnet9", 64, 32)
    assert (experiment.split.private.by, experiment.evaluation.age_bands) == ("table", "quartiles")
    assert experiment.cohorts.private.sensitivity == "private"


def test_the_public_study_of_ct_fits_its_published_table(
    tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table at hand has 1,289 of 2,238 scans, so that about as large a share of the declared patients is left."""
    monkeypatch.setenv("PANORAMA_ROOT", str(tmp_path / "panorama"))
    (tmp_path / "panorama").mkdir()
    table = pd.read_csv(real_data / "tables/panorama_clinical_information_part.csv", dtype=str)
    table.to_csv(tmp_path / "panorama/clinical_information.csv", index=False)
    for study in table["PANORAMA_study_id"]:
        (tmp_path / f"panorama/{study}_0000.nii.gz").touch()
    experiment = config.load(STUDIES / "panorama.yaml").experiments["pancreas"]
    out = run_ingest(experiment.cohorts.private, tmp_path)
    places: dict[str, Any] = {"assignment": tmp_path / "assignment.parquet", "balance": tmp_path / "balance.csv"}
    split.run(experiment.split.private, findings=["pdac"], manifest=out.places["manifest"], key=KEY, **places)
    training = int((pd.read_parquet(places["assignment"])["split"] == "train").sum())
    assert training * 2238 / len(table) == pytest.approx(experiment.privacy.population, rel=0.1)
    assert experiment.privacy.delta <= 1 / (10 * experiment.privacy.population)
    assert set(out.images["sex"]) == {"F", "M"}


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
