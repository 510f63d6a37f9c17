"""Hostile files made by structure: each gives an image or a reason, and harms nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from privrad.imaging.task import Task
from privrad.imaging.worker import Worker
from tools import fuzz
from tools.fuzz_dicom import baseline_jpeg
from tools.fuzz_inputs import KINDS, made

ROOT = Path(__file__).parents[2]
COUNT = 5000


def test_thousands_of_hostile_files(real_data: Path) -> None:
    command = [sys.executable, "-m", "tools.fuzz", str(COUNT), "--seed", "1", "--real", str(real_data / "dicom")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert (done.returncode, found["inputs"], found["faults"]) == (0, COUNT, [])
    assert found["slowest_s"] <= fuzz.SECONDS
    assert found["peak_gib"] * 2**30 <= fuzz.MEMORY
    for name, outcomes in found["outcomes"].items():
        assert outcomes["image"] > 0.03 * sum(outcomes.values()), name
        assert len(outcomes) >= 4, name


def test_same_seed_same_files_other_seed_other_files() -> None:
    for number in range(60):
        assert made(3, number) == made(3, number)
    drawn = [made(3, number) for number in range(60)]
    assert {name for name, _, _ in drawn} == set(KINDS)
    assert len({str(content) for _, _, content in drawn}) > 55
    assert drawn != [made(4, number) for number in range(60)]


def test_one_input_alone_is_what_it_was_among_others() -> None:
    among, alone = fuzz.run(4, seed=5), [fuzz.run(4, seed=5, only=number) for number in range(4)]
    together = {name: sum((one.outcomes[name] for one in alone), type(among.outcomes[name])()) for name in KINDS}
    assert together == among.outcomes
    assert not among.faults


def test_what_should_not_be_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(baseline_jpeg())
    (tmp_path / "text").write_text("no picture")
    with Worker(fuzz.RADIOGRAPH) as one:
        for name, shape, known, outcome, faults in (
            ("picture", (32, 32), fuzz.reasons(), "image", 0),
            ("picture", (32, 33), fuzz.reasons(), "image", 1),
            ("text", (32, 32), fuzz.reasons(), "unknown_format", 0),
            ("text", (32, 32), frozenset({"other"}), "unknown_format", 1),
        ):
            found = fuzz.read(one, tmp_path / name, shape=shape, known=known)
            assert (found[0], len(found[1])) == (outcome, faults)
    with Worker(Task(0)) as one:
        assert fuzz.read(one, tmp_path / "text", shape=(0, 0), known=fuzz.reasons())[0] == "escaped"
