from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.versions import workspace
from tests.versions.workspace import Workspace


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Workspace:
    """The tiny study, run by Snakemake, saved and pushed; made once for all tests, which only read it."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    made = Workspace(folder=shared / "home", keys=shared / "keys")
    with (shared / "home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "home.whole").exists():
            _make(made, remote=shared / "remote")
            (shared / "home.whole").touch()
    return made


def _make(home: Workspace, *, remote: Path) -> None:
    workspace.begun(home.folder, study="tiny.yaml", keys=home.keys)
    home.edit("budgets: [2, inf]", "budgets: [2]")
    home.edit("steps: 3", "steps: 60")
    home.edit("threads: 1,", "threads: 1, checkpoint_minutes: 0,")
    shaped = home.make("stages")
    assert shaped.returncode == 0, shaped.stdout
    home.done("dvc", "remote", "add", "--default", "store", str(remote))
    home.commit("the remote")
    home.done("snakemake", "--cores", "2", "--quiet", "all")
    saved = home.make("save")
    assert saved.returncode == 0, saved.stdout
    home.commit("the results")
    home.done("dvc", "push", "--quiet")
