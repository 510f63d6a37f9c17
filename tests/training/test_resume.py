"""Fine-tunings that were interrupted: the same bits and the same charge, or a refusal that says how to go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from privrad import files
from privrad.privacy.ledger import Ledger
from privrad.privacy.mechanism import Mechanism
from privrad.training import finetune, ordinary, planned
from privrad.training import run as runs
from privrad.training.run import Run
from privrad.training.state import State
from tests.training.small import Place, StoppedError, inputs_of

RELEASE: dict[str, Any] = {"privacy": {"noise": "release", "steps": 5}}
Make = Callable[..., Any]
Reserved = Callable[[str], tuple[Any, Any]]


def stop(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, after: int, done: bool = True) -> None:
    """Stop once, at the call of `name` that follows `after` others; where `done`, after that call's work."""
    whole, left = getattr(owner, name), iter(range(after))

    def stopping(*arguments: Any, **settings: Any) -> Any:
        if next(left, None) is not None:
            return whole(*arguments, **settings)
        monkeypatch.setattr(owner, name, whole)
        if done:
            whole(*arguments, **settings)
        raise StoppedError

    monkeypatch.setattr(owner, name, stopping)


def copied(place: Any, name: str) -> Any:
    """The place with all that is in it, at another path."""
    folder = place.folder.parent / name
    shutil.copytree(place.folder, folder)
    return replace(place, folder=folder)


def result(place: Any) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    """Weights, account and certificate, less the ledger's head, which holds the times of entries."""
    account, certificate = (
        json.loads((place.folder / f"{name}.json").read_text()) for name in ("training", "certificate")
    )
    certificate["ledger"] = {**(certificate["ledger"] or {}), "head": None}
    return place.weights, account, certificate


def charges(place: Any) -> list[str]:
    return [entry.kind for entry in place.ledger.entries()]


@pytest.fixture(scope="module")
def reserved(
    tmp_path_factory: pytest.TempPathFactory, public: Any, private: Any, initial: dict[str, Path]
) -> Callable[[str], tuple[Any, Any]]:
    """By recipe: a place where a run is reserved, and a copy of it where the run was never interrupted."""

    @cache
    def make(recipe: str) -> tuple[Any, Any]:
        inputs = inputs_of(recipe, public=public, private=private, initial=initial)
        here = Place(tmp_path_factory.mktemp(recipe) / "reserved", inputs, recipe)
        here.begin(**RELEASE)
        clean = copied(here, "clean")
        clean.finetune(**RELEASE)
        return here, clean

    return make


