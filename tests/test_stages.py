"""DVC's stages against the rules of the workflow: each result is one stage's, and each stage makes some."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from privrad import config, provenance, stages

ROOT = Path(__file__).parents[1]


def outputs(study: Path) -> dict[str, str]:
    """Every file under results/ that the workflow makes of a study, and the rule that makes it."""
    command = [sys.executable, "-m", "snakemake", "--summary", "--configfile", str(study)]
    said = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout
    rows = [line.split("\t") for line in said.splitlines() if "\t" in line]
    return {row[0]: row[2] for row in rows[1:] if row[0].startswith("results/")}


def resolved(study: config.Study) -> dict[str, Mapping[str, Any]]:
    """The stages with names, budgets and seeds filled in, as DVC does."""
    found = {}
    for name, stage in stages.dvc(study)["stages"].items():
        for item in items(study, stage.get("matrix", {})):
            text = yaml.safe_dump(stage).replace("${study}", study.study)
            for key, value in item.items():
                text = text.replace(f"${{item.{key}}}", value)
            found["@".join([name, *(["-".join(item.values())] if item else [])])] = yaml.safe_load(text)
    return found


def items(study: config.Study, matrix: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every combination of a matrix."""
    rows: list[dict[str, str]] = [{}]
    for key, values in matrix.items():
        if isinstance(values, str):
            _, experiment, listed = values.strip("${}").split(".")
            values = getattr(study.experiments[experiment], listed)
        rows = [
            row | {key: f"{value:g}" if isinstance(value, float) else str(value)} for row in rows for value in values
        ]
    return rows


def unowned(made: Mapping[str, str], owned: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Each result that not exactly one stage owns, and each stage that makes none."""
    holders = {
        file: [name for name, stage in owned.items() if any(_within(file, out) for out in stage["outs"])]
        for file in made
    }
    faults = [f"{file} of rule {made[file]}: stages {of}" for file, of in holders.items() if len(of) != 1]
    busy = {name for of in holders.values() for name in of}
    return faults + [f"stage {name}: no rule makes anything of it" for name in owned if name not in busy]


def _within(file: str, out: str) -> bool:
    return file == out or file.startswith(f"{out}/")


@pytest.fixture(scope="module", params=["config.yaml", "tests/tiny.yaml", "tests/tiny_ct.yaml"])
def study(request: pytest.FixtureRequest) -> Path:
    return Path(ROOT, request.param)


@pytest.fixture(scope="module")
def made(study: Path) -> dict[str, str]:
    return outputs(study)


def test_each_result_is_one_stages_and_each_stage_makes_some(study: Path, made: dict[str, str]) -> None:
    assert len(made) > 50
    assert unowned(made, resolved(config.load(study))) == []


def test_a_result_without_a_stage_and_a_stage_without_a_rule_are_found(study: Path, made: dict[str, str]) -> None:
    owned = resolved(config.load(study))
    lost = next(name for name in owned if name.startswith("evaluate-"))
    faults = unowned(made, {name: stage for name, stage in owned.items() if name != lost})
    assert faults
    assert all(
        f"results/{config.load(study).study}/{lost.removeprefix('evaluate-')}/evaluate/" in fault for fault in faults
    )
    invented = {"outs": ["results/nowhere"]}
    assert unowned(made, {**owned, "invented": invented}) == ["stage invented: no rule makes anything of it"]
    twice = {"outs": [owned[lost]["outs"][0]]}
    assert len(unowned(made, {**owned, "twice": twice})) == len(faults)


def test_the_stages_in_the_project_are_those_of_its_study() -> None:
    stages.require(config.load(ROOT / "config.yaml"), path=ROOT / "dvc.yaml")


def test_a_study_of_another_shape_is_refused(tmp_path: Path) -> None:
    study = config.load(ROOT / "config.yaml")
    stages.run(config.load(ROOT / "tests/tiny.yaml"), out=tmp_path / "dvc.yaml")
    for path in (tmp_path / "dvc.yaml", tmp_path / "missing.yaml"):
        with pytest.raises(config.ConfigError, match="run make stages"):
            stages.require(study, path=path)


def test_budgets_and_seeds_stay_in_the_study(tmp_path: Path) -> None:
    text = (ROOT / "config.yaml").read_text()
    (tmp_path / "more.yaml").write_text(text.replace("[1.06, 8, inf]", "[1.06, 4, 8, inf]"))
    before, after = (stages.text(config.load(path)) for path in (ROOT / "config.yaml", tmp_path / "more.yaml"))
    assert before == after


@pytest.mark.parametrize(("budget", "fits"), [("2.5", True), ("0.1234567", False)])
def test_a_budget_whose_runs_bear_another_name_is_refused(tmp_path: Path, budget: str, fits: bool) -> None:
    text = (ROOT / "config.yaml").read_text()
    (tmp_path / "study.yaml").write_text(text.replace("[1.06, 8, inf]", f"[{budget}, inf]"))
    study = config.load(tmp_path / "study.yaml")
    if fits:
        assert f"finetune-pancreas@{budget}-0" in resolved(study)
        return
    with pytest.raises(config.ConfigError, match="round it to six"):
        stages.text(study)


def test_of_a_cohort_elsewhere_the_stages_know_all_tables(tmp_path: Path) -> None:
    named = ["labels.csv", "dataset.json", "Task07/dataset.json", "tables/own.txt"]
    for name in named:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".labels.csv").touch()
    study = config.load(ROOT / "tests/tiny.yaml")
    told = study.experiments["chest"].cohorts.private.model_dump()
    told |= {"phantom": None, "root": tmp_path, "sensitivity": "public"}
    cohort = config.Cohort.model_validate(told | {"columns": {"table": "tables/own.txt"}})
    assert stages.tables(cohort) == sorted(str(tmp_path / name) for name in named)
    assert stages.tables(study.experiments["chest"].cohorts.private) == []


def test_the_code_behind_every_rule_is_listed_with_its_hash(tmp_path: Path) -> None:
    provenance.run(out=tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == set(provenance.RULES)
    for path in tmp_path.iterdir():
        checked = subprocess.run(["sha256sum", "--check", "--quiet", str(path)], cwd=ROOT, check=False)
        assert checked.returncode == 0
    lists = {path.stem: path.read_text() for path in tmp_path.iterdir()}
    assert "training/steps.py" in lists["reserve"]
    assert "training/" not in lists["evaluate"]


def test_every_stage_knows_the_code_of_its_rules(made: dict[str, str], study: Path) -> None:
    """A training is told by its reservation; figures and report are one stage, all other rules have their own list."""
    for name, stage in resolved(config.load(study)).items():
        rules = {rule for file, rule in made.items() if any(_within(file, out) for out in stage["outs"])}
        known = {Path(dep).stem for dep in stage["deps"] if "/provenance/" in dep}
        told = {Path(dep).stem for dep in stage["deps"] if dep.endswith("reservation.json")}
        assert rules - {"finetune", "provenance"} == known, name
        assert bool(told) == ("finetune" in rules), name
