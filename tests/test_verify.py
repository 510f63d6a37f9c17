"""What certificates state is recomputed: an honest study holds, and any value that is changed shows."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from privrad import files, verify
from privrad.privacy import accounting, certificate
from privrad.privacy.ledger import Budget, Charge, Ledger
from privrad.privacy.plan import Plan

NETWORK = {"network": "resnet9", "width": 4, "groups": 2}
PRIVACY: dict[str, Any] = {"unit": "patient", "population": 50, "expected_batch": 5, "steps": 4, "delta": 1e-3}
PRIVACY |= {"clipping_norm": 0.7, "clipping": "opacus", "precision": "float32", "views": 1}
PRIVACY |= {"max_images_per_patient": None, "noise": "release"}
STATED = ("data.", "engine_sha256", "versions.", "not_covered.")
"""Where a changed value does not show, as the outcome says, beside remarks."""


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """The accountants, each number computed once."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("epsilon", "rdp_epsilon", "prv_epsilon", "patient_curve", "attack"):
            patch.setattr(accounting, name, functools.cache(getattr(accounting, name)))
        yield


class Hospital:
    """A ledger and the results of one study, made as trainings make them."""

    def __init__(self, root: Path) -> None:
        self.ledger = root / "work" / "ledger.jsonl"
        self.results = root / "results" / "study"
        self.budget = Budget(cohort="ours", epsilon=50.0, delta=1e-3)

    def folder(self, arm: str) -> Path:
        return self.results / "chest" / "finetune" / arm / "seed-0"

    def charge(self, arm: str, plan: Plan) -> Charge:
        return Charge(
            label=f"study/chest/{arm}/seed-0",
            unit=plan.unit,
            noise_multiplier=plan.noise_multiplier,
            sample_rate=plan.sample_rate,
            steps=plan.steps,
            delta=plan.delta,
            max_images_per_patient=plan.max_images_per_patient,
        )

    def private(self, arm: str, *, declared: tuple[str, ...] = (), **changes: Any) -> None:
        """Reserve, train and certify one private run for release."""
        privacy = PRIVACY | changes
        plan, held = self.plan(arm, privacy), Ledger(self.ledger)
        charges = [self.charge(name, self.plan(name, privacy)) for name in (arm, *declared)]
        held.reserve(charges[0], run_id=f"run-{arm}", budget=self.budget, declared=charges, key_file=None)
        receipt = held.holds(f"run-{arm}")
        model = self.write(arm, recipe="private")
        settings = {"privacy": privacy, "training": {"learning_rate": 3e-3}}
        data = {"training images": "ab" * 32}
        self.certify(arm, certificate.protected(plan, model=model, receipt=receipt, data=data, settings=settings))
        held.finish(f"run-{arm}")

    def seeded(self, arm: str) -> None:
        """The same with seeded noise, on a drawn cohort."""
        privacy = PRIVACY | {"noise": "reproducible"}
        label, free = f"study/chest/{arm}/seed-0", {"cohort": "drawn", "sensitivity": "synthetic"}
        receipt = Ledger(self.ledger).unprotected(**free, label=label, run_id=f"run-{arm}", why="seeded noise")
        plan, model = self.plan(arm, privacy), self.write(arm, recipe="private")
        settings = {"privacy": privacy, "training": {"learning_rate": 3e-3}}
        self.certify(arm, certificate.protected(plan, model=model, receipt=receipt, data={}, settings=settings))

    def unprotected(self, arm: str, *, recipe: str, sensitivity: str) -> None:
        """A run that protects nobody."""
        label, cohort = f"study/chest/{arm}/seed-0", "ours" if sensitivity == "private" else "drawn"
        entered = {"cohort": cohort, "sensitivity": sensitivity, "label": label, "run_id": f"run-{arm}"}
        receipt = Ledger(self.ledger).unprotected(**entered, why="without privacy")
        model = self.write(arm, recipe=recipe)
        self.certify(arm, certificate.without("unprotected", model=model, receipt=receipt))

    def untrained(self) -> None:
        model = self.write("eps-0", recipe="none")
        self.certify(
            "eps-0", certificate.without("untrained", model=model | {"initial_sha256": model["weights_sha256"]})
        )

    @staticmethod
    def plan(arm: str, privacy: dict[str, Any]) -> Plan:
        known = {name: value for name, value in privacy.items() if name in Plan.__dataclass_fields__}
        return Plan(**known, epsilon=float(arm.removeprefix("eps-")), noise_multiplier=2.0 + float(arm[-1]) / 8)

    def write(self, arm: str, *, recipe: str) -> dict[str, Any]:
        """Weights; what a certificate states of them."""
        path = self.folder(arm) / "model.safetensors"
        path.parent.mkdir(parents=True)
        value = {"weight": np.full(3, float(len(arm)))}
        save_file(value, path, metadata={"privrad": json.dumps(NETWORK | {"activation": "mish"})})
        model = {"arm": arm, "seed": 0, "recipe": recipe, "network": NETWORK, "weights_sha256": files.sha256(path)}
        return model | {"initial_sha256": files.sha256(path) if recipe == "none" else None}

    def certify(self, arm: str, statement: dict[str, Any]) -> None:
        account = {name: value for name, value in statement["model"].items() if name != "network"}
        files.write_json(self.folder(arm) / "training.json", account)
        files.write_json(self.folder(arm) / "certificate.json", statement)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    """Two declared runs, one later, one with seeded noise, one without privacy on a drawn cohort, and epsilon 0."""
    hospital = Hospital(tmp_path_factory.mktemp("hospital"))
    hospital.private("eps-2", declared=("eps-3",))
    hospital.private("eps-3", declared=("eps-2",))
    hospital.private("eps-4", unit="record", max_images_per_patient=3)
    hospital.seeded("eps-6")
    hospital.unprotected("eps-inf", recipe="without_privacy", sensitivity="synthetic")
    hospital.untrained()
    return hospital


