"""A full disk, a stale lock, an unsaved study and a study of another shape: what is said, and how it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.versions import workspace
from tests.versions.workspace import Workspace

pytestmark = pytest.mark.system
SHARD = "results/tiny/chest/prepare/private/shard-000.safetensors"


@pytest.fixture
def clone(home: Workspace, tmp_path: Path) -> Workspace:
    return home.clone(tmp_path / "privrad")


@pytest.fixture
def small(clone: Workspace) -> Iterator[Path]:
    """The clone's results on a disk of 200 kB, of its own."""
    results = clone.folder / "results"
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(results)], check=True)
    yield results
    subprocess.run(["umount", str(results)], check=True)


def test_a_full_disk_leaves_no_half_result_and_the_next_run_goes_on(clone: Workspace, small: Path) -> None:
    run = clone.run("snakemake", "--cores", "2", SHARD)
    assert run.returncode != 0
    assert "No space left on device" in run.stdout
    assert "Traceback" not in run.stdout
    assert not (clone.folder / SHARD).exists()
    subprocess.run(["mount", "-o", "remount,size=200m", str(small)], check=True)
    clone.done("snakemake", "--cores", "2", SHARD)
    assert "Nothing to be done" in clone.done("snakemake", "--dry-run", SHARD)


def test_results_of_another_study_are_not_taken_for_this_ones(clone: Workspace) -> None:
    clone.edit("redraws: 50", "redraws: 51")
    run = clone.make("pull")
    assert run.returncode != 0
    assert "not those of config.yaml" in run.stdout
    assert set(clone.planned()) >= {"evaluate", "report"}


def test_a_cache_on_a_full_disk_saves_nothing_by_halves(home: Workspace, clone: Workspace, tmp_path: Path) -> None:
    assert clone.make("pull").returncode == 0
    left = clone.folder / "results/tiny/chest/predict/eps-9/seed-0/predictions.parquet"
    left.parent.mkdir(parents=True)
    left.touch()
    refused = clone.make("save")
    assert refused.returncode != 0
    assert "predict/eps-9/seed-0/predictions.parquet" in refused.stdout
    left.unlink()
    cache = tmp_path / "cache"
    cache.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(cache)], check=True)
    try:
        clone.done("dvc", "cache", "dir", "--local", str(cache))
        (clone.folder / "dvc.lock").unlink()
        saved = clone.make("save")
        assert saved.returncode != 0
        assert "No space left on device" in saved.stdout
        subprocess.run(["mount", "-o", "remount,size=200m", str(cache)], check=True)
        assert clone.make("save").returncode == 0
        assert clone.saved() == home.saved()
        assert clone.make("fsck").returncode == 0
    finally:
        subprocess.run(["umount", str(cache)], check=True)


def test_a_lock_that_a_kill_left_is_named_with_its_remedy(clone: Workspace) -> None:
    driver = subprocess.Popen(
        ["snakemake", "--cores", "1", SHARD],
        cwd=clone.folder,
        env=clone.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while driver.poll() is None and not list(clone.folder.glob(".snakemake/locks/*")):
        time.sleep(0.01)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    run = clone.make("repro")
    assert run.returncode != 0
    assert "--unlock" in run.stdout
    assert "Traceback" not in run.stdout
    clone.done("snakemake", "--unlock")
    clone.done("snakemake", "--cores", "2", SHARD)


def test_what_is_still_to_be_made_is_not_saved(clone: Workspace) -> None:
    run = clone.make("save")
    assert run.returncode != 0
    assert "finetune (2)" in run.stdout
    assert "snakemake --cores all" in run.stdout
    assert not (clone.folder / ".dvc/cache").exists()


def test_a_study_of_another_shape_is_refused_until_its_stages_are_written(clone: Workspace) -> None:
    clone.edit("    image:", "    compare: uka_cxr\n    image:")
    for run in (clone.run("dvc", "repro"), clone.make("save"), clone.make("repro")):
        assert run.returncode != 0
        assert "run make stages" in run.stdout
        assert "Traceback" not in run.stdout
    assert not (clone.folder / "results").exists()
    assert clone.make("stages").returncode == 0
    assert "compare" in (clone.folder / "dvc.yaml").read_text()


def test_a_study_without_any_result_has_nothing_to_pull(tmp_path: Path) -> None:
    fresh = workspace.begun(tmp_path / "fresh", study="tiny.yaml", keys=tmp_path / "keys")
    for target in ("pull", "fsck"):
        run = fresh.make(target)
        assert run.returncode != 0
        assert "dvc.lock is missing" in run.stdout
