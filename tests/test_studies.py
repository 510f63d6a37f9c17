"""Every study that the project ships is valid, and the paper's plan over a tree of the true layout."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from privrad import config
from privrad.privacy import accounting
from privrad.training import planned

ROOT = Path(__file__).parents[1]
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders laid out as MIMIC-CXR-JPG, the UKA-CXR table and the two cohorts of CT, with one picture at most."""
    mimic, uka = tmp_path / "mimic", tmp_path / "uka"
    study = mimic / "files/p10/p10000032/s50414267"
    study.mkdir(parents=True)
    (study / "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg").touch()
    for table in ("metadata", "chexpert", "split"):
        with gzip.open(mimic / f"mimic-cxr-2.0.0-{table}.csv.gz", "wt") as stream:
            stream.write("dicom_id,subject_id,study_id\n")
    (uka / "images").mkdir(parents=True)
    (uka / "uka_cxr.csv").write_text("image,patient_id\n")
    monkeypatch.setenv("MIMIC_CXR_JPG_ROOT", str(mimic))
    monkeypatch.setenv("UKA_CXR_ROOT", str(uka))
    for name, table in (("pdac", "pdac.csv"), ("panorama", "clinical_information.csv")):
        (tmp_path / name).mkdir()
        (tmp_path / name / table).write_text("scan,patient_id\n")
        monkeypatch.setenv(f"{name.upper()}_ROOT", str(tmp_path / name))
    monkeypatch.setenv("PRIVRAD_REAL_DATA", str(tmp_path))
    monkeypatch.setenv("PRIVRAD_LEDGER", str(tmp_path / "ledger.jsonl"))
    return tmp_path


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_the_study_file_is_valid(study: Path, roots: Path) -> None:
    assert config.load(study).experiments


def test_an_unset_root_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UKA_CXR_ROOT", raising=False)
    monkeypatch.setenv("MIMIC_CXR_JPG_ROOT", "/nowhere")
    with pytest.raises(config.ConfigError, match="UKA_CXR_ROOT is not set"):
        config.load(ROOT / "studies/paper_uka_cxr.yaml")


def test_the_budgets_of_the_papers_cohort_are_what_its_studies_cost(roots: Path) -> None:
    """The six runs fit into 10.03 and not into 10.02; the supplement's 18 after them into 35.04 and not into 35.03."""
    first, supplement = (config.load(ROOT / f"studies/paper_uka_cxr{name}.yaml") for name in ("", "_supplement"))
    six, eighteen = (
        [planned.charge_of(job).charged("record") for job in planned.declared(study, cohort="uka_cxr")]
        for study in (first, supplement)
    )
    assert (len(six), len(eighteen)) == (6, 18)
    for study, later in ((first, []), (supplement, eighteen)):
        spent = accounting.spent(six, later, delta=6e-6)
        for experiment in study.experiments.values():
            budget = experiment.cohorts.private.budget
            assert budget is not None
            assert (budget.delta, budget.unit) == (6e-6, "record")
            assert budget.epsilon - 0.01 < spent <= budget.epsilon


def test_the_budget_of_the_papers_ct_cohort_is_what_its_27_runs_cost(roots: Path) -> None:
    study = config.load(ROOT / "studies/paper_pdac.yaml")
    runs = [planned.charge_of(job).charged("patient") for job in planned.declared(study, cohort="pdac")]
    assert len(runs) == 9 * 3
    budget = study.experiments["pancreas"].cohorts.private.budget
    assert budget is not None
    assert (budget.delta, budget.unit) == (1e-3, "patient")
    assert budget.epsilon - 0.01 < accounting.spent(runs, [], delta=1e-3) <= budget.epsilon


def dry_run(study: Path) -> dict[str, int]:
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", str(study), "--cores", "2"]
    run = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    table = run.stdout[run.stdout.rindex("Job stats:") :]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


def test_the_papers_study_plans_over_the_true_layout(roots: Path) -> None:
    study = ROOT / "studies/paper_uka_cxr.yaml"
    experiment = config.load(study).experiments["chest"]
    assert experiment.image.size == 512
    assert sorted(experiment.budgets) == [0.29, 0.54, 1.06, 2.04, 4.71, 7.89, float("inf")]
    planned = dry_run(study)
    assert planned["pretrain"] == 2
    assert planned["finetune"] == planned["predict"] == 9
    assert planned["prepare"] == 2 * experiment.image.shards
    assert "phantom" not in planned


def test_the_papers_supplement_plans_over_the_true_layout(roots: Path) -> None:
    planned = dry_run(ROOT / "studies/paper_uka_cxr_supplement.yaml")
    assert planned["finetune"] > 9
    assert "phantom" not in planned


def test_the_papers_study_of_ct_plans_over_the_true_layout(roots: Path) -> None:
    study = ROOT / "studies/paper_pdac.yaml"
    planned = dry_run(study)
    assert planned["finetune"] == planned["predict"] == 1 + 3 * (9 + 2)  # untrained once, the others with three seeds
    assert planned["prepare"] == config.load(study).experiments["pancreas"].image.shards
    assert not {"pretrain", "phantom"} & set(planned)


def test_a_missing_cohort_folder_is_refused_before_any_job(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UKA_CXR_ROOT", str(roots / "elsewhere"))
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", "studies/paper_uka_cxr.yaml"]
    run = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert run.returncode != 0
    assert "cohorts.private.root" in run.stdout
    assert "no such folder" in run.stdout


def test_a_table_in_a_folder_of_its_own_is_an_input(roots: Path) -> None:
    text = (ROOT / "studies/paper_uka_cxr.yaml").read_text()
    study = roots / "study.yaml"
    study.write_text(
        text.replace("root: ${UKA_CXR_ROOT}", "root: ${UKA_CXR_ROOT}\n        columns: {table: sub/ours.csv}")
    )
    (roots / "uka/sub").mkdir()
    (roots / "uka/sub/ours.csv").write_text("image,patient_id\n")
    manifest = "results/paper_uka_cxr/chest/duplicates/private/manifest.parquet"
    command = [sys.executable, "-m", "snakemake", "--dry-run", manifest, "--configfile", str(study), "--cores", "2"]
    run = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, text=True, capture_output=True
    )
    assert run.returncode == 0, run.stderr
    assert "uka/sub/ours.csv" in run.stdout + run.stderr
