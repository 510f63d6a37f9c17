"""Trainings killed by SIGKILL: `make audit` strikes fifty times, this sample three."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.system
def test_killed_trainings_end_as_if_they_had_not_been() -> None:
    command = [sys.executable, "-m", "tools.audit", "--kills", "3"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    done = json.loads(ended.stdout)
    assert done["kills"] >= 3
    assert done["trainings"] >= 1
