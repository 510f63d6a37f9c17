"""Pretraining from files to files, on a cohort of a few blobs."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from privrad import config, files
from privrad.training import ordinary, pretrain
from tests.training.small import StoppedError

MODEL = config.Model(network="resnet9", width=4, groups=2)


def pretrain_into(folder: Path, public: Any, *, epochs: int = 1, work: Path | None = None, **performance: Any) -> None:
    settings = {"device": "cpu", "threads": 1, "physical_batch": 16, "checkpoint_minutes": 0, **performance}
    pretrain.run(
        **public.inputs,
        pretraining=config.Pretraining(epochs=epochs, batch=16, learning_rate=4e-3),
        model=MODEL,
        activation="mish",
        seed=5,
        performance=config.Performance(**settings),
        work=work or folder / "work",
        out=folder / "model.safetensors",
        report=folder / "training.json",
    )


def account(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "training.json").read_text())
    return told


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_pretraining_learns_and_says_how(tmp_path: Path, public: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="privrad"):
        pretrain_into(tmp_path, public, epochs=4)
    told = account(tmp_path)
    assert told["loss_by_epoch"][-1] < told["loss_by_epoch"][0]
    assert min(told["validation_auroc"].values()) > 0.7
    table = pd.read_parquet(public.manifest).merge(pd.read_parquet(public.assignment), on="patient_id")
    labels = table.loc[table["split"] == "train", "effusion_left"]
    assert told["positive_weights"]["effusion_left"] == pytest.approx((1 - labels).sum() / labels.sum())
    assert told["weights_sha256"] == files.sha256(tmp_path / "model.safetensors")
    assert re.search(r"pretraining \(mish\), steps: \d+ in", caplog.text)


def test_same_seed_same_bytes(tmp_path: Path, public: Any) -> None:
    for name in ("first", "second"):
        torch.manual_seed(len(name))
        pretrain_into(tmp_path / name, public)
    assert weights(tmp_path / "first") == weights(tmp_path / "second")
    assert (tmp_path / "first/training.json").read_bytes() == (tmp_path / "second/training.json").read_bytes()


def test_the_physical_batch_changes_rounding_alone(tmp_path: Path, public: Any) -> None:
    pretrain_into(tmp_path / "wide", public)
    pretrain_into(tmp_path / "narrow", public, physical_batch=5)
    assert account(tmp_path / "wide")["loss_by_epoch"] == pytest.approx(
        account(tmp_path / "narrow")["loss_by_epoch"], rel=1e-3
    )


def stop_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the next training stop as if killed in its step `steps`, once."""
    whole, taken = ordinary._step, iter(range(steps))

    def step(*arguments: Any, **settings: Any) -> float:
        if next(taken, None) is None:
            monkeypatch.setattr(ordinary, "_step", whole)
            raise StoppedError
        return whole(*arguments, **settings)

    monkeypatch.setattr(ordinary, "_step", step)


@pytest.mark.parametrize("steps", [1, 4, 5, 9])
def test_an_interrupted_pretraining_ends_in_the_same_bytes(
    steps: int, tmp_path: Path, public: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain_into(tmp_path / "clean", public, epochs=2)
    stop_after(steps, monkeypatch)
    with pytest.raises(StoppedError):
        pretrain_into(tmp_path / "resumed", public, epochs=2)
    assert (tmp_path / "resumed/work/state.safetensors").exists()
    assert not (tmp_path / "resumed/model.safetensors").exists()
    pretrain_into(tmp_path / "resumed", public, epochs=2)
    assert weights(tmp_path / "resumed") == weights(tmp_path / "clean")
    assert account(tmp_path / "resumed") == account(tmp_path / "clean")
    assert not (tmp_path / "resumed/work/state.safetensors").exists()


def test_a_checkpoint_of_other_settings_is_not_resumed(
    tmp_path: Path, public: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pretrain_into(tmp_path / "clean", public, epochs=1)
    stop_after(4, monkeypatch)
    with pytest.raises(StoppedError):
        pretrain_into(tmp_path / "other", public, epochs=2)
    with caplog.at_level(logging.INFO, logger="privrad"):
        pretrain_into(tmp_path / "other", public, epochs=1)
    assert "training afresh" in caplog.text
    assert weights(tmp_path / "other") == weights(tmp_path / "clean")
