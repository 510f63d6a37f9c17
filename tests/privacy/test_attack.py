"""What an attacker can gain at most, against the best attack on a plain Gaussian mechanism."""

from __future__ import annotations

import pytest
from scipy.stats import norm

from privrad.privacy import accounting, losses
from privrad.privacy.accounting import Run
from privrad.privacy.attack import FALSE_POSITIVE_RATES, bound

PAPER = [4.4028, 0.9632, 0.5814]


@pytest.mark.parametrize(("noise", "steps"), [(1.5, 1), (3.0, 1), (5.0, 9)])
def test_bounds_are_just_above_the_best_attack_on_a_gaussian(noise: float, steps: int) -> None:
    signal = steps**0.5 / noise
    found = accounting.attack(Run(noise_multiplier=noise, sample_rate=1.0, steps=steps))
    assert tuple(found.true_positive_rate) == FALSE_POSITIVE_RATES
    for rate, caught in found.true_positive_rate.items():
        best = norm.cdf(norm.ppf(rate) + signal)
        assert best <= caught <= best * 1.002
    best = 2 * norm.cdf(signal / 2) - 1
    assert best <= found.membership_advantage <= best * 1.001


@pytest.mark.parametrize("sigma", PAPER)
def test_true_positives_are_no_rarer_than_false_ones_after_180_000_steps(sigma: float) -> None:
    found = accounting.attack(Run(noise_multiplier=sigma, sample_rate=1 / 1200, steps=180_000))
    for rate, caught in found.true_positive_rate.items():
        assert rate < caught < 1
        assert caught - rate <= found.membership_advantage


def test_the_advantage_is_the_total_variation() -> None:
    run = (2.0, 0.2, 1, 10, 1e-3)
    distribution = losses.distribution(*run)
    assert bound(distribution).membership_advantage == pytest.approx(distribution.get_delta_for_epsilon(0.0), rel=1e-12)
    assert 0 < bound(distribution).membership_advantage < 10 * 0.2 * (2 * norm.cdf(1 / 4) - 1)


def test_bounds_of_a_subsampled_step_are_just_above_the_best_attack() -> None:
    noise, rate = 1.0, 0.1
    found = accounting.attack(Run(noise_multiplier=noise, sample_rate=rate, steps=1))
    for false, caught in found.true_positive_rate.items():
        looking_for_a_member = (1 - rate) * false + rate * norm.cdf(norm.ppf(false) + 1 / noise)
        assert looking_for_a_member <= caught <= looking_for_a_member * 1.01


def test_more_noise_leaves_less_to_gain_and_more_images_more() -> None:
    advantages = [
        accounting.attack(Run(noise_multiplier=noise, sample_rate=0.1, steps=20, images=images)).membership_advantage
        for noise, images in ((4.0, 1), (2.0, 1), (2.0, 3), (0.01, 3))
    ]
    assert advantages == sorted(advantages)
    assert advantages[-1] == pytest.approx(1, abs=0.01)


def test_nothing_is_promised_where_nothing_is_known() -> None:
    assert bound(None).membership_advantage == 1
    assert set(bound(None).true_positive_rate.values()) == {1.0}
