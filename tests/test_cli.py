from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless

from privrad import cli
from tests.imaging.made import dataset

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


def test_a_log_that_cannot_be_written_costs_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = tmp_path / "file" / "log"
    done = run("prepare-image", "in.png", str(tmp_path / "out.png"), "--log", str(log))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(tmp_path / "file") in done.stderr


def test_a_size_beyond_memory_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), np.arange(64, dtype=np.uint8).reshape(8, 8))
    done = run("prepare-image", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--size", "200000")
    assert done.returncode == 2
    assert done.stderr == "privrad prepare-image: size is 200000; give 1 to 8192 pixels\n"


def test_an_empty_privrad_keys_is_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = (ROOT / "tests/tiny.yaml").read_text()
    head, tail = study.split("      private:\n", 1)
    tail = re.sub(r"phantom: .*", f"root: {tmp_path}", tail.replace("synthetic", "private"), count=1)
    (tmp_path / "study.yaml").write_text(
        f"{head}      private:\n{tail}".replace("noise: reproducible", "noise: release").replace("[2, inf]", "[2]")
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRIVRAD_KEYS", "")
    split = ("split", "--study", "study.yaml", "--experiment", "chest", "--role", "private")
    assert cli.main([*split, "--manifest", "m", "--assignment", "a", "--balance", "b"]) == 2
    assert [path.name for path in tmp_path.rglob("hospital.key")] == ["hospital.key"]
    assert (tmp_path / "work/keys/hospital.key").is_file()


def test_an_output_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), np.arange(64, dtype=np.uint8).reshape(8, 8))
    (tmp_path / "out").write_text("")
    done = run("prepare-image", str(tmp_path / "in.png"), str(tmp_path / "out/out.png"), "--size", "32")
    assert done.returncode == 2
    assert f"a file stands where a folder is needed: {tmp_path / 'out'}" in done.stderr


def test_a_decoders_warnings_name_no_file(tmp_path: Path) -> None:
    image = dataset(np.random.default_rng(2).integers(0, 4096, (64, 64)).astype(np.uint16))
    image.compress(JPEG2000Lossless, generate_instance_uid=False)
    image.save_as(tmp_path / "whole.dcm", enforce_file_format=True)
    content = (tmp_path / "whole.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(content[: int(0.97 * len(content))])
    done = run("prepare-image", str(tmp_path / "cut.dcm"), str(tmp_path / "out.png"))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "cut short" in done.stderr
