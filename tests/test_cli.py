from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from privrad import cli

ROOT = Path(__file__).parents[1]
COMMANDS = [
    "phantom",
    "ingest",
    "split",
    "prepare",
    "pretrain",
    "finetune",
    "predict",
    "evaluate",
    "report",
    "prepare-image",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert command in capsys.readouterr().out


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, "-m", "privrad.cli", *arguments], env=environment, capture_output=True, text=True
    )


def test_a_file_that_is_no_radiograph_costs_one_line_and_exit_2(tmp_path: Path) -> None:
    source = tmp_path / "note.png"
    source.write_text("no picture")
    done = run("prepare-image", str(source), str(tmp_path / "out.png"), "--size", "64")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "note.png" in done.stderr
    assert not (tmp_path / "out.png").exists()


def test_a_missing_study_file_is_named(tmp_path: Path) -> None:
    study = ("--study", "nowhere.yaml", "--experiment", "chest", "--role", "private")
    outputs = ("--assignment", str(tmp_path / "a"), "--balance", str(tmp_path / "b"))
    done = run("split", *study, "--manifest", "m", *outputs)
    assert done.returncode == 2
    assert "study file nowhere.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_arm_is_named_with_what_there_is(tmp_path: Path) -> None:
    study = ("--study", str(ROOT / "tests/tiny.yaml"), "--experiment", "chest", "--arm", "eps-9", "--seed", "0")
    inputs = ("--weights", "w", "--shards", "s", "--manifest", "m", "--assignment", "a")
    done = run("predict", *study, *inputs, "--out", str(tmp_path / "p"))
    assert done.returncode == 2
    assert "arm 'eps-9' is not in" in done.stderr
    assert "eps-inf-matched" in done.stderr
