"""The privacy-loss distributions against dp-accounting's own and against what can be worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism, from_mixture_gaussian_mechanism
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from scipy.stats import binom

from privrad.privacy import losses

EPSILONS = np.array([-0.5, -0.01, 0.0, 0.01, 0.3, 1.0, 3.0])


def deltas(distribution: Any) -> list[float]:
    """delta at each of EPSILONS, removing a unit and adding one."""
    ways = (distribution._pmf_remove, distribution._pmf_add)
    return [float(way.get_delta_for_epsilon(float(epsilon))) for way in ways for epsilon in EPSILONS]


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    noise=st.floats(1, 8),
    rate=st.one_of(st.just(1.0), st.floats(1e-4, 1)),
    steps=st.sampled_from([1, 7, 30]),
)
def test_units_of_one_record_have_dp_accountings_distribution(noise: float, rate: float, steps: int) -> None:
    made = losses.distribution(noise, rate, 1, steps, 1e-3)
    expected = from_gaussian_mechanism(noise, sampling_prob=rate, value_discretization_interval=1e-3)
    expected = expected.self_compose(steps)
    assert deltas(made) == pytest.approx(deltas(expected), rel=1e-6, abs=1e-10)


@pytest.mark.parametrize(("noise", "rate", "images"), [(1.5, 0.02, 4), (3.0, 0.3, 5), (2.0, 0.9, 2), (4.0, 1.0, 3)])
def test_units_of_many_records_have_dp_accountings_distribution(noise: float, rate: float, images: int) -> None:
    drawn = range(images + 1)
    expected = from_mixture_gaussian_mechanism(
        noise, list(drawn), binom.pmf(drawn, images, rate), value_discretization_interval=1e-2
    ).self_compose(10)
    made = losses.distribution(noise, rate, images, 10, 1e-2)
    assert deltas(made) == pytest.approx(deltas(expected), rel=1e-5, abs=1e-8)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(noise=st.floats(0.6, 5), rate=st.floats(1e-4, 0.999), images=st.integers(1, 12))
def test_the_points_bound_the_curve_of_one_step_from_above(noise: float, rate: float, images: int) -> None:
    made = losses.distribution(noise, rate, images, 1, 0.02)
    epsilons = np.array([0.0, 0.013, 0.4, 2.0])
    y = np.linspace(-12 * noise, images + 12 * noise, 4001)
    drawn = np.arange(images + 1)
    shares = binom.pmf(drawn, images, rate)
    mixture, alone = ndtr((drawn - y[:, None]) / noise) @ shares, ndtr(-y / noise)
    tilts = np.exp(epsilons)[:, None]
    removing = np.max(mixture - tilts * alone, axis=1)
    adding = np.max((1 - alone) - tilts * (1 - mixture), axis=1)
    exact = np.maximum(removing, adding)
    bound = made.get_delta_for_epsilon(epsilons)
    assert np.all(bound >= exact - 1e-12)
    assert np.all(bound <= exact + 0.02)


@pytest.mark.parametrize(("images", "rate"), [(1, 1e-4), (20, 1 / 1200), (5, 1.0), (3000, 0.5), (1, 1e-300)])
def test_the_numbers_drawn_are_binomial(images: int, rate: float) -> None:
    counts, weights = losses.binomial(images, rate)
    assert np.exp(weights) == pytest.approx(binom.pmf(counts, images, rate), rel=1e-9)
    assert np.exp(weights).sum() == pytest.approx(1, abs=1e-9)
    assert counts[-1] >= 1


def test_a_finer_interval_changes_a_patients_epsilon_little() -> None:
    run = (0.5814, 1 / 1200, 20, 180_000)
    interval = losses.fitting_interval((run,))
    chosen, finer = (losses.distribution(*run, size).get_epsilon_for_delta(6e-6) for size in (interval, interval / 2))
    assert finer <= chosen <= finer * (1 + 3e-4)


def test_the_interval_is_fine_where_it_matters_and_never_too_fine_for_memory() -> None:
    paper = (0.5814, 1 / 1200, 1, 180_000)
    assert losses.fitting_interval((paper,)) == losses.FINEST
    assert losses.fitting_interval((paper, (4.4028, 1 / 1200, 1, 180_000))) == losses.FINEST
    assert losses.fitting_interval(((40.0, 1 / 1200, 1, 180_000),)) < losses.FINEST
    assert losses.fitting_interval(((0.01, 0.5, 1, 10**6),)) == math.inf
    wide = (0.2, 0.5, 3, 2000)
    interval = losses.fitting_interval((wide,))
    assert losses.FINEST < interval <= 1
    assert losses.distribution(*wide, interval).get_epsilon_for_delta(1e-5) < math.inf