@pytest.mark.parametrize("steps", [0, 1, 3, 4])
@pytest.mark.parametrize("recipe", ["private", "matched", "without_privacy"])
def test_an_interrupted_run_ends_in_the_same_bits_at_the_same_charge(
    recipe: str, steps: int, reserved: Reserved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, clean = reserved(recipe)
    here = copied(start, str(tmp_path / "here"))
    stop(monkeypatch, State, "keep", after=steps)
    with pytest.raises(StoppedError):
        here.finetune(**RELEASE)
    assert not (here.folder / "model.safetensors").exists()
    here.reserve(**RELEASE)
    taken = counted(monkeypatch)
    here.finetune(**RELEASE)
    assert result(here) == result(clean)
    assert charges(here) == charges(clean)
    assert taken.count("step") == {"private": 5, "matched": 5, "without_privacy": 10}[recipe] - steps - 1


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    taken: list[str] = []
    for owner, name in ((Mechanism, "noisy_mean"), (ordinary, "_step")):
        whole = getattr(owner, name)

        def counting(*arguments: Any, whole: Any = whole, **settings: Any) -> Any:
            taken.append("step")
            return whole(*arguments, **settings)

        monkeypatch.setattr(owner, name, counting)
    return taken


SEALING = [
    (files, "write_json", 0, False),
    (files, "write_json", 0, True),
    (Run, "forget_key", 0, True),
    (Ledger, "finish", 0, False),
    (Ledger, "finish", 0, True),
    (files, "write_json", 1, True),
    (shutil, "copyfile", 0, True),
    (shutil, "copyfile", 2, False),
]


@pytest.mark.parametrize(("owner", "name", "after", "done"), SEALING)
def test_a_run_killed_while_it_is_sealed_is_sealed_the_next_time(
    owner: Any, name: str, after: int, done: bool, reserved: Reserved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, clean = reserved("private")
    here = copied(start, str(tmp_path / "here"))
    stop(monkeypatch, owner, name, after=after, done=done)
    with pytest.raises(StoppedError):
        here.finetune(**RELEASE)
    here.finetune(**RELEASE)
    assert result(here) == result(clean)
    assert charges(here) == charges(clean)
    assert not list(here.work.rglob("key"))
    assert not list(here.work.rglob("state.safetensors"))


def interrupted(place: Any, monkeypatch: pytest.MonkeyPatch, *, steps: int = 2) -> Path:
    """Reserve and train for some steps; the path of the state."""
    place.reserve(**RELEASE)
    stop(monkeypatch, State, "keep", after=steps - 1)
    with pytest.raises(StoppedError):
        place.finetune(**RELEASE)
    found: Path = next(iter(place.work.rglob("state.safetensors")))
    return found


def test_a_checkpoint_cut_short_is_refused_and_without_it_the_run_repeats_at_no_charge(
    place: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place()
    state = interrupted(here, monkeypatch)
    clean = copied(here, "clean")
    clean.finetune(**RELEASE)
    state.write_bytes(state.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"cut short or damaged .* delete it"):
        here.finetune(**RELEASE)
    state.rename(state.with_name(".state.safetensors.as-a-kill-leaves-it"))
    here.finetune(**RELEASE)
    assert {path.name for path in state.parent.iterdir()} == {"run.json", "start.json", *runs.OUTPUTS}
    assert result(here) == result(clean)
    assert charges(here) == charges(clean)


def test_a_checkpoint_of_another_run_is_never_resumed(place: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    here, other = place(name="here"), place(name="other")
    state, foreign = interrupted(here, monkeypatch), interrupted(other, monkeypatch)
    shutil.copyfile(foreign, state)
    with pytest.raises(ValueError, match="belongs to a training with other inputs"):
        here.finetune(**RELEASE)


def test_another_kind_of_processor_is_refused_where_the_noise_is_for_release_and_starts_afresh_elsewhere(
    place: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place()
    interrupted(here, monkeypatch)
    monkeypatch.setattr(finetune, "hardware", lambda _: "an abacus")
    with pytest.raises(ValueError, match=r"was started on .* and would go on on an abacus"):
        here.finetune(**RELEASE)
    seeded, clean = place(name="seeded"), place(name="clean")
    stop(monkeypatch, State, "keep", after=2)
    with pytest.raises(StoppedError):
        seeded.both()
    monkeypatch.setattr(finetune, "hardware", lambda _: "a slide rule")
    seeded.both()
    clean.both()
    assert result(seeded) == result(clean)


@pytest.mark.parametrize("which", ["image", "settings"])
def test_inputs_that_changed_after_the_reservation_are_not_trained_on(which: str, place: Make, private: Any) -> None:
    here = place()
    here.reserve(**RELEASE)
    other = {"inputs": replace(here.inputs, shards=private.shards[:1])}
    change = other if which == "image" else {"training": {"learning_rate": 1e-3}}
    with pytest.raises(
        ValueError, match=r"changed since .*reservation\.json was written; delete it, and the reserve step"
    ):
        here.finetune(**RELEASE | change)


def test_no_step_is_taken_without_the_ledgers_entry(place: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    here = place()
    here.reserve(**RELEASE)
    for path in here.folder.glob("ledger.jsonl*"):
        path.unlink()
    taken = counted(monkeypatch)
    with pytest.raises(ValueError, match=r"ledger\.jsonl does not hold run .* no step is taken"):
        here.finetune(**RELEASE)
    assert not taken


def test_a_lost_key_or_run_is_named(place: Make) -> None:
    here = place()
    run = runs.opened(here.work, here.reserve(**RELEASE))
    run.key_file.write_text("00")
    with pytest.raises(ValueError, match=r"key .* is missing or damaged, so run .* cannot be resumed"):
        here.finetune(**RELEASE)
    run.key_file.unlink()
    with pytest.raises(ValueError, match="and its key is gone"):
        here.reserve(**RELEASE)
    (run.folder / "run.json").write_text("{}")
    with pytest.raises(ValueError, match=r"run\.json is not what the reserve step wrote"):
        here.finetune(**RELEASE)
    run.remove()
    with pytest.raises(ValueError, match=r"has no run .* run the reserve step again"):
        here.finetune(**RELEASE)


def test_a_reservation_of_another_run_or_a_damaged_one_is_refused(place: Make) -> None:
    here = place()
    here.reserve()
    with pytest.raises(ValueError, match="is for test/chest/eps-2/seed-0, not for test/chest/eps-2/seed-1"):
        replace(here, seed=1).finetune()
    for text in ("", "[]", "{}"):
        (here.folder / "reservation.json").write_text(text)
        with pytest.raises(ValueError, match=r"cannot be read .* run the reserve step again"):
            here.finetune()


def test_a_run_is_held_to_its_charge(place: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    here = place()
    here.reserve(**RELEASE)
    charged = planned.charge_of
    monkeypatch.setattr(
        "privrad.training.finetune.charge_of",
        lambda job: replace(charged(job), noise_multiplier=0.9 * charged(job).noise_multiplier),
    )
    with pytest.raises(ValueError, match="with other settings"):
        here.finetune(**RELEASE)


def test_a_copy_of_a_work_folder_trains_no_second_model(place: Make, tmp_path: Path) -> None:
    here = place()
    here.reserve(**RELEASE)
    copied = tmp_path / "copied"
    shutil.copytree(here.work, copied)
    here.finetune(**RELEASE)
    shutil.rmtree(here.work)
    shutil.copytree(copied, here.work)
    with pytest.raises(ValueError, match=r"ended on .*its one charge pays for one training"):
        here.finetune(**RELEASE)