@pytest.fixture
def hospital(made: Hospital, tmp_path: Path) -> Hospital:
    """A copy to change."""
    shutil.copytree(made.results.parent, tmp_path / "results")
    shutil.copytree(made.ledger.parent, tmp_path / "work")
    return Hospital(tmp_path)


def faults(hospital: Hospital, *, ledger: bool = True) -> list[verify.Check]:
    checks = verify.run(hospital.results, ledger=hospital.ledger if ledger else None)
    return [check for check in checks if not check.holds]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_honest_study_holds(made: Hospital) -> None:
    checks = verify.run(made.results, ledger=made.ledger)
    assert [check for check in checks if not check.holds] == []
    assert len({check.file for check in checks}) == 7
    assert not faults(made, ledger=False)
    text = verify.table(checks)
    assert text.endswith(f"All {len(checks)} statements hold.")
    assert "Taken as stated: data" in text
    assert "give --ledger" in verify.table(verify.run(made.results))
    assert "give --ledger" not in text
    assert json.loads(json.dumps(verify.facts(checks), allow_nan=False))["holds"] is True


def test_the_total_of_a_later_certificate_is_larger(made: Hospital) -> None:
    totals = [json.loads((made.folder(arm) / "certificate.json").read_text()) for arm in ("eps-2", "eps-3", "eps-4")]
    one, two, three = (each["cohort_so_far"] for each in totals)
    assert one["epsilon"] == two["epsilon"] < three["epsilon"]
    assert (one["this_run"], two["this_run"], three["this_run"]) == ("declared", "declared", "later")


