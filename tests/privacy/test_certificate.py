"""What a certificate states, for each kind of run, and which of its values depend on private images."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from scipy.stats import norm

from privrad.privacy import accounting, certificate
from privrad.privacy.ledger import Receipt
from privrad.privacy.plan import Plan

HEAD = "ab" * 32
DATA = {"split": "cd" * 32, "shards-0": "ef" * 32}
BLOCKS = {"privacy": {"unit": "patient", "steps": 30}, "training": {"learning_rate": 3e-3}}
MODEL = {"arm": "eps-2", "seed": 0, "weights_sha256": "01" * 32}
RUN: dict[str, Any] = {"delta": 1e-3, "sample_rate": 0.2, "steps": 30}


def receipt(**changes: Any) -> Receipt:
    """What a ledger answers for a declared run."""
    held: dict[str, Any] = {"run_id": "run-1", "head": HEAD, "spent_epsilon": 3.5, "delta": 1e-3, "unit": "patient"}
    return Receipt(**(held | {"declared": True, "entry": 4} | changes))


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """The accountants, each number computed once."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("epsilon", "rdp_epsilon", "prv_epsilon", "patient_curve", "attack"):
            patch.setattr(accounting, name, functools.cache(getattr(accounting, name)))
        yield


def plan(**changes: object) -> Plan:
    settings: dict[str, Any] = {"unit": "patient", "population": 40, "expected_batch": 8, "steps": 30, "delta": 1e-3}
    settings |= {"clipping_norm": 0.7, "epsilon": 2.0, "noise_multiplier": 1.3}
    return Plan(**(settings | changes))


def made(own: Plan | None = None, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"model": MODEL, "receipt": receipt(), "data": DATA, "settings": BLOCKS}
    return certificate.protected(own or plan(), **(given | changes))


def test_a_release_states_epsilon_three_times() -> None:
    found = made()
    assert found["epsilon"] == found["nominal_epsilon"] == found["accountants"]["pld"]
    assert found["epsilon"] == pytest.approx(accounting.epsilon(1.3, **RUN), rel=1e-9)
    assert found["accountants"]["pld"] == pytest.approx(found["accountants"]["prv"], abs=0.02)
    assert found["accountants"]["pld"] < found["accountants"]["rdp"]
    assert found["key"].endswith("key file deleted")
    json.dumps(found, allow_nan=False)


def test_epsilon_is_stated_at_smaller_deltas_too() -> None:
    found = made()
    assert list(found["other_deltas"]) == ["1e-05", "1e-06"]
    run: dict[str, Any] = {"sample_rate": 0.2, "steps": 30}
    for name, epsilon in found["other_deltas"].items():
        assert epsilon == pytest.approx(accounting.epsilon(1.3, delta=float(name), **run), rel=1e-9)
    assert found["epsilon"] < found["other_deltas"]["1e-05"] < found["other_deltas"]["1e-06"]
    assert found["nominal_other_deltas"] == found["other_deltas"]
    seeded = made(plan(noise="reproducible"))
    assert (seeded["other_deltas"], seeded["nominal_other_deltas"]) == (None, found["other_deltas"])


@pytest.mark.parametrize(("delta", "stated"), [(6e-6, ["1e-06"]), (1e-5, ["1e-06"]), (1e-6, []), (1e-7, [])])
def test_only_smaller_deltas_are_stated(delta: float, stated: list[str]) -> None:
    assert list(made(plan(delta=delta))["other_deltas"]) == stated


def test_the_settings_of_the_mechanism_are_stated_as_planned() -> None:
    found = made(plan(views=3))
    stated = {"unit": "patient", "neighbouring_relation": "add_or_remove_one", "sampling": "poisson", "views": 3}
    stated |= {"population": 40, "expected_batch": 8, "sample_rate": 0.2, "steps": 30, "delta": 1e-3}
    stated |= {"clipping_norm": 0.7, "noise_multiplier": 1.3, "noise": "release", "target_epsilon": 2.0}
    assert {key: found[key] for key in stated} == stated
    assert found["clipping"] in ("mixed", "opacus")
    assert found["precision"] == "float32"
    assert any("test" in line for line in found["not_covered"])
    assert found["versions"]["dp-accounting"]
    assert len(found["engine_sha256"]) == 64


def test_seeded_noise_has_nominal_values_alone() -> None:
    found = made(plan(noise="reproducible"), receipt=receipt(spent_epsilon=0.0, delta=None, declared=False))
    assert found["epsilon"] is None
    assert found["attacker"] is None
    assert found["nominal_epsilon"] == pytest.approx(accounting.epsilon(1.3, **RUN))
    assert found["nominal_attacker"] == made()["attacker"]
    assert "not for release" in found["protection"]
    assert "seed" in found["key"]
    assert found["cohort_so_far"]["this_run"] == "unprotected"
    assert {found["cohort_so_far"][key] for key in ("epsilon", "delta", "unit")} == {None}


def test_a_run_that_charges_nothing_repeats_byte_for_byte() -> None:
    seeded = plan(noise="reproducible")
    first, second = (
        made(seeded, receipt=receipt(spent_epsilon=0.0, head=head, entry=entry, declared=False))
        for head, entry in ((HEAD, 4), ("12" * 32, 9))
    )
    assert first == second
    assert first["ledger"] == {"run_id": "run-1", "head": None, "entry": None}


