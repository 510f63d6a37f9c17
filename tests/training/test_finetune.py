"""Pretraining, fine-tuning and prediction from files to files, on a cohort of a few blobs."""

from __future__ import annotations

import json
import logging
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from privrad import config, files
from privrad.privacy import accounting
from privrad.privacy.mechanism import Mechanism
from privrad.training import checkpoint, finetune, predict, pretrain

ARMS = {
    "none": config.Arm(name="eps-0", epsilon=0, recipe="none"),
    "private": config.Arm(name="eps-2", epsilon=2, recipe="private"),
    "matched": config.Arm(name="eps-inf-matched", epsilon=math.inf, recipe="matched"),
    "without_privacy": config.Arm(name="eps-inf", epsilon=math.inf, recipe="without_privacy"),
}
PERFORMANCE = config.Performance(device="cpu", threads=1, physical_batch=16)
PRIVACY = config.Privacy(population=36, expected_batch=12, steps=8, delta=1e-3, views=2, noise="reproducible")
TRAINING = config.Training(without_privacy=config.Recipe(learning_rate=2e-3, batch=16, epochs=2))
LEAKS = ("loss_by", "batch_sizes", "units_per", "images", "units", "seen_of")


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory, public: Any) -> dict[str, Path]:
    """Weights by activation."""
    folder = tmp_path_factory.mktemp("pretrained")
    for activation in ("mish", "relu"):
        pretrain_into(folder / activation, public, activation=activation)
    return {activation: folder / activation / "model.safetensors" for activation in ("mish", "relu")}


def pretrain_into(folder: Path, public: Any, *, activation: str = "mish", epochs: int = 4, **performance: Any) -> None:
    pretrain.run(
        **public.inputs,
        pretraining=config.Pretraining(epochs=epochs, batch=16, learning_rate=4e-3),
        model=config.Model(network="resnet9", width=4, groups=2),
        activation=activation,  # type: ignore[arg-type]
        seed=5,
        performance=PERFORMANCE.model_copy(update=performance),
        out=folder / "model.safetensors",
        report=folder / "training.json",
    )


def finetune_into(
    folder: Path, public: Any, private: Any, initial: Path | None, *, recipe: str, **changes: Any
) -> dict[str, Any]:
    """Run one arm and give its account and certificate."""
    settings: dict[str, Any] = {
        "arm": ARMS[recipe],
        **private.inputs,
        "public_manifest": public.manifest,
        "public_assignment": public.assignment,
        "initial": initial,
        "privacy": PRIVACY,
        "training": TRAINING,
        "model": config.Model(network="resnet9", width=4, groups=2),
        "seed": 0,
        "study_seed": 7,
        "performance": PERFORMANCE,
        "out": folder / "model.safetensors",
        "report": folder / "training.json",
        "certificate": folder / "certificate.json",
    }
    finetune.run(**(settings | changes))
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in ("training", "certificate")}


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_pretraining_learns_and_says_how(pretrained: dict[str, Path], public: Any) -> None:
    account = json.loads((pretrained["mish"].parent / "training.json").read_text())
    assert account["loss_by_epoch"][-1] < account["loss_by_epoch"][0]
    assert min(account["validation_auroc"].values()) > 0.7
    table = pd.read_parquet(public.manifest).merge(pd.read_parquet(public.assignment), on="patient_id")
    labels = table.loc[table["split"] == "train", "effusion_left"]
    assert account["positive_weights"]["effusion_left"] == pytest.approx((1 - labels).sum() / labels.sum())
    assert account["weights_sha256"] == files.sha256(pretrained["mish"])


def test_same_seed_same_bytes(tmp_path: Path, public: Any) -> None:
    for name in ("first", "second"):
        torch.manual_seed(len(name))
        pretrain_into(tmp_path / name, public, epochs=1)
    assert weights(tmp_path / "first") == weights(tmp_path / "second")
    assert (tmp_path / "first/training.json").read_bytes() == (tmp_path / "second/training.json").read_bytes()


def test_the_physical_batch_changes_rounding_alone(tmp_path: Path, public: Any) -> None:
    pretrain_into(tmp_path / "wide", public, epochs=1)
    pretrain_into(tmp_path / "narrow", public, epochs=1, physical_batch=5)
    losses = [
        json.loads((tmp_path / name / "training.json").read_text())["loss_by_epoch"] for name in ("wide", "narrow")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("recipe", ARMS)
def test_every_recipe_repeats_bit_for_bit_under_seeded_noise(
    recipe: str, tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path]
) -> None:
    initial = pretrained[ARMS[recipe].activation]
    for name in ("first", "second"):
        finetune_into(tmp_path / name, public, private, initial, recipe=recipe)
    for file in ("model.safetensors", "training.json", "certificate.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    assert (weights(tmp_path / "first") == initial.read_bytes()) == (recipe == "none")


def test_another_seed_gives_other_weights(
    tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path]
) -> None:
    for seed in (0, 1):
        finetune_into(tmp_path / str(seed), public, private, pretrained["mish"], recipe="private", seed=seed)
    assert weights(tmp_path / "0") != weights(tmp_path / "1")


