from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.slurm import cluster


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Slurm]:
    """A Slurm for the tests of this session; without its programs, or not as root, skipped, and failed under CI."""
    if reason := cluster.missing():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended from outside; Slurm is stopped"))
    with cluster.running(tmp_path_factory.mktemp("slurm")) as started:
        yield started
