from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real radiographs, named by PRIVRAD_REAL_DATA; without it a test is skipped, and fails under CI."""
    folder = Path(os.environ.get("PRIVRAD_REAL_DATA", ROOT / "../shared/data")).resolve()
    if not folder.is_dir():
        reason = f"PRIVRAD_REAL_DATA = {folder}: no such folder; set it to the folder of real radiographs"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
