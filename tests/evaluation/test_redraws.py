"""The law of the redraws, by its own words and by its moments."""

import numpy as np
import pytest

from privrad.evaluation import redraws


def test_any_redraw_can_be_had_without_the_others() -> None:
    weights = redraws.weigh(30, redraws=12, seed=5)
    taken = np.random.default_rng([5, 7]).integers(30, size=30)
    np.testing.assert_array_equal(weights.matrix[1 + 7], np.bincount(taken, minlength=30))


def test_the_first_row_is_the_test_set_and_more_redraws_leave_the_earlier_ones() -> None:
    few, many = (redraws.weigh(40, redraws=count, seed=1).matrix for count in (10, 25))
    assert (few[0] == 1).all()
    np.testing.assert_array_equal(few[:11], many[:11])
    np.testing.assert_array_equal(few[11:], many[26:])


@pytest.mark.parametrize(("units", "blocks"), [(7, 7), (100, 100), (1234, 100)])
def test_the_jackknife_leaves_each_unit_out_once(units: int, blocks: int) -> None:
    weights = redraws.weigh(units, redraws=3, seed=2)
    left_out = weights.matrix[4:]
    assert left_out.shape == (blocks, units)
    assert ((left_out == 0).sum(axis=0) == 1).all()
    sizes = (left_out == 0).sum(axis=1)
    assert sizes.max() - sizes.min() <= 1


def test_redraws_are_multinomial() -> None:
    """Each unit is drawn Binomial(n, 1/n) times: mean 1, variance 1 - 1/n, covariance -1/n."""
    drawn = redraws.weigh(20, redraws=20_000, seed=8).matrix[1:20_001].astype(float)
    assert (drawn.sum(axis=1) == 20).all()
    assert abs(drawn[:, 0].mean() - 1) < 5 * np.sqrt(0.95 / 20_000)
    assert drawn.var(axis=0) == pytest.approx(0.95, abs=0.08)
    assert np.cov(drawn[:, 0], drawn[:, 1])[0, 1] == pytest.approx(-1 / 20, abs=0.04)


def test_values_are_taken_apart() -> None:
    weights = redraws.weigh(5, redraws=3, seed=0)
    drawn = weights.drawn(np.arange(9.0))
    assert drawn.value == 0
    assert drawn.draws.tolist() == [1, 2, 3]
    assert drawn.left_out.tolist() == [4, 5, 6, 7, 8]
