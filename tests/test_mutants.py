"""The faults that `make mutants` plants: a sample of them, and what the planting itself must not get wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools import mutants
from tools.mutants import Mutant, TableError

PITFALLS = {
    "shuffled batches accounted as Poisson",
    "fixed or truncated batches; weighted samplers",
    "q, steps or the divisor from the length of private data",
    "mean and sum mixed up, accumulation mis-scaled",
    "NaN or Inf in one sample",
    "empty batch skipped",
    "ranks share a sampling seed, or add noise each",
    "wrong noise scale",
    "a published seed",
    "resume without sampler, noise and ledger state",
    "per-image unit for patients with several images",
    'one patient in two splits, two sites, or in the "public" set',
    "class weights, normalisation, histogram matching over the cohort",
    "hyperparameter search, early stopping, best checkpoint on training data",
    "training loss, gradient norms, batch sizes in logs",
    "augmented views clipped one by one",
    "BatchNorm and other buffers",
    "six runs, one chosen by its results",
    "budget or identity by a hash of the data",
    "a stratified split redone after a patient leaves",
    "resume with the same noise on corrected data",
    "a retrained release after a touched file",
    "K views: bias norms summed per view",
    "checkpoint read by pickle",
    "a unit that exceeds the clipping norm",
    "an accountant that under-reports",
    "a ledger that forgets a charge",
    "a certificate that says more than holds",
}


def planting(*arguments: str) -> tuple[int, dict[str, Any], str]:
    """The exit status, the JSON line and all that was printed."""
    command = [sys.executable, "-m", "tools.mutants", *arguments]
    ended = subprocess.run(command, cwd=mutants.ROOT, capture_output=True, text=True, check=False)
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout.splitlines()[-1]), ended.stdout


def test_every_fault_can_be_planted_and_each_pitfall_has_one() -> None:
    listed = mutants.read(mutants.TABLES)
    for mutant in listed:
        mutants.require_planted(mutant, package=mutants.ROOT / "src" / "privrad")
    assert len(listed) >= 40
    assert {mutant.pitfall for mutant in listed} == PITFALLS


def test_the_sample_is_caught() -> None:
    status, found, printed = planting("--sample")
    assert (status, found["survived"]) == (0, []), printed
    assert found["planted"] == found["caught"] == 3


MODULE = "privacy/attack.py"
LINE = "FALSE_POSITIVE_RATES = (0.001, 0.01, 0.1)"
TEST = "tests/privacy/test_attack.py::test_nothing_is_promised_where_nothing_is_known"
FAULTS = {
    "harmless": "FALSE_POSITIVE_RATES = (0.001, 0.01, 0.10)",
    "broken": "FALSE_POSITIVE_RATES = (0.001, 0.01, no_such_rate)",
    "ends": "raise SystemExit(1)",
}


def written(path: Path, faults: dict[str, str], *, test: str = TEST) -> Path:
    entries = [
        f"[[mutant]]\nname = {json.dumps(name)}\npitfall = ''\nfile = {json.dumps(MODULE)}\n"
        f"line = {json.dumps(LINE)}\nto = {json.dumps(to)}\ntest = {json.dumps(test)}\n"
        for name, to in faults.items()
    ]
    path.write_text("\n".join(entries), encoding="utf-8")
    return path


def test_what_is_no_catch_does_not_count_as_one(tmp_path: Path) -> None:
    """A change that changes nothing, two that break the module, and one whose test fails anyway."""
    failing = tmp_path / "test_failing.py"
    failing.write_text("def test_it() -> None:\n    assert False\n", encoding="utf-8")
    written(tmp_path / "faults.toml", FAULTS)
    written(tmp_path / "more.toml", {"blind": FAULTS["harmless"]}, test=f"{failing}::test_it")
    status, found, printed = planting("--tables", str(tmp_path))
    assert status == 1, printed
    assert (found["planted"], found["caught"], found["survived"]) == (4, 0, ["blind", *sorted(FAULTS)]), printed
    assert "survived  harmless" in printed
    assert "its test fails without it: blind" in printed


PLANTED = Mutant(name="n", pitfall="p", file="f.py", line="    a = 1", to="    a = 2", test="t.py::test_t")


def test_one_whole_line_is_changed() -> None:
    assert PLANTED.planted("x\n    a = 1\ny\n") == "x\n    a = 2\ny\n"
    for text in ("", "a = 1\n", "    a = 1 + 1\n", "    a = 1\n    a = 1\n"):
        with pytest.raises(TableError, match=r"n: f\.py has [02] lines '    a = 1'; give one that it has once"):
            PLANTED.planted(text)


def test_a_table_that_nothing_can_be_planted_from_is_told(tmp_path: Path) -> None:
    package = mutants.ROOT / "src" / "privrad"
    good = mutants.read(mutants.TABLES)[0]
    changed: list[tuple[dict[str, str], str]] = [
        ({"file": "gone.py"}, "has no gone.py; name the file"),
        ({"line": "gone"}, "has 0 lines 'gone'"),
        ({"to": good.line}, "must be one line, and another one"),
        ({"test": "tests/test_mutants.py::test_gone"}, "there is no test tests/test_mutants.py::test_gone"),
        ({"test": "tests/gone.py::test_gone"}, "there is no test"),
    ]
    for change, said in changed:
        with pytest.raises(TableError, match=said):
            mutants.require_planted(Mutant(**{**vars(good), **change}), package=package)
    path = written(tmp_path / "faults.toml", FAULTS)
    for text, said in (
        (path.read_text(encoding="utf-8") * 2, "two faults are named broken"),
        ("[[mutant]]\nname = 'x'\n", "is no table of"),
        ("mutant = 1", "is no table of"),
        ("[[", "is no table of"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(TableError, match=said):
            mutants.read(tmp_path)
