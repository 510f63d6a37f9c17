"""The demonstration as a new user runs it: a fresh clone, `make demo`, and what its curve must show.

Only the packages are those that run the tests, so that they are not installed once more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
pytestmark = pytest.mark.system


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `make demo` outside another make, with the clone's own code."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment = inherited | {"PYTHONPATH": str(folder / "src"), "PATH": f"{BIN}:{os.environ['PATH']}"}
    command = ["make", f"VENV={BIN.parent}", "-o", f"{BIN.parent}/.ready", "demo"]
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone") / "privrad"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    run = demo(folder)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-5000:]
    assert "results/demo/report.html" in run.stdout.splitlines()[-1]
    return folder


@pytest.fixture(scope="module")
def auroc(clone: Path) -> pd.DataFrame:
    table = pd.read_csv(clone / "results/demo/chest/evaluate/metrics.csv")
    mean = table[(table.finding == "mean") & (table.group_by == "all") & (table.metric == "auroc")]
    return mean.set_index("arm")


def test_all_six_budgets_run_and_epsilon_0_stands_beside_them(auroc: pd.DataFrame) -> None:
    budgets = {f"eps-{epsilon}" for epsilon in (0.29, 0.54, 1.06, 2.04, 4.71, 7.89)}
    assert set(auroc.index) == budgets | {"eps-0", "eps-inf", "eps-inf-matched"}


def test_without_privacy_the_findings_are_learned(auroc: pd.DataFrame) -> None:
    assert auroc.value["eps-inf"] >= 0.85


def test_the_smallest_budget_is_clear_of_chance(auroc: pd.DataFrame) -> None:
    assert auroc.low["eps-0.29"] > 0.5


def test_privacy_costs_accuracy_beyond_doubt(clone: Path) -> None:
    table = pd.read_csv(clone / "results/demo/chest/evaluate/differences.csv")
    overall = table[(table.finding == "mean") & (table.group_by == "all")]
    chosen = overall[(overall.arm == "eps-0.29") & (overall.reference == "eps-inf")]
    assert len(chosen) == 1
    assert chosen.low.item() > 0


@pytest.fixture(scope="module")
def scans(clone: Path) -> pd.DataFrame:
    table = pd.read_csv(clone / "results/demo/pancreas/evaluate/metrics.csv")
    return table[(table.finding == "pdac") & (table.metric == "auroc")]


def test_tumours_are_learned_from_scans_and_privacy_costs_accuracy(clone: Path, scans: pd.DataFrame) -> None:
    value = scans[scans.group_by == "all"].set_index("arm").value
    assert value["eps-inf"] > 0.9
    assert value["eps-inf"] > value["eps-8"] > value["eps-1.06"]
    table = pd.read_csv(clone / "results/demo/pancreas/evaluate/differences.csv")
    overall = table[(table.finding == "pdac") & (table.group_by == "all") & (table.reference == "eps-inf")]
    lost = overall.set_index("arm").low
    assert lost["eps-8"] > 0
    assert lost["eps-1.06"] > 0


def test_scans_of_both_forms_were_prepared_and_the_page_speaks_of_them(clone: Path) -> None:
    listed = pd.read_csv(clone / "results/demo/pancreas/phantom/private/pdac.csv")
    assert set(listed["scan"].str.endswith(".nii.gz")) == {True, False}
    rejects = sorted((clone / "private/demo/pancreas/prepare/private").glob("*-rejects.csv"))
    assert len(rejects) == 2
    assert all(pd.read_csv(path).empty for path in rejects)
    assert "PDAC" in (clone / "results/demo/report.html").read_text()


def test_scans_are_compared_by_quartiles_of_age(scans: pd.DataFrame) -> None:
    bands = list(dict.fromkeys(scans.loc[scans.group_by == "age", "group"]))
    assert len(bands) == 4
    assert bands[-1].endswith(",inf)")


def test_each_private_arm_was_trained_at_its_budget(clone: Path) -> None:
    for epsilon in (0.29, 0.54, 1.06, 2.04, 4.71, 7.89):
        path = clone / f"results/demo/chest/finetune/eps-{epsilon}/seed-0/certificate.json"
        certificate = json.loads(path.read_text())
        assert certificate["epsilon"] is None, "seeded noise protects nobody"
        assert epsilon * 0.99 <= certificate["nominal_epsilon"] <= epsilon


def test_a_second_make_demo_trains_nothing(clone: Path) -> None:
    run = demo(clone)
    assert run.returncode == 0, run.stderr
    assert "Nothing to be done" in run.stdout + run.stderr
