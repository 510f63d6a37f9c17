"""`make fsck`: a flipped bit in DVC's cache or in a result is found, named and mended."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.versions.workspace import Workspace

pytestmark = pytest.mark.system
MODEL = "results/tiny/chest/finetune/eps-2/seed-0/model.safetensors"
TABLE = "results/tiny/chest/evaluate/metrics.csv"


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file; its time, size and permissions stay, as when a disk fails."""
    times, mode = path.stat(), path.stat().st_mode
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.fixture
def copied(home: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the saved study, to be damaged."""
    shutil.copytree(home.folder, tmp_path / "privrad", ignore=shutil.ignore_patterns("tmp", "log", "locks"))
    return Workspace(folder=tmp_path / "privrad", keys=home.keys)


def cached(workspace: Workspace, md5: str) -> Path:
    return workspace.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def test_flipped_bits_are_named_and_mended_from_the_remote(copied: Workspace) -> None:
    model, table = copied.folder / MODEL, copied.folder / TABLE
    whole = {path: path.read_bytes() for path in (model, table)}
    listing = cached(copied, copied.saved()[str(Path(MODEL).parent)])
    page = cached(copied, copied.saved()["results/tiny/report.html"])
    assert copied.changed() == set()
    flip(table)
    flip(page)
    assert copied.changed() == set(), "DVC sees it by itself, so this shows nothing"
    flip(listing)
    run = copied.make("fsck")
    assert run.returncode == 0, run.stdout
    for name in (TABLE, str(Path(MODEL).parent), "results/tiny/report.html"):
        assert name in run.stdout
    assert {path: path.read_bytes() for path in whole} == whole
    assert (copied.folder / "work/damaged" / TABLE).read_bytes() != whole[table]
    again = copied.make("fsck")
    assert again.returncode == 0
    assert "mended" not in again.stdout
    assert "whole" in again.stdout
    assert copied.changed() == set()
    assert copied.planned() == {}


def test_without_a_remote_what_cannot_be_mended_is_named(copied: Workspace) -> None:
    copied.done("dvc", "remote", "remove", "store")
    flip(cached(copied, copied.saved()["results/tiny/report.html"]))
    for _ in range(2):
        run = copied.make("fsck")
        assert run.returncode != 0
        assert "not mended: results/tiny/report.html" in run.stdout
        assert "Traceback" not in run.stdout
    saved = copied.make("save")
    assert saved.returncode == 0, saved.stdout
    assert copied.make("fsck").returncode == 0


def test_results_newer_than_the_last_save_are_left_alone(copied: Workspace) -> None:
    copied.edit("redraws: 50", "redraws: 51")
    table = copied.folder / TABLE
    table.write_text(table.read_text() + "\n")
    changed = table.read_bytes()
    run = copied.make("fsck")
    assert run.returncode != 0
    assert f"not as saved: {TABLE}" in run.stdout
    assert "config.yaml changed since the last save" in run.stdout
    assert "make save" in run.stdout
    assert table.read_bytes() == changed


def test_changed_raw_data_are_named_and_left_alone(copied: Workspace) -> None:
    table = copied.folder / "data/ours/labels.csv"
    table.parent.mkdir(parents=True)
    table.write_text("image,label\n1,0\n")
    copied.done("dvc", "add", "data/ours")
    table.write_text("image,label\n1,1\n")
    run = copied.make("fsck")
    assert run.returncode != 0
    assert "not as added: data/ours/labels.csv" in run.stdout
    assert table.read_text() == "image,label\n1,1\n"
