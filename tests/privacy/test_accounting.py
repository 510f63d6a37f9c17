"""Noise multipliers and epsilons against published and analytic figures."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import pytest
from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm

from privrad.privacy import accounting
from privrad.privacy.accounting import Run

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


def paper(sigma: float, **change: Any) -> Run:
    return Run(**({"noise_multiplier": sigma, "sample_rate": 1 / 1200, "steps": 180_000} | change))


def small(**change: Any) -> Run:
    return Run(**({"noise_multiplier": 3.0, "sample_rate": 0.05, "steps": 20} | change))


def test_composition_of_the_papers_six_budgets() -> None:
    runs = [paper(sigma) for sigma in TABLE.values()]
    assert accounting.compose(runs, delta=6e-6) == pytest.approx(10.025, abs=1e-3)
    assert accounting.compose(runs[:1], delta=6e-6) == pytest.approx(0.29, abs=1e-3)
    assert accounting.compose([], delta=6e-6) == 0


def test_composition_of_equal_runs_is_one_longer_run() -> None:
    twice = accounting.compose([small(), small()], delta=1e-5)
    assert twice == accounting.epsilon(3.0, delta=1e-5, sample_rate=0.05, steps=40)


def test_composition_is_that_of_dp_accounting() -> None:
    mechanisms = [(3.0, 0.05, 100), (4.0, 0.1, 50), (1.5, 0.01, 300)]
    expected = reduce(
        lambda one, other: one.compose(other),
        (
            from_gaussian_mechanism(noise, sampling_prob=rate, value_discretization_interval=1e-4).self_compose(steps)
            for noise, rate, steps in mechanisms
        ),
    )
    runs = [Run(noise_multiplier=noise, sample_rate=rate, steps=steps) for noise, rate, steps in mechanisms]
    reached = accounting.compose(runs, delta=1e-5)
    assert reached == pytest.approx(expected.get_epsilon_for_delta(1e-5), rel=1e-6)
    assert accounting.compose(runs[::-1], delta=1e-5) == reached


def test_composition_counts_a_patients_images() -> None:
    one, three = accounting.compose([small()], delta=1e-5), accounting.compose([small(images=3)], delta=1e-5)
    mixed = accounting.compose([small(), small(images=3)], delta=1e-5)
    assert one < three < mixed < one + three


RUNS = st.builds(
    Run,
    noise_multiplier=st.floats(2, 9),
    sample_rate=st.floats(0.001, 0.5),
    steps=st.integers(1, 30),
    images=st.sampled_from([1, 2]),
)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(runs=st.lists(RUNS, min_size=1, max_size=2), delta=st.sampled_from([1e-3, 1e-6]))
def test_runs_chosen_later_cost_more_than_declared_ones(runs: list[Run], delta: float) -> None:
    declared, later = accounting.compose(runs, delta=delta), accounting.adaptive(runs, delta=delta)
    assert declared <= later
    assert accounting.spent(runs, [], delta=delta) == declared
    assert accounting.spent([], runs, delta=delta) == later


def test_what_was_spent_splits_delta_between_declared_and_later_runs() -> None:
    declared, later = [small(), small(noise_multiplier=2.0)], [small(noise_multiplier=4.0)]
    expected = accounting.compose(declared, delta=5e-6) + accounting.adaptive(later, delta=5e-6)
    assert accounting.spent(declared, later, delta=1e-5) == expected
    assert accounting.spent(declared, later, delta=1e-5) > accounting.compose([*declared, *later], delta=1e-5)
    assert accounting.spent([], [], delta=1e-5) == 0


def test_what_was_spent_never_falls() -> None:
    later = [small(noise_multiplier=noise) for noise in (2.0, 50.0, 4.0, 1e3)]
    totals = [accounting.spent([small()], later[:count], delta=1e-5) for count in range(5)]
    assert totals == sorted(totals)


def test_a_patient_with_one_record_has_the_records_epsilon() -> None:
    run = {"delta": 1e-5, "sample_rate": 0.05, "steps": 50}
    record = accounting.epsilon(1.2, **run)  # type: ignore[arg-type]
    patients = [accounting.patient_epsilon(1.2, images=images, **run) for images in (1, 3)]  # type: ignore[arg-type]
    assert patients[0] == pytest.approx(record, rel=1e-3)
    assert patients[1] > 2 * record


def test_a_patient_whose_records_are_always_drawn_moves_the_sum_by_all_of_them() -> None:
    patient = accounting.patient_epsilon(6.0, delta=1e-5, sample_rate=1.0, steps=3, images=3)
    assert patient == pytest.approx(accounting.epsilon(2.0, delta=1e-5, sample_rate=1.0, steps=3), rel=1e-3)


def test_the_papers_record_level_budget_for_patients() -> None:
    curve = accounting.patient_curve(0.5814, images=10, **PAPER)
    assert list(curve) == [1, 2, 4, 8, 10]
    assert [curve[images] for images in (1, 2, 4, 10)] == pytest.approx([7.889, 17.77, 42.88, 155.9], rel=1e-3)
    assert curve[10] == accounting.patient_epsilon(0.5814, images=10, **PAPER)


@pytest.mark.parametrize(("images", "counts"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 4, 5]), (8, [1, 2, 4, 8])])
def test_the_patient_curve_ends_at_the_declared_number(images: int, counts: list[int]) -> None:
    curve = accounting.patient_curve(3.0, images=images, delta=1e-5, sample_rate=0.1, steps=5)
    assert list(curve) == counts
    assert list(curve.values()) == sorted(curve.values())


@pytest.mark.parametrize(
    ("noise", "steps", "images"), [(1e-3, 10, 1), (1.0, 10**30, 1), (100.0, 10**9, 1), (1.0, 1000, 10_000)]
)
def test_runs_too_wide_for_a_pld_are_bounded_by_renyi(noise: float, steps: int, images: int) -> None:
    run = Run(noise_multiplier=noise, sample_rate=0.01, steps=steps, images=images)
    assert 0 < accounting.compose([run], delta=1e-5) <= accounting.adaptive([run], delta=1e-5) < math.inf
    assert accounting.attack(run).membership_advantage == 1


@pytest.mark.parametrize("delta", [1e-10, 1e-20])
def test_a_delta_below_float64_resolution_is_bounded_by_renyi(delta: float) -> None:
    reached = accounting.epsilon(2.0, delta=delta, sample_rate=1.0, steps=1)
    exact = brentq(lambda epsilon: log_gaussian_delta(epsilon, 2.0) - math.log(delta), 0.1, 30)
    assert exact <= reached <= 1.1 * exact


def log_gaussian_delta(epsilon: float, sigma: float) -> float:
    """The log of delta of one unsampled Gaussian mechanism (Balle & Wang 2018)."""
    larger, smaller = norm.logcdf(1 / (2 * sigma) - epsilon * sigma), norm.logcdf(-1 / (2 * sigma) - epsilon * sigma)
    return float(larger + math.log1p(-math.exp(epsilon + smaller - larger)))


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
    with pytest.raises(ValueError, match="more than a run can spend"):
        accounting.noise_multiplier(1e30, 1e-10, 1.0, 1000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise_multiplier": 0.0}, r"noise_multiplier 0.0 must lie in"),
        ({"noise_multiplier": -1.0}, r"noise_multiplier -1.0 must lie in"),
        ({"noise_multiplier": math.inf}, r"noise_multiplier inf must lie in"),
        ({"noise_multiplier": math.nan}, r"noise_multiplier nan must lie in"),
        ({"sample_rate": 0.0}, r"sample_rate 0.0 must lie in \(0, 1\]"),
        ({"sample_rate": 1.01}, r"sample_rate 1.01 must lie in \(0, 1\]"),
        ({"sample_rate": math.nan}, r"sample_rate nan must lie in \(0, 1\]"),
        ({"steps": 0}, r"steps 0 must be a whole number of at least 1"),
        ({"steps": 1.5}, r"steps 1.5 must be a whole number of at least 1"),
        ({"images": 0}, r"images 0 must be a whole number of at least 1"),
        ({"images": math.inf}, r"images inf must be a whole number of at least 1"),
    ],
)
def test_a_run_of_impossible_numbers_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**change)
    settings = {"noise_multiplier": 1.0, "delta": 1e-5, "sample_rate": 0.1, "steps": 2, "images": 2}
    with pytest.raises(ValueError, match=message):
        accounting.patient_epsilon(**(settings | change))
    with pytest.raises(ValueError, match=message):
        accounting.patient_curve(**(settings | change))


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan])
def test_an_impossible_delta_is_refused_by_every_accountant(delta: float) -> None:
    one = {"delta": delta, "sample_rate": 0.1, "steps": 2}
    for reckon in (accounting.epsilon, accounting.rdp_epsilon, accounting.prv_epsilon):
        with pytest.raises(ValueError, match=r"delta .* must lie in"):
            reckon(1.0, **one)  # type: ignore[arg-type]
    for add_up in (accounting.compose, accounting.adaptive):
        with pytest.raises(ValueError, match=r"delta .* must lie in"):
            add_up([small()], delta=delta)
    with pytest.raises(ValueError, match=r"delta .* must lie in"):
        accounting.spent([], [], delta=delta)


def test_gaussian_dp_is_not_offered() -> None:
    assert not [name for name in vars(accounting) if "gdp" in name.lower()]
    assert accounting.epsilon(0.5814, **PAPER) > 1.05 * 7.29
