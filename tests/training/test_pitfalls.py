"""The known ways in which a training loses the guarantee of its engine, each where it would happen."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from torch import nn

from privrad import config
from privrad.training import binding, checkpoint, loss, ordinary, steps
from privrad.training import run as runs
from privrad.training.binding import Binding
from privrad.training.state import State
from tests.training.small import FINDINGS, Cohort

RELEASE: dict[str, Any] = {"privacy": {"noise": "release", "steps": 2}}
Make = Callable[..., Any]
BINDING = Binding(asked={"training images": "ab" * 32, "settings": "cd" * 32, "seeds": "0"}, machinery={"engine": "1"})


def test_a_corrected_label_is_another_run(place: Make, private: Cohort, tmp_path: Path) -> None:
    here = place()
    here.reserve(**RELEASE)
    table = pd.read_parquet(private.manifest)
    assigned = pd.read_parquet(private.assignment)
    patient = assigned.loc[assigned["split"] == "train", "patient_id"].iloc[0]
    row = table.index[table["patient_id"] == patient][0]
    table.loc[row, FINDINGS[0]] = 1 - table.loc[row, FINDINGS[0]]
    table.to_parquet(tmp_path / "corrected.parquet", index=False)
    with pytest.raises(ValueError, match="since then patients and labels changed"):
        here.reserve(inputs=replace(here.inputs, manifest=tmp_path / "corrected.parquet"), **RELEASE)


def test_an_unfinished_release_does_not_go_on_under_another_engine(
    place: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place()
    here.reserve(**RELEASE)
    monkeypatch.setattr(binding, "engine_sha256", lambda: "another")
    with pytest.raises(ValueError, match="since then engine changed"):
        here.reserve(**RELEASE)


def test_the_key_of_a_release_is_bound_to_its_data_and_its_start(tmp_path: Path) -> None:
    start: dict[str, Any] = {"hardware": "an abacus", "methods": {"stem": "loop"}}

    def key(number: int, *, bound: Binding = BINDING, methods: dict[str, str] | None = None) -> bytes:
        run = runs.create(tmp_path / str(number), run_id="r", binding=bound, secret=bytes(32))
        session: Any = type("Session", (), {"run": run})
        return steps._run_key(session, start | ({} if methods is None else {"methods": methods}))

    corrected = replace(BINDING, asked={**BINDING.asked, "training images": "ef" * 32})
    engine = replace(BINDING, machinery={"engine": "2"})
    keys = [key(0), key(1, bound=corrected), key(2, bound=engine), key(3, methods={"stem": "gram"})]
    assert len(set(keys)) == 4
    assert key(4) == keys[0]


def test_the_secret_of_a_release_is_drawn(place: Make) -> None:
    secrets = set()
    for name in ("first", "second"):
        here = place(name=name)
        secrets.add(runs.opened(here.work, here.reserve(**RELEASE)).secret())
    assert len(secrets) == 2


def test_hashes_of_private_data_are_keyed() -> None:
    one, other = bytes(32), bytes(range(32))
    assert BINDING.data_hmacs(one).keys() == {"training images"}
    hmacs = [BINDING.data_hmacs(key)["training images"] for key in (one, other)]
    for told in (hmacs, [BINDING.keyed(key, kind="run") for key in (one, other)]):
        assert told[0] != told[1]
        assert told[0] not in BINDING.asked.values()


def test_class_weights_follow_from_the_public_training_split_alone(public: Cohort, tmp_path: Path) -> None:
    table, assigned = pd.read_parquet(public.manifest), pd.read_parquet(public.assignment)
    trained = table["patient_id"].isin(assigned.loc[assigned["split"] == "train", "patient_id"])
    for finding in FINDINGS:
        table.loc[~trained, finding] = 1 - table.loc[~trained, finding]
    table.to_parquet(tmp_path / "manifest.parquet", index=False)
    arm: Any = type("Arm", (), {"recipe": "private"})
    weights = [
        loss.positive_weights(arm, training=config.Training(), findings=FINDINGS, public=(manifest, public.assignment))
        for manifest in (public.manifest, tmp_path / "manifest.parquet")
    ]
    assert weights[0] == weights[1]
    assert set(weights[0].values()) != {1.0}


class Trap:
    """What runs when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.sprung),)


def test_a_pickle_is_never_opened(tmp_path: Path, model: config.Model) -> None:
    path, sprung = tmp_path / "weights", tmp_path / "sprung"
    path.write_bytes(pickle.dumps(Trap(sprung), protocol=2))
    architecture = checkpoint.Architecture.of(model, activation="mish", findings=FINDINGS)
    network = nn.Linear(2, 1)
    optimiser = ordinary.optimiser(network, learning_rate=0.1)
    for read in (
        lambda: checkpoint.load(path, architecture=architecture),
        lambda: State(path, owner="a").restore(network, optimiser),
    ):
        with contextlib.suppress(Exception):
            read()
        assert not sprung.exists()
        with pytest.raises(ValueError, match=r"cannot be read|cut short or damaged"):
            read()
