"""Poisson's law of batches and the choice of views; the same tests find samplers of other laws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from privrad.privacy.plan import Plan
from privrad.privacy.sampling import Integers, PoissonSampler, ViewSampler
from tests.privacy import detectors
from tests.privacy.detectors import ALARM, Drawn

KEY = bytes(range(32))
UNITS, STEPS = 60, 1000
PLAN = Plan(
    unit="patient",
    population=UNITS,
    expected_batch=15,
    steps=STEPS,
    delta=1e-3,
    clipping_norm=1.0,
    epsilon=2.0,
    noise_multiplier=1.0,
)
RATE = 0.25


def drawn_by(batch: Callable[[int], Integers], *, units: int = UNITS, steps: int = STEPS) -> Drawn:
    drawn = np.zeros((steps, units), dtype=bool)
    for step in range(steps):
        drawn[step, batch(step)] = True
    return drawn


def clean(key: bytes = KEY, *, plan: Plan = PLAN, units: int = UNITS) -> Callable[[int], Integers]:
    return plan.batches(key, units=units).batch


def test_a_hundred_clean_runs_raise_no_alarm() -> None:
    for run in range(100):
        drawn = drawn_by(clean(run.to_bytes(32, "big")))
        assert detectors.sampling_alarms(drawn, RATE) == set(), run


def test_a_long_run_raises_no_alarm_and_shows_a_rare_truncation() -> None:
    drawn = drawn_by(clean(), steps=10_000)
    assert detectors.sampling_alarms(drawn, RATE) == set()
    above = np.cumsum(drawn, axis=1) > 22
    assert 0.005 < above.any(axis=1).mean() < 0.025
    assert "batch_sizes" in detectors.sampling_alarms(drawn & ~above, RATE)


def test_a_run_with_units_missing_draws_the_others_at_the_declared_rate() -> None:
    drawn = drawn_by(clean(units=45), units=45, steps=4000)
    assert detectors.sampling_alarms(drawn, RATE) == set()


def test_two_ranks_with_keys_of_their_own_raise_no_alarm() -> None:
    first, second = clean(KEY, units=30), clean(bytes(32), units=30)
    assert detectors.sampling_alarms(drawn_by(lambda step: np.append(first(step), 30 + second(step))), RATE) == set()


def shuffled(step: int) -> Integers:
    epoch, place = divmod(step, 4)
    order = np.random.default_rng(epoch).permutation(UNITS)
    return order[15 * place : 15 * (place + 1)]


def fixed_size(step: int) -> Integers:
    return np.random.default_rng(step).choice(UNITS, 15, replace=False)


def truncated(step: int) -> Integers:
    return clean()(step)[:18]


def weighted(step: int) -> Integers:
    coins = np.random.default_rng(step).random(UNITS)
    return np.flatnonzero(coins < RATE * np.linspace(0.7, 1.3, UNITS))


def shared_by_ranks(step: int) -> Integers:
    own = clean(units=30)(step)
    return np.append(own, 30 + own)


def each_twice(step: int) -> Integers:
    return clean()(step // 2)


def shifted_stream(step: int) -> Integers:
    coins = np.random.default_rng(0).random(UNITS + STEPS)
    return np.flatnonzero(coins[step : step + UNITS] < RATE)


def small_ones_replaced(step: int) -> Integers:
    batch = clean()(step)
    return batch if len(batch) > 9 else fixed_size(step)


def one_left_out(step: int) -> Integers:
    return np.setdiff1d(clean()(step), [59])


@pytest.mark.parametrize(
    ("batch", "finds"),
    [
        (shuffled, {"inclusion", "batch_sizes", "units_apart", "steps_apart"}),
        (fixed_size, {"batch_sizes", "units_apart"}),
        (truncated, {"total", "batch_sizes"}),
        (weighted, {"inclusion"}),
        (shared_by_ranks, {"batch_sizes", "units_apart"}),
        (each_twice, {"steps_apart"}),
        (shifted_stream, {"steps_apart"}),
        (one_left_out, {"inclusion"}),
        (small_ones_replaced, {"batch_sizes"}),
    ],
)
def test_a_sampler_of_another_law_is_found(batch: Callable[[int], Integers], finds: set[str]) -> None:
    assert finds <= detectors.sampling_alarms(drawn_by(batch), RATE)


def test_a_rate_taken_from_the_units_present_is_found() -> None:
    present = 54
    planted = replace(PLAN, population=present)
    assert "total" in detectors.sampling_alarms(drawn_by(clean(plan=planted, units=present), units=present), RATE)


def test_empty_batches_come_as_often_as_they_should_and_skipping_them_is_found() -> None:
    few = replace(PLAN, population=10, expected_batch=2)
    drawn = drawn_by(clean(plan=few, units=10), units=10)
    assert detectors.sampling_alarms(drawn, 0.2) == set()
    empty = ~drawn.any(axis=1)
    assert 70 < int(empty.sum()) < 150
    assert "batch_sizes" in detectors.sampling_alarms(drawn[~empty], 0.2)


def test_a_batch_is_a_function_of_key_and_step_in_any_order() -> None:
    sampler = PoissonSampler(key=KEY, sample_rate=0.2, units=500)
    backwards = {step: sampler.batch(step) for step in reversed(range(5))}
    again = PoissonSampler(key=KEY, sample_rate=0.2, units=500)
    for step in range(5):
        assert np.array_equal(again.batch(step), backwards[step])
    assert not np.array_equal(sampler.batch(0), sampler.batch(1))
    assert not np.array_equal(sampler.batch(0), PoissonSampler(key=bytes(32), sample_rate=0.2, units=500).batch(0))


def test_every_unit_is_drawn_at_rate_one_and_none_where_there_is_none() -> None:
    assert PoissonSampler(key=KEY, sample_rate=1.0, units=7).batch(0).tolist() == list(range(7))
    assert PoissonSampler(key=KEY, sample_rate=0.5, units=0).batch(0).tolist() == []


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.01, float("nan")])
def test_a_rate_outside_its_range_is_named(rate: float) -> None:
    with pytest.raises(ValueError, match=f"sample_rate {rate}"):
        PoissonSampler(key=KEY, sample_rate=rate, units=1)


def test_views_are_own_images_without_repeats_where_there_are_enough() -> None:
    images = [np.array([10]), np.array([20, 21]), np.array([30, 31, 32, 33]), np.array([40, 41, 42])]
    sampler = ViewSampler(key=KEY, views=3, images=images)
    for step in range(50):
        chosen = sampler.rows(step, np.array([2, 0, 1, 3]))
        assert chosen.shape == (4, 3)
        assert set(chosen[0]) <= {30, 31, 32, 33}
        assert len(set(chosen[0])) == 3
        assert set(chosen[1]) == {10}
        assert set(chosen[2]) <= {20, 21}
        assert set(chosen[3]) == {40, 41, 42}


def test_an_image_is_repeated_only_where_a_unit_has_too_few() -> None:
    sampler = ViewSampler(key=KEY, views=3, images=[np.array([20, 21])])
    drawn = np.concatenate([sampler.rows(step, np.array([0])) for step in range(3000)])
    assert detectors.choices(drawn[:, :1] - 20, images=2) > ALARM
    assert np.mean(drawn[:, 0] == drawn[:, 1]) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("views", [1, 2, 4])
def test_each_image_of_a_patient_is_equally_likely(views: int) -> None:
    own = ViewSampler(key=KEY, views=views, images=[np.arange(3), np.arange(4, 9)])
    drawn = np.concatenate([own.rows(step, np.array([0, 1]))[1:] for step in range(3000)]) - 4
    assert detectors.choices(drawn, images=5) > ALARM
    stuck = np.repeat(drawn[:30], 100, axis=0)
    biased = np.where(drawn == 4, 0, drawn)
    assert detectors.choices(stuck, images=5) < ALARM
    assert detectors.choices(biased, images=5) < ALARM


@pytest.mark.parametrize("views", [1, 2])
def test_views_are_drawn_afresh_each_step(views: int) -> None:
    sampler = ViewSampler(key=KEY, views=views, images=[np.arange(8)] * 40)
    drawn = np.stack([sampler.rows(step, np.arange(40)) for step in range(500)])
    same = (drawn[1:] == drawn[:-1]).mean()
    assert same == pytest.approx(1 / 8, abs=5 * np.sqrt(7 / 64 / drawn[1:].size))
    assert (drawn[:, 1:] == drawn[:, :-1]).mean() == pytest.approx(1 / 8, abs=5 * np.sqrt(7 / 64 / drawn[1:].size))


def test_views_of_an_empty_batch_are_empty_and_repeat() -> None:
    sampler = ViewSampler(key=KEY, views=2, images=[np.array([1, 2, 3])] * 4)
    assert sampler.rows(0, np.array([], dtype=np.int64)).shape == (0, 2)
    assert np.array_equal(sampler.rows(1, np.arange(4)), sampler.rows(1, np.arange(4)))


def test_what_views_cannot_be_drawn_from_is_named() -> None:
    with pytest.raises(ValueError, match="unit 1 has no image"):
        ViewSampler(key=KEY, views=1, images=[np.array([1]), np.array([], dtype=np.int64)])
    with pytest.raises(ValueError, match="views 0"):
        ViewSampler(key=KEY, views=0, images=[])