def changed(value: Any) -> Any:
    """Something else of the same kind, as close as a forger would choose it."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 0.999 if value else 1e-3
    return f"x{value}" if isinstance(value, str) else 0.5


def with_changed(value: Any, path: str, at: str = "") -> Any:
    """A copy in which the leaf at `path` is changed; an empty list or mapping gets an element."""
    if at == path:
        return {"more": 1} if value == {} else [1] if value == [] else changed(value)
    inside = f"{at}." if at else ""
    if isinstance(value, dict):
        return {key: with_changed(held, path, f"{inside}{key}") for key, held in value.items()}
    if isinstance(value, list):
        return [with_changed(held, path, f"{inside}{place}") for place, held in enumerate(value)]
    return value


@pytest.mark.parametrize("arm", ["eps-2", "eps-4", "eps-6", "eps-inf", "eps-0"])
def test_every_value_that_is_changed_shows(arm: str, hospital: Hospital) -> None:
    for other in hospital.folder(arm).parent.parent.iterdir():
        if other.name != arm:
            shutil.rmtree(other)
    path = hospital.folder(arm) / "certificate.json"
    honest = json.loads(path.read_text())
    unnoticed = set()
    for leaf in certificate.leaves(honest):
        tampered = with_changed(honest, leaf)
        assert tampered != honest
        path.write_text(json.dumps(tampered))
        if not faults(hospital):
            unnoticed.add(leaf)
    may = {leaf for leaf in certificate.leaves(honest) if leaf.startswith(STATED) or leaf.endswith(".remark")}
    assert unnoticed <= may


def test_a_value_left_out_or_added_shows(hospital: Hospital) -> None:
    path = hospital.folder("eps-2") / "certificate.json"
    honest = json.loads(path.read_text())
    for key in honest:
        path.write_text(json.dumps({name: value for name, value in honest.items() if name != key}))
        assert faults(hospital), key
    path.write_text(json.dumps(honest | {"approved": True}))
    assert [check.what for check in faults(hospital)] == ["fields"]


def test_a_certificate_of_format_2_still_holds(hospital: Hospital) -> None:
    """It has no epsilon at other deltas; one that says so little under format 3 leaves something out."""
    path = hospital.folder("eps-2") / "certificate.json"
    now = json.loads(path.read_text())
    older = {name: value for name, value in now.items() if not name.endswith("other_deltas")} | {"certificate": 2}
    files.write_json(path, older)
    assert not faults(hospital)
    files.write_json(path, older | {"certificate": 3})
    assert "fields" in {check.what for check in faults(hospital)}
    files.write_json(path, now | {"certificate": 2})
    assert [check.what for check in faults(hospital)] == ["fields"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"certificate": 1}', '{"certificate": 2}', "\x00", "[" * 9999]
)
def test_a_certificate_that_cannot_be_read_is_a_fault_in_words(text: str, hospital: Hospital) -> None:
    (hospital.folder("eps-2") / "certificate.json").write_text(text)
    found = faults(hospital, ledger=False)
    assert [(check.what, check.file) for check in found] == [
        ("a certificate", "chest/finetune/eps-2/seed-0/certificate.json")
    ]
    assert "FAULT" in verify.table(found)


@pytest.mark.parametrize(("name", "said"), [("certificate.json", "a certificate"), ("training.json", "place")])
def test_a_missing_file_is_a_fault(name: str, said: str, hospital: Hospital) -> None:
    (hospital.folder("eps-2") / name).unlink()
    (found,) = faults(hospital, ledger=False)
    assert found.what == said
    assert found.found == f"{name} cannot be read (No such file or directory)"


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x02" + bytes(7) + b"{}"])
def test_other_weights_are_a_fault(content: bytes, hospital: Hospital) -> None:
    (hospital.folder("eps-2") / "model.safetensors").write_bytes(content)
    assert "model.weights_sha256" in {check.what for check in faults(hospital, ledger=False)}


def test_a_certificate_in_another_folder_is_a_fault(hospital: Hospital) -> None:
    for name in ("certificate.json", "training.json", "model.safetensors"):
        shutil.copy(hospital.folder("eps-3") / name, hospital.folder("eps-2") / name)
    assert {check.what for check in faults(hospital)} == {
        "model.arm",
        "target_epsilon, as the arm is named",
        "ledger: label of the run",
    }


def test_a_certificate_of_more_noise_than_was_charged_is_a_fault(hospital: Hospital) -> None:
    path = hospital.folder("eps-2") / "certificate.json"
    plan = Plan(**(vars(hospital.plan("eps-2", PRIVACY)) | {"noise_multiplier": 3.0}))
    honest = json.loads(path.read_text())
    receipt = Ledger(hospital.ledger).holds("run-eps-2")
    given = {name: honest[name] for name in ("model", "data", "settings")}
    files.write_json(path, certificate.protected(plan, receipt=receipt, **given))
    assert not faults(hospital, ledger=False)
    assert {check.what for check in faults(hospital)} == {"ledger: charged noise_multiplier"}


def test_a_lost_tail_of_the_ledger_shows(hospital: Hospital) -> None:
    lines = hospital.ledger.read_text().splitlines(keepends=True)
    hospital.ledger.write_text("".join(lines[:3]))
    for beside in hospital.ledger.parent.glob("*.lock"):
        beside.unlink()
    found = faults(hospital)
    assert "ledger: holds the head" in {check.what for check in found}
    assert not [check for check in found if "eps-2/" in check.file and check.what != "ledger: key file deleted"]


def test_an_edited_ledger_is_a_fault_in_words(hospital: Hospital) -> None:
    hospital.ledger.write_text(hospital.ledger.read_text().replace('"steps":4', '"steps":3', 1))
    (found,) = faults(hospital)
    assert found.what == "ledger: chain"
    assert "line 2" in found.found


def test_an_unprotected_run_on_a_private_cohort_is_infinite_and_cannot_hide(hospital: Hospital) -> None:
    hospital.unprotected("eps-inf-matched", recipe="matched", sensitivity="private")
    path = hospital.folder("eps-inf-matched") / "certificate.json"
    honest = json.loads(path.read_text())
    assert honest["cohort_so_far"]["epsilon"] == "infinite"
    assert not faults(hospital)
    nothing = {"epsilon": None, "delta": None, "unit": None}
    edit(
        path,
        cohort_so_far=honest["cohort_so_far"] | nothing,
        ledger={"run_id": honest["ledger"]["run_id"], "head": None, "entry": None},
        keyed=["ledger.run_id"],
    )
    assert [check.what for check in faults(hospital)] == ["ledger: head stated"]


def test_a_released_model_is_verified_where_it_was_taken(made: Hospital, tmp_path: Path) -> None:
    for name in ("certificate.json", "model.safetensors"):
        shutil.copy(made.folder("eps-2") / name, tmp_path / name)
    assert all(check.holds for check in verify.run(tmp_path))
    edit(tmp_path / "certificate.json", epsilon=0.1)
    assert [check.what for check in verify.run(tmp_path) if not check.holds] == ["epsilon"]


def test_a_small_difference_under_other_code_is_told_as_what_it_may_be(hospital: Hospital) -> None:
    path = hospital.folder("eps-2") / "certificate.json"
    nominal = json.loads(path.read_text())["nominal_epsilon"]
    for engine, near, told in (("", 1.001, False), ("other", 1.001, True), ("other", 1.1, False)):
        edit(path, nominal_epsilon=nominal * near, **({"engine_sha256": engine} if engine else {}))
        (found,) = faults(hospital, ledger=False)
        assert found.what == "nominal_epsilon"
        assert ("other code wrote it" in verify.table([found])) == told


def test_nothing_to_verify_is_an_error_in_words(made: Hospital, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(verify.VerifyError, match=r"holds no certificate .*give results/<study>"):
            verify.run(path)
    for ledger in (tmp_path, tmp_path / "missing"):
        with pytest.raises(verify.VerifyError, match="is not there; give the file"):
            verify.run(made.results, ledger=ledger)
