"""What does not grow with the number of images."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cohorts.trees import mimic_row, uka_row, write_mimic, write_uka

ROOT = Path(__file__).parents[1]
SHARDS = 3


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workflow, where no result is there already."""
    folder = tmp_path_factory.mktemp("scale") / "project"
    for name in ("src", "workflow", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


def planned(project: Path, *, patients: int) -> dict[str, int]:
    """How many jobs of each rule the tiny study takes over cohorts that lie on the disk, two images a patient."""
    cohorts = project.parent / str(patients)
    names = [(f"p{patient}", f"p{patient}-{image}") for patient in range(patients) for image in range(2)]
    write_uka(cohorts / "private", [uka_row(f"{patient}/{image}.png", patient) for patient, image in names])
    write_mimic(cohorts / "public", [mimic_row(image, patient, f"s{image}") for patient, image in names])
    study = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
    chest = study["experiments"]["chest"]
    chest["image"]["shards"] = SHARDS
    for role, cohort in chest["cohorts"].items():
        del cohort["phantom"]
        cohort.update(root=str(cohorts / role), sensitivity="public")
    (project / "config.yaml").write_text(yaml.safe_dump(study))
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "2"],
        cwd=project, env=os.environ | {"PYTHONPATH": str(project / "src")}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    table = run.stdout[run.stdout.rindex("Job stats:") :]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


def test_the_number_of_jobs_follows_from_the_shards_and_not_from_the_images(project: Path) -> None:
    few = planned(project, patients=2)
    assert few["prepare"] == 2 * SHARDS
    assert few["ingest"] == few["split"] == 2
    assert planned(project, patients=200) == few