def test_a_record_plan_states_the_patients_epsilon_and_the_curve_below_it() -> None:
    found = made(plan(unit="record", max_images_per_patient=3))
    other = found["other_unit"]
    assert (other["unit"], other["images"]) == ("patient", 3)
    assert list(other["curve"]) == ["1", "2", "3"]
    assert other["curve"]["1"] == pytest.approx(found["epsilon"], rel=1e-3)
    assert other["curve"]["1"] < other["curve"]["2"] < other["curve"]["3"] == other["epsilon"]
    assert other["epsilon"] == pytest.approx(accounting.patient_epsilon(1.3, images=3, **RUN))
    assert found["attacker"]["unit"] == "record"


def test_a_seeded_record_plan_has_a_nominal_curve_alone() -> None:
    other = made(plan(unit="record", max_images_per_patient=2, noise="reproducible"))["other_unit"]
    assert other["epsilon"] is None
    assert other["curve"] is None
    assert other["nominal_curve"]["2"] == other["nominal_epsilon"] > 0


def test_a_patient_plan_states_no_epsilon_of_a_record() -> None:
    other = made()["other_unit"]
    assert (other["unit"], other["epsilon"], other["nominal_epsilon"]) == ("record", None, None)
    assert "not computed" in other["remark"]


def test_what_an_attacker_gains_is_that_of_one_gaussian_where_all_are_drawn_once() -> None:
    own = plan(population=8, expected_batch=8, steps=1)
    found = made(own)["attacker"]
    for rate, share in found["true_positive_rate"].items():
        exact = norm.cdf(norm.ppf(float(rate)) + 1 / 1.3)
        assert exact <= share <= exact * 1.01
    assert list(found["true_positive_rate"]) == ["0.001", "0.01", "0.1"]
    assert found["membership_advantage"] == pytest.approx(2 * norm.cdf(1 / 2.6) - 1, rel=1e-3)


@pytest.mark.parametrize(("declared", "named"), [(True, "declared"), (False, "later")])
def test_the_cohort_so_far_is_the_ledgers(declared: bool, named: str) -> None:
    found = made(receipt=receipt(declared=declared))
    so_far = found["cohort_so_far"]
    assert (so_far["epsilon"], so_far["delta"], so_far["unit"], so_far["this_run"]) == (3.5, 1e-3, "patient", named)
    assert found["ledger"] == {"run_id": "run-1", "head": HEAD, "entry": 4}


def test_after_an_unprotected_run_the_cohorts_total_is_infinite() -> None:
    found = made(receipt=receipt(spent_epsilon=math.inf, declared=False))
    assert found["cohort_so_far"]["epsilon"] == "infinite"
    assert found["epsilon"] > 0
    without = certificate.without("unprotected", model=MODEL, receipt=receipt(spent_epsilon=math.inf, delta=None))
    assert without["cohort_so_far"]["epsilon"] == "infinite"
    assert without["ledger"]["head"] == HEAD
    json.dumps([found, without], allow_nan=False)


def test_models_without_protection_say_so() -> None:
    unprotected, untrained = (certificate.without(kind, model={"arm": kind}) for kind in ("unprotected", "untrained"))
    assert unprotected["epsilon"] is unprotected["attacker"] is None
    assert "unprotected" in unprotected["protection"]
    assert unprotected["uncovered"] == ["model.weights_sha256"]
    assert untrained["epsilon"] == 0
    assert "nothing learned from the private cohort" in untrained["protection"]
    assert untrained["attacker"]["true_positive_rate"] == {"0.001": 0.001, "0.01": 0.01, "0.1": 0.1}
    assert untrained["attacker"]["membership_advantage"] == 0
    assert not untrained["uncovered"] + untrained["covered_by_epsilon"] + untrained["keyed"]


@pytest.mark.parametrize("noise", ["release", "reproducible"])
def test_every_named_path_is_a_value_of_the_certificate(noise: str) -> None:
    found = made(plan(noise=noise), data=DATA | {"manifest.parquet": "23" * 32})
    leaves = certificate.leaves(found)
    named = [*found["covered_by_epsilon"], *found["uncovered"], *found["keyed"]]
    assert "data.manifest.parquet" in named
    assert len(set(named)) == len(named)
    assert set(named) <= set(leaves)
    assert leaves["not_covered.0"] == certificate.NOT_COVERED[0]


def test_values_that_differ_with_the_data_are_those_that_are_named() -> None:
    """Two runs on other data: other weights, other keyed hashes, another run id; the settings are the same."""
    other = {"receipt": receipt(run_id="run-2", head="34" * 32), "data": dict.fromkeys(DATA, "45" * 32)}
    other |= {"model": MODEL | {"weights_sha256": "56" * 32}}
    for noise, where in (("release", "covered_by_epsilon"), ("reproducible", "uncovered")):
        one, two = (
            made(plan(noise=noise)),
            made(plan(noise=noise), **other),
        )
        before, after = certificate.leaves(one), certificate.leaves(two)
        differing = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        assert differing == set(one[where]) | set(one["keyed"])


def test_the_settings_hash_is_that_of_the_settings_in_any_order() -> None:
    turned = {"training": {"learning_rate": 3e-3}, "privacy": {"steps": 30, "unit": "patient"}}
    assert made()["settings_sha256"] == made(settings=turned)["settings_sha256"]
    assert made()["settings_sha256"] != made(settings=BLOCKS | {"training": {}})["settings_sha256"]
    with pytest.raises(ValueError, match="JSON compliant"):
        made(settings={"epsilon": math.inf})