def test_a_private_run_for_release_keeps_its_secrets(
    tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path]
) -> None:
    release = PRIVACY.model_copy(update={"noise": "release"})
    runs = [
        finetune_into(tmp_path / name, public, private, pretrained["mish"], recipe="private", privacy=release)
        for name in ("first", "second")
    ]
    assert weights(tmp_path / "first") != weights(tmp_path / "second")
    assert not (tmp_path / "first/work").exists()
    text = json.dumps(runs[0]["training"])
    assert not [leak for leak in LEAKS if f'"{leak}' in text]
    certificate = runs[0]["certificate"]
    assert 1.99 < certificate["epsilon"] <= 2
    assert certificate["model"]["weights_sha256"] == files.sha256(tmp_path / "first/model.safetensors")


@pytest.mark.parametrize("recipe", ["matched", "without_privacy"])
def test_unprotected_accounts_keep_private_facts_out_where_noise_is_for_release(
    recipe: str, tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path]
) -> None:
    release = PRIVACY.model_copy(update={"noise": "release"})
    made = finetune_into(tmp_path, public, private, pretrained[ARMS[recipe].activation], recipe=recipe, privacy=release)
    text = json.dumps(made["training"])
    assert not [leak for leak in LEAKS if f'"{leak}' in text]
    assert made["certificate"]["epsilon"] is None
    assert made["certificate"]["protection"].startswith("unprotected")


def test_seeded_private_runs_account_for_what_they_saw(
    tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path]
) -> None:
    made = finetune_into(tmp_path, public, private, pretrained["mish"], recipe="private")
    assert made["training"]["seen_of_the_cohort"]["units"] == 36
    assert 4 < made["training"]["seen_of_the_cohort"]["units_per_batch"]["mean"] < 20
    assert made["certificate"]["epsilon"] is None
    assert made["certificate"]["nominal_epsilon"] == pytest.approx(2, rel=1e-3)


def test_the_matched_arm_does_not_depend_on_the_settings_of_the_guarantee(
    tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path]
) -> None:
    other = PRIVACY.model_copy(update={"delta": 1e-4, "clipping_norm": 0.3, "max_images_per_patient": 9})
    for name, privacy in (("first", PRIVACY), ("second", other)):
        finetune_into(tmp_path / name, public, private, pretrained["mish"], recipe="matched", privacy=privacy)
    for file in ("model.safetensors", "training.json", "certificate.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_a_guarantee_that_cannot_be_stated_stops_the_training_before_its_first_step(
    tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> float:
        raise ValueError("no epsilon")

    def reached(*_: Any) -> None:
        raise AssertionError("a step was taken")

    monkeypatch.setattr(accounting, "prv_epsilon", failing)
    monkeypatch.setattr(Mechanism, "noisy_mean", reached)
    with pytest.raises(ValueError, match="no epsilon"):
        finetune_into(tmp_path, public, private, pretrained["mish"], recipe="private")


def test_progress_counts_steps(
    tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="privrad"):
        pretrain_into(tmp_path / "pretrained", public, epochs=1)
        finetune_into(tmp_path, public, private, pretrained["relu"], recipe="without_privacy")
    assert re.search(r"pretraining \(mish\), steps: \d+ in", caplog.text)
    assert re.search(r"eps-inf, steps: \d+ in", caplog.text)


def test_epsilon_zero_learns_nothing_of_the_cohort(
    tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path]
) -> None:
    made = finetune_into(tmp_path, public, private, pretrained["mish"], recipe="none")
    assert made["certificate"]["epsilon"] == 0
    assert "positive_weights" not in made["training"]
    assert made["certificate"]["protection"] == "nothing learned from the private cohort"


def test_the_record_can_be_the_unit(tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path]) -> None:
    record = PRIVACY.model_copy(update={"unit": "record", "views": 1, "max_images_per_patient": 3, "steps": 2})
    made = finetune_into(tmp_path / "fits", public, private, pretrained["mish"], recipe="private", privacy=record)
    assert made["training"]["seen_of_the_cohort"]["units"] == made["training"]["seen_of_the_cohort"]["images"] > 36
    low = record.model_copy(update={"max_images_per_patient": 2})
    with pytest.raises(ValueError, match="max_images_per_patient 2"):
        finetune_into(tmp_path / "low", public, private, pretrained["mish"], recipe="private", privacy=low)
    assert not (tmp_path / "low/model.safetensors").exists()


def test_training_starts_afresh_without_pretraining(tmp_path: Path, public: Any, private: Any) -> None:
    training = TRAINING.model_copy(update={"positive_weights": "none"})
    changes = {"training": training, "public_manifest": None, "public_assignment": None}
    made = finetune_into(tmp_path, public, private, None, recipe="private", **changes)
    assert made["training"]["initial_sha256"] is None
    assert set(made["training"]["positive_weights"].values()) == {1.0}


