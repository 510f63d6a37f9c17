from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"system": ("system", "versions"), "slurm": ("slurm",)}
"""Where `make test-system` and `make test-slurm` look."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that no target of the Makefile would run."""
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        for marker, folders in FOLDERS.items():
            if item.get_closest_marker(marker) and folder not in folders:
                raise pytest.UsageError(
                    f"{item.nodeid} is marked {marker}; move it to tests/{' or tests/'.join(folders)}"
                )


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
