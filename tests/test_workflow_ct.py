"""A study of CT scans through every rule of the workflow, by the rules and modules that radiographs go through."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from tests.test_workflow import Workspace


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("tiny_ct"), study="tiny_ct.yaml")
    workspace.fill()
    run = workspace.snakemake()
    assert run.returncode == 0, run.stdout
    return workspace


def test_scans_end_in_a_report_that_speaks_of_scans(scans: Workspace) -> None:
    page = (scans.folder / "results/tiny_ct/report.html").read_text()
    assert "PDAC" in page
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)
    said = re.sub(r"<[^>]+>", " ", page)
    assert "radiograph" not in said.lower().replace("chest radiographs (uka-cxr)", "")


def test_every_number_of_it_recomputes(scans: Workspace) -> None:
    run = scans.privrad("verify", "results/tiny_ct", "--all", "--study", "config.yaml", "--json")
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(run.stdout)["holds"] is True


def test_scans_of_both_forms_were_prepared(scans: Workspace) -> None:
    folder = scans.folder / "results/tiny_ct/pancreas"
    listed = pd.read_csv(folder / "phantom/private/pdac.csv")
    assert set(listed["scan"].str.endswith(".nii.gz")) == {True, False}
    assert pd.read_csv(scans.folder / "private/tiny_ct/pancreas/prepare/private/shard-000-rejects.csv").empty


def test_the_groups_are_quartiles_of_age(scans: Workspace) -> None:
    table = pd.read_csv(scans.folder / "results/tiny_ct/pancreas/evaluate/metrics.csv")
    bands = table.loc[table["group_by"] == "age", "group"].unique()
    assert 3 <= len(set(bands) - {"unknown", "outside"}) <= 4


def test_a_second_run_does_nothing(scans: Workspace) -> None:
    assert scans.planned() == {}


def test_every_arm_is_trained_with_the_seed_that_the_study_names(scans: Workspace) -> None:
    table = pd.read_csv(scans.folder / "results/tiny_ct/pancreas/evaluate/seeds.csv")
    chosen = table[(table["finding"] == "pdac") & (table["metric"] == "auroc")].set_index("arm")
    assert dict(chosen["trainings"]) == dict.fromkeys(("eps-0", "eps-2", "eps-inf", "eps-inf-matched"), 1)
    assert (scans.folder / "results/tiny_ct/pancreas/finetune/eps-2/seed-3/certificate.json").is_file()
