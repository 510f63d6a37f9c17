"""The same study by `dvc repro`, from nothing, one epsilon later, and after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.versions.workspace import Workspace

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def repeated(home: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A clone in which DVC made everything, from nothing."""
    clone = home.clone(tmp_path_factory.mktemp("repeated") / "privrad")
    (clone.folder / "dvc.lock").unlink()
    clone.repro()
    return clone


def test_both_ways_give_the_same_bytes(home: Workspace, repeated: Workspace) -> None:
    assert repeated.saved() == home.saved()
    assert repeated.planned() == {}
    assert repeated.changed() == set()


def test_one_more_epsilon_trains_once_and_a_killed_training_goes_on(repeated: Workspace) -> None:
    before = {path: (repeated.folder / path).stat().st_mtime_ns for path in repeated.saved() if "/finetune/" in path}
    repeated.edit("budgets: [2]", "budgets: [2, 5]")
    assert repeated.planned() == {
        "reserve": 1,
        "finetune": 1,
        "predict": 1,
        "evaluate": 1,
        "figures": 1,
        "report": 1,
        "internal": 1,
    }
    _kill_in_training(repeated, run="eps-5/seed-0")
    refused = repeated.run("dvc", "repro")
    assert refused.returncode != 0
    assert "--unlock" in refused.stdout
    repeated.done("snakemake", "--unlock")
    ran = repeated.repro()
    assert [stage for stage in ran if stage.startswith("finetune")] == ["finetune-chest@5-0"]
    log = (repeated.folder / "logs/tiny/chest/finetune/eps-5/seed-0.log").read_text()
    assert "going on from checkpoint" in log
    assert {path: (repeated.folder / path).stat().st_mtime_ns for path in before} == before
    assert repeated.planned() == {}


def _kill_in_training(workspace: Workspace, *, run: str) -> None:
    """Start `dvc repro` and kill it with all its children once the run has a checkpoint."""
    driver = subprocess.Popen(
        ["dvc", "repro"],
        cwd=workspace.folder,
        env=workspace.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    runs = workspace.folder / f"work/tiny/chest/finetune/{run}/runs"
    while driver.poll() is None and not list(runs.glob("*/state.safetensors")):
        time.sleep(0.01)
    assert driver.poll() is None, "it ended before its first checkpoint"
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
