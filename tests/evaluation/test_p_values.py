"""P values from redraws, and Holm's adjustment."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from privrad.evaluation.p_values import LEVELS, equivalence, holm, paired_p

NAN = math.nan
LEAST = LEVELS[-1]


@pytest.mark.parametrize(
    ("draws", "p"),
    [
        (np.arange(1.0, 100.0), 2 / 100),  # all 99 above zero: never 0
        (-np.arange(1.0, 100.0), 2 / 100),
        (np.r_[-np.ones(9), np.ones(90)], 2 * 10 / 100),
        (np.r_[0.0, np.ones(98)], 2 * 2 / 100),  # zero counts to both sides
        (np.zeros(99), 1),
        (np.r_[-np.ones(50), np.ones(49)], 1),
        (np.r_[np.full(50, NAN), np.ones(49)], 2 / 50),  # degenerate redraws are none
    ],
)
def test_two_sided_p_by_hand(draws: np.ndarray, p: float) -> None:
    assert paired_p(draws) == pytest.approx(p, rel=1e-12)


def test_no_redraw_no_p() -> None:
    assert math.isnan(paired_p(np.array([NAN, NAN])))


def normal(value: float, error: float) -> Callable[[float], tuple[float, float]]:
    def limits(confidence: float) -> tuple[float, float]:
        reach = float(norm.ppf((1 + confidence) / 2)) * error
        return value - reach, value + reach

    return limits


@pytest.mark.parametrize("value", [0.0, 0.01, 0.02, 0.05, -0.013])
def test_equivalence_of_a_normal_number(value: float) -> None:
    """Where the interval is value -+ z error, p is that of the z test at the margin."""
    above, both = equivalence(normal(value, 0.006), margin=0.02)
    upper, lower = norm.sf((0.02 - value) / 0.006), norm.sf((0.02 + value) / 0.006)
    assert above == pytest.approx(min(max(upper, LEAST), 1 - LEAST), rel=1e-3, abs=1e-9)
    assert both == pytest.approx(min(max(upper, lower, LEAST), 1 - LEAST), rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.0101, 0.0102, 0.02, -0.0101, -0.0102])
def test_passing_at_five_percent_is_the_ninety_percent_interval_within_the_margin(value: float) -> None:
    limits = normal(value, 0.006)
    low, high = limits(0.90)
    above, both = equivalence(limits, margin=0.02)
    assert (above < 0.05) == (high < 0.02)
    assert (both < 0.05) == (low > -0.02 and high < 0.02)


def test_a_lopsided_interval_is_turned_for_the_other_side() -> None:
    """Limits one error below and three above: the mirror image at -margin uses the lower one."""

    def limits(confidence: float) -> tuple[float, float]:
        z = float(norm.ppf((1 + confidence) / 2))
        return -z * 0.01, z * 0.03

    assert equivalence(limits, margin=0.03) == pytest.approx((norm.sf(1), norm.sf(1)), rel=1e-3)
    turned = equivalence(lambda confidence: (-limits(confidence)[1], -limits(confidence)[0]), margin=0.03)
    assert turned == pytest.approx((norm.sf(3), norm.sf(1)), rel=1e-3)


def test_bounds_that_turn_back_are_met_where_they_first_reach_the_margin() -> None:
    """An upper bound z - z^2 / 8 is highest at z = 4; only what it reaches on the way there counts."""

    def limits(confidence: float) -> tuple[float, float]:
        z = float(norm.ppf((1 + confidence) / 2))
        return -z - z * z / 8, z - z * z / 8

    first = 4 - math.sqrt(16 - 8)  # z - z^2 / 8 = 1
    assert equivalence(limits, margin=1.0)[0] == pytest.approx(norm.sf(first), rel=1e-3)
    assert equivalence(limits, margin=3.0)[0] == LEAST


def test_no_interval_no_equivalence() -> None:
    assert all(map(math.isnan, equivalence(lambda confidence: (NAN, NAN), margin=0.1)))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1, 1]
    assert holm([]) == []


def test_holm_counts_only_what_was_tested() -> None:
    first, second, third = holm([0.02, NAN, 0.5])
    assert (first, third) == pytest.approx((0.04, 0.5))
    assert math.isnan(second)


def test_holm_keeps_the_family_wise_error() -> None:
    """With five true hypotheses of six, any of them is refused in at most 5 % of 4,000 families (3 standard errors)."""
    rng = np.random.default_rng(3)
    wrong = sum(min(holm([1e-6, *rng.random(5)])[1:]) <= 0.05 for _ in range(4000))
    assert wrong / 4000 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)
