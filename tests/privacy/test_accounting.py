"""Noise multipliers and epsilons against published and analytic figures."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy.stats import norm

from privrad.privacy import accounting

TABLE = {0.29: 4.4028, 0.54: 2.5134, 1.06: 1.4632, 2.04: 0.9632, 4.71: 0.6740, 7.89: 0.5814}
PAPER: dict[str, Any] = {"delta": 6e-6, "sample_rate": 1 / 1200, "steps": 180_000}


@pytest.mark.parametrize(("epsilon", "sigma"), TABLE.items())
def test_noise_multipliers_of_the_papers_budgets(epsilon: float, sigma: float) -> None:
    found = accounting.noise_multiplier(epsilon, 6e-6, 1 / 1200, 180_000)
    assert found == pytest.approx(sigma, rel=1e-3)
    reached = accounting.epsilon(found, **PAPER)
    assert reached <= epsilon
    assert reached == pytest.approx(epsilon, rel=1e-3)


@pytest.mark.parametrize(("sigma", "rdp", "prv"), [(4.4028, 0.311, (0.273, 0.294)), (0.9632, 2.213, (2.029, 2.051))])
def test_cross_checks(sigma: float, rdp: float, prv: tuple[float, float]) -> None:
    assert accounting.rdp_epsilon(sigma, **PAPER) == pytest.approx(rdp, rel=0.01)
    assert prv[0] <= accounting.prv_epsilon(sigma, **PAPER) <= prv[1]
    assert accounting.epsilon(sigma, **PAPER) <= accounting.rdp_epsilon(sigma, **PAPER)


def test_a_single_unsampled_step_is_the_gaussian_mechanism() -> None:
    sigma = accounting.noise_multiplier(1.0, 1e-5, 1.0, 1)
    assert sigma == pytest.approx(3.7306, rel=1e-3)
    reached = accounting.epsilon(sigma, delta=1e-5, sample_rate=1.0, steps=1)
    exact = norm.cdf(1 / (2 * sigma) - reached * sigma) - math.exp(reached) * norm.cdf(
        -1 / (2 * sigma) - reached * sigma
    )
    assert exact == pytest.approx(1e-5, rel=1e-2)


@pytest.mark.parametrize("epsilon", [0.05, 0.7, 3.0])
def test_the_search_settles_from_below_on_small_cohorts(epsilon: float) -> None:
    run = {"delta": 1e-4, "sample_rate": 0.1, "steps": 200}
    sigma = accounting.noise_multiplier(epsilon, *run.values())
    assert accounting.epsilon(sigma, **run) <= epsilon  # type: ignore[arg-type]
    assert accounting.epsilon(sigma * 0.999, **run) > epsilon  # type: ignore[arg-type]


def test_composition_of_the_papers_six_budgets() -> None:
    runs = [(sigma, 1 / 1200, 180_000) for sigma in TABLE.values()]
    assert accounting.compose(runs, delta=6e-6) == pytest.approx(10.03, abs=0.01)
    assert accounting.compose(runs[:1], delta=6e-6) == pytest.approx(0.29, abs=1e-3)
    assert accounting.compose([], delta=6e-6) == 0


def test_composition_of_equal_runs_is_one_longer_run() -> None:
    twice = accounting.compose([(1.5, 0.05, 100)] * 2, delta=1e-5)
    assert twice == pytest.approx(accounting.epsilon(1.5, delta=1e-5, sample_rate=0.05, steps=200), rel=1e-6)


def test_a_patient_with_one_record_has_the_records_epsilon() -> None:
    run = {"delta": 1e-5, "sample_rate": 0.05, "steps": 50}
    record = accounting.epsilon(1.2, **run)  # type: ignore[arg-type]
    patients = [accounting.patient_epsilon(1.2, images=images, **run) for images in (1, 3)]  # type: ignore[arg-type]
    assert patients[0] == pytest.approx(record, rel=1e-3)
    assert patients[1] > 2 * record


def test_a_patient_whose_records_are_always_drawn_moves_the_sum_by_all_of_them() -> None:
    patient = accounting.patient_epsilon(6.0, delta=1e-5, sample_rate=1.0, steps=3, images=3)
    assert patient == pytest.approx(accounting.epsilon(2.0, delta=1e-5, sample_rate=1.0, steps=3), rel=1e-3)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epsilon": 0.0}, "epsilon 0.0"),
        ({"epsilon": -1.0}, "epsilon -1.0"),
        ({"epsilon": math.inf}, "epsilon inf"),
        ({"delta": 0.0}, "delta 0.0"),
        ({"delta": 1.0}, "delta 1.0"),
        ({"sample_rate": 0.0}, "sample_rate 0.0"),
        ({"sample_rate": 1.5}, "sample_rate 1.5"),
        ({"steps": 0}, "steps 0"),
    ],
)
def test_values_outside_their_range_are_named(change: dict[str, float], named: str) -> None:
    settings = {"epsilon": 1.0, "delta": 1e-5, "sample_rate": 0.01, "steps": 100} | change
    with pytest.raises(ValueError, match=named):
        accounting.noise_multiplier(**settings)


def test_an_epsilon_out_of_reach_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs a noise multiplier above"):
        accounting.noise_multiplier(1e-6, 1e-30, 1.0, 10**8)
    with pytest.raises(ValueError, match=r"noise_multiplier 0.0"):
        accounting.epsilon(0.0, delta=1e-5, sample_rate=0.1, steps=1)
    with pytest.raises(ValueError, match="images 0"):
        accounting.patient_epsilon(1.0, delta=1e-5, sample_rate=0.1, steps=1, images=0)
