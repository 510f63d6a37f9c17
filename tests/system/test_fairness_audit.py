"""Differences between groups planted in simulated test sets: `make audit` plants hundreds, this sample a few."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from privrad.evaluation.estimates import ALL
from tools import audit_fairness
from tools.audit_fairness import Size

ROOT = Path(__file__).parents[2]


@pytest.mark.system
def test_a_planted_difference_is_found_and_none_is_seen_where_none_is() -> None:
    told = audit_fairness.audit(20, size=Size(redraws=300), difference=0.1, seed=1)
    assert list(told["found"]) == ["age [80,100)"]
    assert told["power"] >= 0.7
    assert told["fwer"] <= 0.2


@pytest.mark.system
def test_the_command_prints_one_json_line_and_fails_where_too_little_is_found() -> None:
    command = [sys.executable, "-m", "tools.audit_fairness", "--cohorts", "4", "--difference", "0.001"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert told["power"] < 0.9
    assert (told["cohorts"], told["difference"], told["patients"]) == (4, 0.001, 400)


@pytest.mark.system
def test_the_difference_is_planted_as_it_is_said() -> None:
    size = Size(patients=40_000)
    test = audit_fairness.draw(size, np.random.default_rng(2), planted=("age", "[80,100)"), difference=0.1)
    wrong = np.mean([(scores >= 0.5) != labels for _, scores, labels in test.scored.values()], axis=0)
    old = test.members["age", "[80,100)"]
    assert wrong[old].mean() - wrong[~old].mean() == pytest.approx(0.1, abs=0.01)
    female = test.members["sex", "F"]
    assert wrong[female].mean() == pytest.approx(wrong[~female].mean(), abs=0.01)
    assert np.mean(audit_fairness.WRONG) == pytest.approx(wrong[test.members[ALL] & ~old].mean(), abs=0.01)
