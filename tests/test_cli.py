from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless

from privrad import cli
from privrad.cli import processes
from privrad.privacy.ledger import Budget, Charge, Ledger
from tests.imaging.made import dataset
from tests.imaging.made_scan import body

ROOT = Path(__file__).parents[1]
COMMANDS = [
    "phantom",
    "ingest",
    "locate",
    "prepare",
    "duplicates",
    "split",
    "pretrain",
    "reserve",
    "finetune",
    "predict",
    "evaluate",
    "report",
    "prepare-image",
    "prepare-volume",
    "inspect",
    "stages",
    "provenance",
    "calibrate",
    "account",
    "verify",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert command in capsys.readouterr().out


@pytest.mark.parametrize("command", ["show", "verify"])
def test_the_ledgers_commands_explain_themselves(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["ledger", command, "--help"])
    assert stop.value.code == 0
    assert f"ledger {command}" in capsys.readouterr().out


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, "-m", "privrad.cli", *arguments], env=environment, capture_output=True, text=True
    )


def private_study(folder: Path, *, budget: str) -> Path:
    """The tiny study with a private cohort: two epsilons whose noise is for release."""
    head, tail = (ROOT / "tests/tiny.yaml").read_text().split("      private:\n", 1)
    tail = re.sub(
        r"phantom: .*", f"root: {folder}\n        budget: {budget}", tail.replace("synthetic", "private"), count=1
    )
    text = f"{head}      private:\n{tail}".replace("noise: reproducible", "noise: release")
    path = folder / "study.yaml"
    path.write_text(text.replace("budgets: [2, inf]", "budgets: [1, 2]"))
    return path


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
    done = run("prepare-image", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--size", "10000000000")
    assert done.returncode == 2
    assert done.stderr == "privrad prepare-image: size is 10000000000; give 1 to 8192 pixels\n"


def test_a_decoder_that_does_not_start_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    assert cli.main(["prepare-image", str(tmp_path / "in.png"), str(tmp_path / "out.png")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("privrad prepare-image: the process that decodes files does not start; see why with: ")
    assert error.count("\n") == 1


def test_a_volume_is_prepared_at_the_papers_size_and_window(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(body().T, np.diag([-2.0, -2.5, 4, 1])), tmp_path / "in.nii.gz")
    done = run("prepare-volume", str(tmp_path / "in.nii.gz"), str(tmp_path / "out.nii.gz"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    named = ("--size", "224", "224", "128", "--window", "-150", "250")
    assert cli.main(["prepare-volume", str(tmp_path / "in.nii.gz"), str(tmp_path / "named.nii.gz"), *named]) == 0
    assert (tmp_path / "out.nii.gz").read_bytes() == (tmp_path / "named.nii.gz").read_bytes()
    written: Any = nibabel.load(tmp_path / "out.nii.gz")
    assert written.shape == (224, 224, 128)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("labels.nii.gz", "out.nii.gz"), "label_map: labels.nii.gz: its values are labels, not densities; "),
        (("none", "out.nii.gz"), "missing_file: none: there is no such file; "),
        ((".", "out.nii.gz"), "no_ct_slices: .: "),
        (("labels.nii.gz", "out.png"), "out.png: a prepared volume is NIfTI; "),
        (("labels.nii.gz", "out.nii", "--size", "0", "224", "128"), "size is (0, 224, 128); give columns, rows and "),
        (
            ("labels.nii.gz", "out.nii", "--size", *3 * ["100000000"]),
            "size is (100000000, 100000000, 100000000); give ",
        ),
        (("labels.nii.gz", "out.nii", "--window", "250", "-150"), "window is (250.0, -150.0); give two Hounsfield "),
    ],
)
def test_a_volume_that_is_refused_costs_one_line_and_exit_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    labels = np.arange(1000, dtype=np.uint8).reshape(10, 10, 10) // 100
    nibabel.save(nibabel.Nifti1Image(labels.T, np.diag([2.0, 2, 2, 1])), "labels.nii.gz")
    assert cli.main(["prepare-volume", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"privrad prepare-volume: {said}")
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["labels.nii.gz"]


def test_an_empty_privrad_keys_is_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private_study(tmp_path, budget="{epsilon: 8, delta: 1e-3}")
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


ONE_STEP = ("--delta", "1e-5", "--sample-rate", "1", "--steps", "1")


def test_calibrate_and_account_are_inverse(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["calibrate", "--epsilon", "1", *ONE_STEP, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["noise_multiplier"]
    assert found["noise_multiplier"] == pytest.approx(3.7306, rel=1e-3)
    assert cli.main(["account", "--noise-multiplier", str(found["noise_multiplier"]), *ONE_STEP, "--json"]) == 0
    account = json.loads(capsys.readouterr().out)
    assert account["epsilon"] == pytest.approx(1, rel=1e-3)
    assert account["epsilon"] <= 1 < account["rdp"]
    assert account["prv"] == pytest.approx(1, abs=0.02)
    assert {name: account[name] for name in ("delta", "sample_rate", "steps")} == {
        "delta": 1e-5,
        "sample_rate": 1.0,
        "steps": 1,
    }


def test_an_account_in_words_names_the_accountants(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["account", "--noise-multiplier", "3.7306", *ONE_STEP]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("delta 1e-05", "PLD", "PRV", "Rényi"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["calibrate", "--epsilon", "0", *ONE_STEP], "epsilon 0"),
        (["calibrate", "--epsilon", "-1", *ONE_STEP], "epsilon -1"),
        (["calibrate", "--epsilon", "nan", *ONE_STEP], "epsilon nan"),
        (["calibrate", "--epsilon", "1", *ONE_STEP, "--delta", "1"], "delta 1.0"),
        (["calibrate", "--epsilon", "1", *ONE_STEP, "--sample-rate", "1.5"], "sample_rate 1.5"),
        (["calibrate", "--epsilon", "1", *ONE_STEP, "--steps", "0"], "steps 0"),
        (["account", "--noise-multiplier", "0", *ONE_STEP], "noise_multiplier 0"),
        (["account", "--noise-multiplier", "1", *ONE_STEP, "--delta", "0"], "delta 0"),
        (["account", "--noise-multiplier", "1", "--delta", "1e-5"], "or --study alone"),
        (["account"], "or --study alone"),
    ],
)
def test_numbers_outside_their_range_cost_one_line_and_exit_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    message = capsys.readouterr().err
    assert said in message
    assert len(message.strip().splitlines()) == 1


def test_an_account_of_a_study_is_of_all_its_private_trainings_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = private_study(tmp_path, budget="{epsilon: 8, delta: 1e-3}")
    assert cli.main(["account", "--study", str(study), "--json"]) == 0
    [cost] = json.loads(capsys.readouterr().out)
    assert set(cost["runs"]) == {"tiny/chest/eps-1/seed-0", "tiny/chest/eps-2/seed-0"}
    assert 2 < cost["epsilon"] < 3
    assert (cost["cohort"], cost["unit"], cost["budget"]) == ("tiny_private", "patient", 8.0)
    assert cli.main(["account", "--study", str(study)]) == 0
    assert "2 private trainings together cost epsilon 2." in capsys.readouterr().out
    assert cli.main(["account", "--study", str(ROOT / "tests/tiny.yaml")]) == 0
    assert "no training of this study is charged" in capsys.readouterr().out


def charged(path: Path) -> str:
    """A ledger with one private run; the head of its chain."""
    charge = Charge(
        label="ours/chest/eps-1/seed-0",
        unit="patient",
        noise_multiplier=4.0,
        sample_rate=1.0,
        steps=1,
        delta=1e-5,
        max_images_per_patient=None,
    )
    budget = Budget(cohort="ours", epsilon=3.0, delta=1e-5)
    return Ledger(path).reserve(charge, run_id="a1", budget=budget, declared=[charge], key_file=None).head


def test_ledger_show_tells_what_was_spent_in_words_and_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    charged(ledger)
    assert cli.main(["ledger", "show", "--ledger", str(ledger), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert 0.9 < shown["ours"]["spent_epsilon"] < 1
    assert cli.main(["ledger", "show", "--ledger", str(ledger), "--cohort", "ours"]) == 0
    assert "ours/chest/eps-1/seed-0" in capsys.readouterr().out
    assert cli.main(["ledger", "show", "--ledger", str(ledger), "--cohort", "theirs"]) == 2
    assert "cohort 'theirs' is not in" in capsys.readouterr().err


def test_an_infinite_epsilon_is_a_word_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = tmp_path / "ledger.jsonl"
    facts = {"cohort": "ours", "sensitivity": "private", "label": "ours/chest/eps-inf/seed-0", "run_id": "b1"}
    Ledger(ledger).unprotected(**facts, why="without privacy")
    assert cli.main(["ledger", "show", "--ledger", str(ledger), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert shown["ours"]["spent_epsilon"] == "infinite"


def test_ledger_verify_fails_on_an_edited_line_and_on_a_lost_tail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    head = charged(ledger)
    verify = ["ledger", "verify", "--ledger", str(ledger), "--json"]
    assert cli.main([*verify, "--head", head]) == 0
    assert json.loads(capsys.readouterr().out)["holds"] is True
    whole = ledger.read_text()
    ledger.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    assert cli.main([*verify, "--head", head]) == 1
    assert json.loads(capsys.readouterr().out)["holds"] is False
    ledger.write_text(whole.replace('"noise_multiplier":4.0', '"noise_multiplier":5.0'))
    assert cli.main(verify) == 1
    assert "line 2" in json.loads(capsys.readouterr().out)["why"]
    assert cli.main(["ledger", "show", "--ledger", str(ledger)]) == 2


def test_the_ledger_is_that_of_the_study_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = private_study(tmp_path, budget="{epsilon: 8, delta: 1e-3}")
    study.write_text(study.read_text().replace("seed: 7\n", f"seed: 7\nledger: {tmp_path}/hospital.jsonl\n"))
    assert cli.main(["ledger", "show", "--study", str(study)]) == 0
    assert "no run was entered yet" in capsys.readouterr().out
    assert cli.main(["ledger", "verify", "--study", str(study)]) == 2
    charged(tmp_path / "hospital.jsonl")
    assert cli.main(["ledger", "verify", "--study", str(study)]) == 0
    assert cli.main(["ledger", "show", "--ledger", "elsewhere.jsonl"]) == 2
    assert "ledger elsewhere.jsonl is not there" in capsys.readouterr().err


def test_verify_exits_1_where_a_statement_does_not_hold_and_2_where_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    folder = tmp_path / "chest/finetune/eps-2/seed-0"
    folder.mkdir(parents=True)
    (folder / "certificate.json").write_text('{"epsilon": 2')
    assert cli.main(["verify", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["holds"] is False


def test_what_needs_no_network_does_not_load_one() -> None:
    code = """
import sys
from privrad import cli
from privrad.cli import processes
from privrad.privacy.ledger import Budget, Charge, Ledger
cli.main(["calibrate", "--epsilon", "1", "--delta", "1e-5", "--sample-rate", "1", "--steps", "1"])
cli.main(["ledger", "show", "--study", "tests/tiny.yaml"])
from privrad.training import reserve
sys.exit("torch" in sys.modules)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False).returncode == 0


def in_two_processes(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; from privrad.cli import processes; sys.exit(processes.launch({list(arguments)}, processes=2))"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def test_a_command_runs_in_several_processes_and_its_log_is_the_first_ones(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = in_two_processes("calibrate", "--epsilon", "1", *ONE_STEP, "--log", str(log))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("noise multiplier 3.73") == 2
    assert log.read_text() == ""


def test_bad_input_to_several_processes_ends_in_no_traceback(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = in_two_processes("calibrate", "--epsilon", "0", *ONE_STEP, "--log", str(log))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert 1 <= log.read_text().count("epsilon 0.0 must be above 0") <= 2


def test_a_process_that_is_one_of_several_starts_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert [processes.wanted(number) for number in (1, 2)] == [False, True]
    monkeypatch.setenv("RANK", "0")
    assert not processes.wanted(2)
