"""Reserving: what is charged, what is copied, what is refused, and that nothing is lost by it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privrad.imaging.shards import open_shards, write_shard
from privrad.privacy.ledger import Ledger
from privrad.training import run as runs
from privrad.training.binding import Inputs
from privrad.training.lock import locked
from tests.training.small import StoppedError

RELEASE: dict[str, Any] = {"privacy": {"noise": "release", "steps": 2}}
PAID: dict[str, Any] = {**RELEASE, "spend": True}
Make = Callable[..., Any]


def kinds(place: Any) -> list[str]:
    return [entry.kind for entry in place.ledger.entries()]


def corrected(inputs: Inputs, folder: Path, *, image: int = 0) -> Inputs:
    """The inputs with one pixel of one image changed."""
    folder.mkdir()
    paths = []
    for number, path in enumerate(inputs.shards):
        images = open_shards([path])
        pixels = images.take(np.arange(len(images))).copy()
        if not number:
            pixels[image, 3, 3] ^= 1
        paths.append(folder / path.name)
        write_shard(paths[-1], pixels=pixels, image_ids=images.image_ids, refused={})
    return replace(inputs, shards=paths)


def test_a_run_for_release_is_charged_once_and_copied_from_then_on(place: Make) -> None:
    here = place()
    run_id = here.reserve(**RELEASE)
    made = here.finetune(**RELEASE)
    first, entries = here.weights, kinds(here)
    assert made["certificate"]["ledger"]["run_id"] == run_id
    for name in ("model.safetensors", "training.json", "certificate.json", "reservation.json"):
        (here.folder / name).unlink()
    assert here.reserve(**RELEASE) == run_id
    assert here.finetune(**RELEASE) == made
    assert here.weights == first
    assert kinds(here) == entries


def test_the_first_reservation_declares_every_private_run_of_the_study(place: Make) -> None:
    here = place()
    here.reserve(budgets=[2, 5], seeds=[0, 1], **RELEASE)
    assert kinds(here) == ["budget", "declare", "reserve"]
    declared = here.ledger.entries()[1].body["runs"]
    assert [run["label"] for run in declared] == [
        f"test/chest/eps-{epsilon}/seed-{seed}" for epsilon in (2, 5) for seed in (0, 1)
    ]
    first = here.ledger.entries()[2].body["run_id"]
    other = replace(here, seed=1)
    receipt = here.ledger.holds(other.reserve(budgets=[2, 5], seeds=[0, 1], **RELEASE))
    assert [entry.kind for entry in here.ledger.entries()[3:]] == ["reserve"]
    assert receipt.declared
    assert receipt.spent_epsilon == here.ledger.holds(first).spent_epsilon > 5


def test_the_work_folder_can_be_read_by_its_owner_alone_and_results_hold_no_hash_of_the_data(place: Make) -> None:
    here = place()
    run = runs.opened(here.work, here.reserve(**RELEASE))
    for folder in (here.folder / "work", here.work, run.folder):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in run.folder.iterdir()} == {0o600}
    assert run.key_file.exists()
    told = (here.folder / "reservation.json").read_text()
    assert json.loads(told).keys() == {"label", "run_id"}
    assert not [value for value in run.binding.asked.values() if value in told]


def test_a_corrected_image_is_another_run_which_is_not_charged_unasked(place: Make, tmp_path: Path) -> None:
    here = place()
    first = here.reserve(**RELEASE)
    entries, other = kinds(here), corrected(here.inputs, tmp_path / "corrected", image=image_in_training(here.inputs))
    with pytest.raises(ValueError, match=r"since then training images changed.*spend: \[eps-2/seed-0\]"):
        here.reserve(inputs=other, **RELEASE)
    assert kinds(here) == entries
    assert [run.run_id for run in runs.find(here.work)] == [first]
    second = here.reserve(inputs=other, **PAID)
    assert second != first
    assert not here.ledger.holds(second).declared
    made = here.finetune(inputs=other, **PAID)
    assert made["certificate"]["cohort_so_far"]["epsilon"] > made["certificate"]["epsilon"]
    assert here.reserve(inputs=other, **PAID) == second
    assert here.reserve(**RELEASE) == first
    assert kinds(here) == [*entries, "reserve", "start", "finish"]


def image_in_training(inputs: Inputs) -> int:
    """The place in the first shard of an image that is trained on."""
    import pandas as pd

    table = pd.read_parquet(inputs.manifest).merge(pd.read_parquet(inputs.assignment), on="patient_id")
    trained = set(table.loc[table["split"] == "train", "image_id"])
    return next(place for place, name in enumerate(open_shards(inputs.shards[:1]).image_ids) if name in trained)


def test_a_corrected_image_that_is_not_trained_on_changes_nothing(place: Make, tmp_path: Path) -> None:
    here = place()
    names = open_shards(here.inputs.shards[:1]).image_ids
    import pandas as pd

    table = pd.read_parquet(here.inputs.manifest).merge(pd.read_parquet(here.inputs.assignment), on="patient_id")
    held_out = set(table.loc[table["split"] == "test", "image_id"])
    first = here.reserve(**RELEASE)
    image = next(place for place, name in enumerate(names) if name in held_out)
    assert here.reserve(inputs=corrected(here.inputs, tmp_path / "other", image=image), **RELEASE) == first


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"training": {"learning_rate": 1e-3}}, "settings"),
        ({"study_seed": 8}, "seeds"),
        ({"training": {"positive_weights": "none"}}, "positive weights, settings"),
        ({"performance": {"threads": 2}}, "threads"),
        ({"performance": {"processes": 2}}, "processes"),
    ],
)
def test_an_unfinished_run_of_other_settings_is_not_taken(change: dict[str, Any], named: str, place: Make) -> None:
    here = place()
    first = here.reserve(**RELEASE)
    with pytest.raises(ValueError, match=f"charged before, as run {first}, and since then {named} changed"):
        here.reserve(**RELEASE | change)
    assert here.reserve(**RELEASE) == first


def test_a_finished_run_is_the_same_on_another_machine(place: Make) -> None:
    here = place()
    first = here.reserve(**RELEASE)
    here.finetune(**RELEASE)
    assert here.reserve(**RELEASE, performance={"threads": 2}) == first
    here.finetune(**RELEASE, performance={"threads": 2})


def test_a_budget_that_is_spent_refuses_and_leaves_nothing_behind(place: Make) -> None:
    here = place()
    cohort = {"budget": {"epsilon": 2.1, "delta": 1e-3}}
    with pytest.raises(ValueError, match=r"above its budget of 2.1"):
        here.reserve(cohort=cohort, seeds=[0, 1], **RELEASE)
    assert here.ledger.entries() == ()
    assert runs.find(here.work) == []
    assert not (here.folder / "reservation.json").exists()


def test_a_label_that_the_ledger_knows_from_a_lost_work_folder_is_not_charged_unasked(place: Make) -> None:
    here = place()
    first = here.reserve(**RELEASE)
    shutil.rmtree(here.work)
    with pytest.raises(ValueError, match=f"as run {first} .* set spend: true"):
        here.reserve(**RELEASE)
    assert runs.find(here.work) == []
    assert here.reserve(**PAID) != first


def test_a_reservation_killed_before_its_entry_costs_nothing_and_after_it_is_found_again(
    place: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here, whole = place(), Ledger.reserve

    def before(*_: Any, **__: Any) -> None:
        raise StoppedError

    def after(*arguments: Any, **settings: Any) -> None:
        whole(*arguments, **settings)
        raise StoppedError

    other = corrected(here.inputs, tmp_path / "corrected", image=image_in_training(here.inputs))
    monkeypatch.setattr(Ledger, "reserve", before)
    with pytest.raises(StoppedError):
        here.reserve(inputs=other, **RELEASE)
    monkeypatch.setattr(Ledger, "reserve", after)
    with pytest.raises(StoppedError):
        here.reserve(**RELEASE)
    monkeypatch.setattr(Ledger, "reserve", whole)
    run_id = here.reserve(**RELEASE)
    assert [entry.body["run_id"] for entry in here.ledger.entries() if entry.kind == "reserve"] == [run_id]


def test_unprotected_runs_are_entered_as_such(place: Make) -> None:
    for recipe, why in (("private", "seeded noise"), ("matched", "without privacy"), ("without_privacy", None)):
        here = replace(place(recipe), folder=place().folder)
        assert here.reserve() == here.reserve()
        entry = here.ledger.entries()[-1]
        assert entry.kind == "unprotected"
        assert entry.body["why"] == (why or "without privacy")
    assert len(here.ledger.entries()) == 3
    replace(place("none"), folder=here.folder).reserve()
    assert len(here.ledger.entries()) == 3


def test_a_work_folder_in_use_names_its_holder(place: Make) -> None:
    import os

    here = place()
    with locked(here.work), pytest.raises(ValueError, match=rf"in use by process {os.getpid()} on .*wait"):
        here.reserve(**RELEASE)
    here.reserve(**RELEASE)


def test_the_key_follows_from_secret_and_what_it_is_bound_to() -> None:
    one = runs.run_key(bytes(32), bound_to=b"a")
    assert one == runs.run_key(bytes(32), bound_to=b"a")
    assert len({one, runs.run_key(bytes(32), bound_to=b"b"), runs.run_key(bytes(31) + b"1", bound_to=b"a")}) == 3
    with pytest.raises(ValueError, match="31 bytes"):
        runs.run_key(bytes(31), bound_to=b"")
