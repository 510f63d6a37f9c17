"""A study that is saved, pushed and pulled, and what then runs again."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.versions.workspace import Workspace

pytestmark = pytest.mark.system
SHOWN = {"figures", "report"}
MEASURED = {"evaluate", *SHOWN}
TRAINED = {"reserve", "finetune", "predict", *MEASURED}


@pytest.fixture(scope="module")
def pulled(home: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    clone = home.clone(tmp_path_factory.mktemp("pulled") / "privrad")
    run = clone.make("pull")
    assert run.returncode == 0, run.stdout
    return clone


@pytest.fixture
def edited(pulled: Workspace) -> Iterator[Workspace]:
    """The pulled clone, whose study is put back afterwards."""
    text = pulled.study.read_text()
    yield pulled
    pulled.study.write_text(text)


def test_saved_results_are_not_made_again_by_either_way(home: Workspace) -> None:
    assert home.changed() == set()
    assert home.repro() == []
    assert home.planned() == {}
    assert home.done("git", "status", "--porcelain") == ""


def test_a_pulled_study_has_nothing_to_do_and_the_same_report(home: Workspace, pulled: Workspace) -> None:
    assert pulled.planned() == {}
    assert pulled.changed() == set()
    page = "results/tiny/report.html"
    assert (pulled.folder / page).read_bytes() == (home.folder / page).read_bytes()


def test_what_must_stay_in_the_house_is_in_neither_git_nor_dvc_nor_the_remote(
    home: Workspace, pulled: Workspace
) -> None:
    inside = [path for name in ("private", "work") for path in (home.folder / name).rglob("*") if path.is_file()]
    assert {path.name for path in inside} >= {"paths.parquet", "internal.html", "ledger.jsonl", "rejects.csv"}
    secret = {hashlib.md5(path.read_bytes()).hexdigest() for path in inside if path.stat().st_size}
    remote = {path.parent.name + path.name for path in (home.folder.parent / "remote").glob("files/md5/??/*")}
    cached = {path.parent.name + path.name for path in (home.folder / ".dvc/cache").glob("files/md5/??/*")}
    assert remote == cached
    assert not secret & {name.removesuffix(".dir") for name in remote}
    named = [*home.done("git", "log", "--all", "--name-only", "--format=").split(), *home.saved()]
    assert not [name for name in named if name.startswith(("private/", "work/", "logs/")) or "ledger.jsonl" in name]
    there = {path.name for path in (pulled.folder / "private").rglob("*") if path.is_file()}
    assert there == {"pulled", "paths.parquet"}, "found anew in the images that were pulled"
    assert not (pulled.folder / "work").exists()


@pytest.mark.parametrize(
    ("old", "new", "rules", "stages"),
    [
        (
            "patients: 60",
            "patients: 64",
            {"phantom", "ingest", "locate", "prepare", "duplicates", "split", *TRAINED},
            {"phantom-chest-private", "cohort-chest-private"},
        ),
        (
            "cardiomegaly: Cardiomegaly",
            "cardiomegaly: Edema",
            {"ingest", "locate", "prepare", "duplicates", "split", "pretrain", *TRAINED},
            {"cohort-chest-public"},
        ),
        ("test: 0.3", "test: 0.35", {"split", *TRAINED}, {"split-chest-private"}),
        (
            "size: 32",
            "size: 40",
            {"prepare", "duplicates", "split", "pretrain", *TRAINED},
            {"prepare-chest-private", "prepare-chest-public"},
        ),
        (
            "pretraining: {learning_rate: 1e-3",
            "pretraining: {learning_rate: 2e-3",
            {"pretrain", *TRAINED},
            {"pretrain-chest@mish"},
        ),
        ("steps: 60", "steps: 61", TRAINED, {"reserve"}),
        ("redraws: 50", "redraws: 60", MEASURED, {"evaluate-chest"}),
    ],
    ids=["phantom", "ingest", "split", "prepare", "learning-rate", "steps", "evaluate"],
)
def test_a_changed_parameter_runs_its_rule_and_what_depends_on_it(
    edited: Workspace, old: str, new: str, rules: set[str], stages: set[str]
) -> None:
    edited.edit(old, new)
    assert set(edited.planned()) == rules
    changed = edited.changed()
    assert changed - {"provenance", "report"} == stages


def test_raw_images_go_to_dvc_and_not_to_git(home: Workspace, tmp_path: Path) -> None:
    sender = home.clone(tmp_path / "sender")
    image = sender.folder / "data/ours/one.dcm"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"pixels")
    sender.done("dvc", "add", "data/ours")
    sender.commit("the images' hashes")
    assert "data/ours.dvc" in sender.done("git", "ls-files").splitlines()
    assert "one.dcm" not in sender.done("git", "ls-files")
    sender.done("dvc", "remote", "add", "--force", "--default", "own", str(tmp_path / "own"))
    sender.done("dvc", "push", "data/ours.dvc")
    receiver = sender.clone(tmp_path / "receiver")
    receiver.done("dvc", "remote", "add", "--force", "--default", "own", str(tmp_path / "own"))
    receiver.done("dvc", "pull", "data/ours.dvc")
    assert (receiver.folder / "data/ours/one.dcm").read_bytes() == b"pixels"


def test_an_experiment_is_tried_and_versions_compared(pulled: Workspace) -> None:
    """The last to use the clone, whose study it changes."""
    changed = "config.yaml:experiments.chest.privacy.steps=61"
    said = pulled.done("dvc", "exp", "run", "-S", changed, "evaluate-chest")
    assert {stage for stage in re.findall(r"^Running stage '(.*)':", said, re.M) if "finetune" in stage} == {
        "finetune-chest@2-0"
    }
    params = json.loads(pulled.done("dvc", "params", "diff", "--json", stderr=subprocess.DEVNULL))
    assert params == {"config.yaml": {"experiments.chest.privacy.steps": {"old": 60, "new": 61, "diff": 1}}}
    metrics = json.loads(pulled.done("dvc", "metrics", "diff", "--json", stderr=subprocess.DEVNULL))
    ((file, differing),) = metrics.items()
    assert file == "results/tiny/chest/evaluate/overview.json"
    assert set(differing) == {"eps-2.seed-0.auroc"}
    pulled.done("dvc", "plots", "diff")
    page = (pulled.folder / "dvc_plots/index.html").read_text()
    assert "figure-2.svg" in page
    assert "http" not in page.replace("http://www.w3.org", "")
