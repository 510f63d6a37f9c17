"""Reserving and fine-tuning from files to files, on a cohort of a few blobs."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from privrad import config, files
from privrad.privacy import accounting
from privrad.privacy.mechanism import Mechanism
from privrad.training import checkpoint
from privrad.training import run as runs
from privrad.training.binding import PRIVATE_PARTS

RECIPES = ("none", "private", "matched", "without_privacy")
RELEASE: dict[str, Any] = {"noise": "release"}
LEAKS = ("loss_by", "batch_sizes", "units_per", "images", "units", "seen_of")
Make = Callable[..., Any]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_repeats_bit_for_bit_under_seeded_noise(recipe: str, place: Make) -> None:
    first, second = place(recipe, name="first"), place(recipe, name="second")
    for here in (first, second):
        here.both()
    for file in ("model.safetensors", "training.json", "certificate.json", "reservation.json"):
        assert (first.folder / file).read_bytes() == (second.folder / file).read_bytes()
    assert (first.weights == first.inputs.initial.read_bytes()) == (recipe == "none")


def test_another_seed_gives_other_weights(place: Make) -> None:
    first, second = place(name="first"), place(name="second")
    first.both()
    replace(second, seed=1).both()
    assert first.weights != second.weights


def test_a_private_run_for_release_keeps_its_secrets(place: Make) -> None:
    first, second = place(name="first"), place(name="second")
    made, _ = first.both(privacy=RELEASE), second.both(privacy=RELEASE)
    assert first.weights != second.weights
    text = json.dumps(made["training"])
    assert not [leak for leak in LEAKS if f'"{leak}' in text]
    certificate = made["certificate"]
    assert 1.99 < certificate["epsilon"] <= 2
    assert certificate["model"]["weights_sha256"] == files.sha256(first.folder / "model.safetensors")
    run = runs.find(first.work)[0]
    written = (first.folder / "certificate.json").read_text() + (first.folder / "training.json").read_text()
    assert not [name for name in PRIVATE_PARTS if run.binding.asked[name] in written]
    kept = [path.name for path in first.work.rglob("*")]
    assert "key" not in kept
    assert "state.safetensors" not in kept


@pytest.mark.parametrize("recipe", ["matched", "without_privacy"])
def test_unprotected_accounts_keep_private_facts_out_where_noise_is_for_release(recipe: str, place: Make) -> None:
    made = place(recipe).both(privacy=RELEASE)
    text = json.dumps(made["training"])
    assert not [leak for leak in LEAKS if f'"{leak}' in text]
    assert made["certificate"]["epsilon"] is None
    assert made["certificate"]["protection"].startswith("unprotected")


def test_seeded_private_runs_account_for_what_they_saw(place: Make) -> None:
    made = place().both()
    assert made["training"]["seen_of_the_cohort"]["units"] == 36
    assert 4 < made["training"]["seen_of_the_cohort"]["units_per_batch"]["mean"] < 20
    assert made["certificate"]["epsilon"] is None
    assert made["certificate"]["nominal_epsilon"] == pytest.approx(2, rel=1e-3)


def test_the_matched_arm_does_not_depend_on_the_settings_of_the_guarantee(place: Make) -> None:
    other = {"delta": 1e-4, "clipping_norm": 0.3, "max_images_per_patient": 9}
    first, second = place("matched", name="first"), place("matched", name="second")
    first.both()
    second.both(privacy=other)
    for file in ("model.safetensors", "training.json", "certificate.json"):
        assert (first.folder / file).read_bytes() == (second.folder / file).read_bytes()


def test_a_guarantee_that_cannot_be_stated_stops_the_training_before_its_first_step(
    place: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> float:
        raise ValueError("no epsilon")

    def reached(*_: Any) -> None:
        raise AssertionError("a step was taken")

    here = place()
    here.reserve()
    monkeypatch.setattr(accounting, "prv_epsilon", failing)
    monkeypatch.setattr(Mechanism, "noisy_mean", reached)
    with pytest.raises(ValueError, match="no epsilon"):
        here.finetune()


def test_progress_counts_steps(place: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="privrad"):
        place("without_privacy").both()
    assert re.search(r"eps-inf, steps: \d+ in", caplog.text)


def test_epsilon_zero_learns_nothing_of_the_cohort(place: Make) -> None:
    here = place("none")
    made = here.both()
    assert made["certificate"]["epsilon"] == 0
    assert "positive_weights" not in made["training"]
    assert made["certificate"]["protection"] == "nothing learned from the private cohort"
    assert here.ledger.entries() == ()


def test_the_record_can_be_the_unit_and_too_many_images_of_a_patient_are_refused_before_the_charge(
    place: Make,
) -> None:
    record = {"unit": "record", "views": 1, "max_images_per_patient": 3, "steps": 2}
    made = place(name="fits").both(privacy=record)
    assert made["training"]["seen_of_the_cohort"]["units"] == made["training"]["seen_of_the_cohort"]["images"] > 36
    low = place(name="low")
    with pytest.raises(ValueError, match="max_images_per_patient 2"):
        low.reserve(privacy=record | RELEASE | {"max_images_per_patient": 2})
    assert low.ledger.entries() == ()


def test_training_starts_afresh_without_pretraining(place: Make) -> None:
    here = place()
    here = replace(here, inputs=replace(here.inputs, initial=None, public=None))
    made = here.both(training={"positive_weights": "none"}, pretraining=None)
    assert made["training"]["initial_sha256"] is None
    assert set(made["training"]["positive_weights"].values()) == {1.0}


def test_positive_weights_can_be_constants(place: Make) -> None:
    given = {"cardiomegaly": 2.0, "effusion_right": 3.0, "effusion_left": 4.0}
    made = place().both(training={"positive_weights": given})
    assert made["training"]["positive_weights"] == given


def test_public_weights_need_the_public_cohort(place: Make) -> None:
    here = place()
    with pytest.raises(ValueError, match=r"positive_weights public needs the public manifest"):
        here.reserve(inputs=replace(here.inputs, public=None))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": {"network": "resnet9", "width": 8, "groups": 2}}, "width 4, and 8 is asked for"),
        ({"model": {"network": "resnet18", "width": 4, "groups": 2}}, "network resnet9, and resnet18"),
        ({"findings": ("effusion_right", "effusion_left", "cardiomegaly")}, "findings"),
    ],
)
def test_initial_weights_of_another_network_are_refused(change: dict[str, Any], named: str, place: Make) -> None:
    with pytest.raises(ValueError, match=named):
        place().both(**change)


def test_initial_weights_of_another_activation_are_refused(place: Make, initial: dict[str, Path]) -> None:
    here = place("without_privacy")
    with pytest.raises(ValueError, match="activation mish, and relu"):
        here.both(inputs=replace(here.inputs, initial=initial["mish"]))


def test_a_diverging_training_is_an_error(place: Make, tmp_path: Path) -> None:
    here = place("without_privacy")
    made = checkpoint.Architecture.of(
        config.Model(network="resnet9", width=4, groups=2),
        activation="relu",
        findings=("cardiomegaly", "effusion_right", "effusion_left"),
    )
    broken = checkpoint.load(here.inputs.initial, architecture=made)
    with torch.no_grad():
        broken.get_parameter("head.weight").fill_(1e38)
    checkpoint.save(tmp_path / "broken", broken, architecture=made)
    with pytest.raises(ValueError, match="not finite; lower the learning rate"):
        here.both(inputs=replace(here.inputs, initial=tmp_path / "broken"))
    assert not (here.folder / "certificate.json").exists()


def test_missing_inputs_are_named(place: Make, private: Any, tmp_path: Path) -> None:
    here = place()
    pd.read_parquet(private.manifest).drop(columns="effusion_left").to_parquet(tmp_path / "short.parquet")
    pd.read_parquet(private.assignment).assign(split="test").to_parquet(tmp_path / "nobody.parquet")
    for change, named in (
        ({"manifest": tmp_path / "short.parquet"}, r"short\.parquet lacks effusion_left"),
        ({"assignment": tmp_path / "gone.parquet"}, r"gone\.parquet cannot be read"),
        ({"initial": tmp_path / "gone.safetensors"}, r"gone\.safetensors cannot be read"),
        ({"assignment": tmp_path / "nobody.parquet"}, r"split train of .* lists 0 images and none is prepared"),
    ):
        with pytest.raises(ValueError, match=named):
            here.reserve(inputs=replace(here.inputs, **change))
    assert here.ledger.entries() == ()
