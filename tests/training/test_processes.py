"""Fine-tuning in two processes started by torchrun, joined by gloo on the loopback interface."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.training.small import Place, draw, initial_weights, inputs_of
from tests.training.two_processes import RECORDS, RELEASE, SEEDED

ROOT = Path(__file__).parents[2]
ALONE: dict[str, Any] = {"privacy": RECORDS}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where both processes have trained without a stop; beside it one where they were stopped and resumed."""
    folder = tmp_path_factory.mktemp("processes")
    public, private = (draw(folder / role, patients=40, seed=seed) for seed, role in enumerate(("public", "private")))
    (folder / "initial").mkdir()
    inputs = inputs_of("private", public=public, private=private, initial=initial_weights(folder / "initial"))
    clean = Place(folder / "clean", inputs)
    for name, settings in (("clean", SEEDED), ("stopped", SEEDED), ("release", RELEASE)):
        replace(clean, folder=folder / name).reserve(**settings)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [*torchrun, "-m", "tests.training.two_processes", str(folder)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    return clean


def weights(place: Place) -> dict[str, Any]:
    return load_file(place.folder / "model.safetensors")


def test_two_processes_end_as_one_that_was_fed_the_same_batches(trained: Place) -> None:
    """Batches and noise follow from the key and the step alone; only the order of summation differs."""
    alone = replace(trained, folder=trained.folder.with_name("alone"))
    alone.both(**ALONE)
    found, expected, started = weights(trained), weights(alone), load_file(alone.inputs.initial or "")
    for name, value in found.items():
        assert np.allclose(value, expected[name], rtol=1e-4, atol=1e-6), name
    assert max(float(np.abs(value - started[name]).max()) for name, value in expected.items()) > 1e-3


def test_two_processes_that_were_stopped_end_in_the_same_bits(trained: Place) -> None:
    stopped = replace(trained, folder=trained.folder.with_name("stopped"))
    for file in ("model.safetensors", "training.json", "certificate.json"):
        assert (stopped.folder / file).read_bytes() == (trained.folder / file).read_bytes()


def test_all_processes_hold_the_same_weights_after_every_step(trained: Place) -> None:
    one, other = ((trained.folder.parent / f"rank-{rank}").read_text().splitlines() for rank in range(2))
    assert one == other
    assert len(set(one)) == 4


def test_the_number_of_processes_must_be_the_studys(trained: Place) -> None:
    here = replace(trained, folder=trained.folder.with_name("wrong"))
    here.reserve(**SEEDED)
    with pytest.raises(ValueError, match=r"performance\.processes 2, and 1 started; .*torchrun"):
        here.finetune(**SEEDED)
