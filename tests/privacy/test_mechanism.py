"""The plan holds sampling, clipping, noise and accounting together; a step is their sum over a constant."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from privrad.privacy import accounting, certificate
from privrad.privacy.gradients import OpacusGradients
from privrad.privacy.mechanism import Mechanism
from privrad.privacy.plan import Plan

KEY = bytes(range(32))
SETTINGS = {
    "unit": "patient",
    "population": 40,
    "expected_batch": 8,
    "steps": 30,
    "delta": 1e-3,
    "clipping_norm": 0.7,
    "epsilon": 2.0,
    "noise_multiplier": 1.3,
}


def plan(**changes: object) -> Plan:
    return Plan(**(SETTINGS | changes))  # type: ignore[arg-type]


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().sum(1)


INPUTS = torch.randn(60, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
TARGETS = torch.randn(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
UNITS = np.split(np.arange(60), 30)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(5, 2).double()


@pytest.fixture
def gradients(model: nn.Module) -> Iterator[OpacusGradients]:
    with OpacusGradients(model, loss=squared, clipping_norm=0.7) as opened:
        yield opened


def mechanism(
    gradients: OpacusGradients, *, units: Sequence[np.ndarray] = UNITS, physical_batch: int = 4, **changes: object
) -> Mechanism:
    def load(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        assert len(rows) <= physical_batch
        return INPUTS[rows], TARGETS[rows]

    return Mechanism(
        plan=plan(**changes), run_key=KEY, gradients=gradients, units=units, load=load, physical_batch=physical_batch
    )


def flat(values: list[Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in values])


def test_a_step_is_the_clipped_sum_plus_noise_over_the_expected_batch(gradients: OpacusGradients) -> None:
    found = flat(mechanism(gradients).noisy_mean(3))
    own = plan()
    batch = own.batches(KEY, units=30).batch(3)
    rows = own.choices(KEY, images=UNITS).rows(3, batch)[:, 0]
    assert 0 < len(batch) < 30
    gradients.add(INPUTS[rows], TARGETS[rows])
    noise = torch.from_numpy(own.noise_of(KEY, 3, 12))
    assert torch.allclose(found, (flat(gradients.take()) + noise) / 8, rtol=1e-9)


def test_the_physical_batch_changes_rounding_alone(gradients: OpacusGradients) -> None:
    one, all_at_once = (flat(mechanism(gradients, physical_batch=size).noisy_mean(0)) for size in (1, 64))
    assert torch.allclose(one, all_at_once, rtol=1e-12)


def test_an_empty_batch_adds_noise_over_the_same_divisor(gradients: OpacusGradients) -> None:
    found = flat(mechanism(gradients, units=[]).noisy_mean(5))
    assert torch.allclose(found, torch.from_numpy(plan().noise_of(KEY, 5, 12)).double() / 8)
    assert bool(found.all())


def test_the_noise_that_is_added_has_the_plans_level_to_well_within_one_percent() -> None:
    with OpacusGradients(nn.Linear(500, 200), loss=squared, clipping_norm=0.7) as wide:
        empty = mechanism(wide, units=[])
        draws = torch.stack([flat(empty.noisy_mean(step)) for step in range(10)]).double()
    expected, bound = 1.3 * 0.7 / 8, 5 / math.sqrt(2 * draws.numel())
    assert bound < 0.004
    assert float(draws.std()) == pytest.approx(expected, rel=bound)
    assert abs(float(draws.mean())) < 5 * expected / math.sqrt(draws.numel())


def test_one_patient_more_moves_the_sum_by_at_most_the_clipping_norm(gradients: OpacusGradients) -> None:
    for step in range(30):
        with_all = flat(mechanism(gradients).noisy_mean(step))
        without_last = flat(mechanism(gradients, units=UNITS[:-1]).noisy_mean(step))
        assert float((with_all - without_last).norm()) <= 0.7 / 8 * (1 + 1e-6)


def test_an_interrupted_step_leaves_nothing_in_the_next(gradients: OpacusGradients) -> None:
    whole = mechanism(gradients, physical_batch=1)
    expected = flat(whole.noisy_mean(0))
    loads = iter([True, False])

    def failing(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        if next(loads):
            return whole.load(rows)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        replace(whole, load=failing).noisy_mean(0)
    assert torch.equal(flat(whole.noisy_mean(0)), expected)


def test_rate_and_divisor_come_from_the_plan_and_not_from_the_units_present(gradients: OpacusGradients) -> None:
    own = plan()
    assert own.sample_rate == 0.2
    for units in (10, 30, 4000):
        assert own.batches(KEY, units=units).sample_rate == 0.2
    assert np.mean([len(own.batches(KEY, units=4000).batch(step)) for step in range(50)]) == pytest.approx(
        800, rel=0.03
    )


def test_steps_beyond_the_plan_are_refused(gradients: OpacusGradients) -> None:
    for step in (-1, 30):
        with pytest.raises(ValueError, match=f"step {step}"):
            mechanism(gradients).noisy_mean(step)


def test_gradients_that_do_not_fit_the_plan_are_refused(gradients: OpacusGradients) -> None:
    with pytest.raises(ValueError, match=r"clipped to 0\.7 must be clipped to the plan's 1\.0"):
        mechanism(gradients, clipping_norm=1.0)
    with pytest.raises(ValueError, match="1 views must have the plan's 2"):
        mechanism(gradients, views=2)
    with pytest.raises(ValueError, match="physical_batch 0"):
        mechanism(gradients, physical_batch=0)


def test_a_key_is_not_shown(gradients: OpacusGradients) -> None:
    assert "run_key" not in repr(mechanism(gradients))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epsilon": 0.0}, "epsilon 0.0 must be above 0"),
        ({"epsilon": math.inf}, "epsilon inf"),
        ({"delta": 1 / 40}, r"delta 0.025 must be below 1/population = 0.025"),
        ({"delta": 0.0}, "delta 0.0"),
        ({"expected_batch": 41}, "expected_batch 41 must be at most population 40"),
        ({"expected_batch": 0}, "expected_batch 0"),
        ({"steps": 0}, "steps 0"),
        ({"clipping_norm": 0.0}, "clipping_norm 0.0"),
        ({"noise_multiplier": 0.0}, "noise_multiplier 0.0"),
        ({"noise_multiplier": math.nan}, "noise_multiplier nan"),
        ({"views": 0}, "views 0"),
        ({"unit": "image"}, "unit image"),
        ({"noise": "none"}, "noise none"),
        ({"unit": "record"}, "max_images_per_patient None"),
        ({"unit": "record", "max_images_per_patient": 3, "views": 2}, "views 2"),
    ],
)
def test_a_plan_outside_its_ranges_is_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        plan(**change)


def test_a_large_delta_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="privrad"):
        plan(delta=0.0025)
        assert not caplog.records
        plan(delta=0.0026)
    assert "delta 0.0026 is above 1/(10 population)" in caplog.text


def test_a_calibrated_plan_meets_its_budget() -> None:
    settings = {key: value for key, value in SETTINGS.items() if key not in ("epsilon", "noise_multiplier")}
    made = Plan.calibrated(epsilon=2.0, **settings)
    reached = accounting.epsilon(made.noise_multiplier, delta=1e-3, sample_rate=0.2, steps=30)
    assert 1.99 < reached <= 2.0
    assert made == plan(noise_multiplier=made.noise_multiplier)


def test_the_certificate_of_a_release_states_epsilon_three_times() -> None:
    made = certificate.protected(plan(noise="release"), model={"arm": "eps-2"})
    assert made["epsilon"] == made["nominal_epsilon"] == made["accountants"]["pld"]
    assert made["accountants"]["pld"] == pytest.approx(made["accountants"]["prv"], abs=0.02)
    assert made["accountants"]["pld"] < made["accountants"]["rdp"]
    assert (made["unit"], made["neighbouring_relation"], made["sampling"]) == (
        "patient",
        "add_or_remove_one",
        "poisson",
    )
    assert (made["noise_multiplier"], made["sample_rate"], made["steps"], made["clipping_norm"]) == (1.3, 0.2, 30, 0.7)
    assert made["delta"] == 1e-3
    assert any("test" in line for line in made["not_covered"])
    assert made["versions"]["dp-accounting"]
    assert len(made["engine_sha256"]) == 64
    json.dumps(made, allow_nan=False)


def test_seeded_noise_has_a_nominal_epsilon_alone() -> None:
    made = certificate.protected(plan(noise="reproducible"), model={})
    assert made["epsilon"] is None
    assert made["nominal_epsilon"] == pytest.approx(accounting.epsilon(1.3, delta=1e-3, sample_rate=0.2, steps=30))
    assert "not for release" in made["protection"]


def test_a_record_plan_states_the_patients_epsilon_too() -> None:
    made = certificate.protected(plan(unit="record", max_images_per_patient=2), model={})
    assert made["other_unit"]["unit"] == "patient"
    assert made["other_unit"]["images"] == 2
    assert made["other_unit"]["epsilon"] > 1.5 * made["epsilon"]


def test_models_without_protection_say_so() -> None:
    unprotected, untrained = (certificate.without(kind, model={"arm": kind}) for kind in ("unprotected", "untrained"))
    assert unprotected["epsilon"] is None
    assert "unprotected" in unprotected["protection"]
    assert untrained["epsilon"] == 0
    assert "nothing learned from the private cohort" in untrained["protection"]