def test_positive_weights_can_be_constants(
    tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path]
) -> None:
    constants = {"cardiomegaly": 2.0, "effusion_right": 3.0, "effusion_left": 4.0}
    training = TRAINING.model_copy(update={"positive_weights": constants})
    made = finetune_into(tmp_path / "all", public, private, pretrained["mish"], recipe="private", training=training)
    assert made["training"]["positive_weights"] == constants
    lacking = TRAINING.model_copy(update={"positive_weights": {"cardiomegaly": 2.0}})
    with pytest.raises(ValueError, match="lacks effusion_left, effusion_right"):
        finetune_into(tmp_path / "some", public, private, pretrained["mish"], recipe="private", training=lacking)
    with pytest.raises(ValueError, match="needs the public manifest"):
        finetune_into(tmp_path / "none", public, private, pretrained["mish"], recipe="private", public_manifest=None)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": config.Model(network="resnet9", width=8, groups=2)}, "width 4, and 8 is asked for"),
        ({"model": config.Model(network="resnet18", width=4, groups=2)}, "network resnet9, and resnet18"),
        ({"arm": ARMS["without_privacy"]}, "activation mish, and relu"),
        ({"findings": ("effusion_right", "effusion_left", "cardiomegaly")}, "findings"),
    ],
)
def test_initial_weights_of_another_network_are_refused(
    change: dict[str, Any], named: str, tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path]
) -> None:
    with pytest.raises(ValueError, match=named):
        finetune_into(tmp_path, public, private, pretrained["mish"], recipe="private", **change)


def test_a_diverging_training_is_an_error(
    tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path]
) -> None:
    recipe = config.Recipe(learning_rate=1.0, batch=16, epochs=2)
    broken = checkpoint.load(pretrained["relu"], architecture=architecture("relu"))
    with torch.no_grad():
        broken.head.weight.fill_(1e38)
    checkpoint.save(tmp_path / "broken.safetensors", broken, architecture=architecture("relu"))
    training = TRAINING.model_copy(update={"without_privacy": recipe})
    with pytest.raises(ValueError, match="not finite; lower the learning rate"):
        finetune_into(
            tmp_path, public, private, tmp_path / "broken.safetensors", recipe="without_privacy", training=training
        )
    assert not (tmp_path / "certificate.json").exists()


def architecture(activation: str) -> checkpoint.Architecture:
    return checkpoint.Architecture.of(
        config.Model(network="resnet9", width=4, groups=2),
        activation=activation,
        findings=("cardiomegaly", "effusion_right", "effusion_left"),
    )


def test_predictions_hold_both_held_out_splits(tmp_path: Path, private: Any, pretrained: dict[str, Path]) -> None:
    for name, size in (("first", 16), ("second", 3)):
        predict.run(
            weights=pretrained["relu"],
            **private.inputs,
            model=config.Model(network="resnet9", width=4, groups=2),
            arm=ARMS["without_privacy"],
            seed=3,
            performance=PERFORMANCE.model_copy(update={"physical_batch": size}),
            out=tmp_path / f"{name}.parquet",
        )
    table, other = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("first", "second"))
    manifest = pd.read_parquet(private.manifest).merge(pd.read_parquet(private.assignment), on="patient_id")
    held_out = manifest[manifest["split"] != "train"]
    assert len(table) == 3 * len(held_out)
    assert list(table.columns) == predict.COLUMNS
    truth = held_out.melt(["image_id", "patient_id", "split"], list(private.findings), "finding", "label")
    joined = table.merge(truth, on=["image_id", "finding"], suffixes=("", "_true"))
    assert len(joined) == len(table)
    assert (joined["label"] == joined["label_true"]).all()
    assert (joined["split"] == joined["split_true"]).all()
    assert table["score"].between(0, 1).all()
    assert np.allclose(table["score"], other["score"], atol=1e-5)
    assert table["epsilon"].eq(math.inf).all()
    assert table["seed"].eq(3).all()
    assert table["label"].dtype == np.int8
    assert str(table["bedside"].dtype) == "boolean"


def test_missing_inputs_are_named(tmp_path: Path, public: Any, private: Any, pretrained: dict[str, Path]) -> None:
    short = pd.read_parquet(private.manifest).drop(columns="effusion_left")
    short.to_parquet(tmp_path / "short.parquet")
    with pytest.raises(ValueError, match=r"short\.parquet lacks effusion_left"):
        finetune_into(
            tmp_path, public, private, pretrained["mish"], recipe="private", manifest=tmp_path / "short.parquet"
        )
    with pytest.raises(ValueError, match=r"gone\.parquet cannot be read"):
        finetune_into(
            tmp_path, public, private, pretrained["mish"], recipe="private", assignment=tmp_path / "gone.parquet"
        )
    with pytest.raises(ValueError, match=r"gone\.safetensors cannot be read"):
        finetune_into(tmp_path, public, private, tmp_path / "gone.safetensors", recipe="private")
    nobody = pd.read_parquet(private.assignment).assign(split="test")
    nobody.to_parquet(tmp_path / "nobody.parquet")
    with pytest.raises(ValueError, match=r"split train of .* lists 0 images and none is prepared"):
        finetune_into(
            tmp_path, public, private, pretrained["mish"], recipe="private", assignment=tmp_path / "nobody.parquet"
        )
