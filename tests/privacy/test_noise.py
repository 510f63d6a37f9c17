"""The noise of a plan: its level to one percent, its law to five standard deviations, and no step twice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from privrad.privacy import noise as module
from privrad.privacy.noise import gaussian
from privrad.privacy.plan import Plan
from privrad.privacy.randomness import stream_key, words
from tests.privacy import detectors
from tests.privacy.detectors import ALARM

KEY = bytes(range(32))
PLAN = Plan(
    unit="patient",
    population=1000,
    expected_batch=100,
    steps=50,
    delta=1e-5,
    clipping_norm=0.7,
    epsilon=2.0,
    noise_multiplier=1.3,
)
SIGMA = 1.3 * 0.7
SIZE = 400_000


def run_keys(count: int) -> list[bytes]:
    return [run.to_bytes(32, "big") for run in range(count)]


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    return gaussian(KEY, 11, 20_000_000, scale=SIGMA)


def test_an_error_of_one_percent_has_power_99_at_a_false_alarm_rate_of_a_millionth() -> None:
    for wrong_by in (0.99, 1.01):
        assert detectors.noise_level_power(SIZE, wrong_by, alarm=1e-6) > 0.9999
        assert detectors.noise_level_power(270_000, wrong_by, alarm=1e-6) > 0.99
    assert detectors.noise_level_power(SIZE, 1.0, alarm=1e-6) == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize("wrong_by", [0.99, 1.01])
def test_a_sigma_wrong_by_one_percent_is_found_in_every_one_of_a_hundred_runs(wrong_by: float) -> None:
    planted = replace(PLAN, noise_multiplier=PLAN.noise_multiplier * wrong_by)
    caught = sum(detectors.noise_level(planted.noise_of(key, 3, SIZE), SIGMA) < ALARM for key in run_keys(100))
    assert caught >= 99


def test_a_hundred_clean_runs_raise_no_alarm() -> None:
    for key in run_keys(100):
        noise = PLAN.noise_of(key, 0, SIZE)
        assert detectors.noise_level(noise, SIGMA) > ALARM
        assert detectors.noise_mean(noise, SIGMA) > ALARM
        assert detectors.noise_apart(noise, PLAN.noise_of(key, 1, SIZE), SIGMA) > ALARM


def test_the_law_is_normal() -> None:
    noise = PLAN.noise_of(KEY, 3, SIZE)
    assert detectors.noise_law(noise, SIGMA) > ALARM
    assert detectors.noise_law(np.sign(noise) * np.abs(noise) ** 1.05, SIGMA) < ALARM


@pytest.mark.parametrize("beyond", [1, 2, 3, 4, 4.5, 5])
def test_the_tails_hold_what_a_normal_law_has(many: np.ndarray, beyond: float) -> None:
    assert detectors.noise_tail(many, SIGMA, beyond=beyond) > ALARM


def test_noise_cut_off_at_four_standard_deviations_is_found(many: np.ndarray) -> None:
    assert detectors.noise_tail(many.clip(-4 * SIGMA, 4 * SIGMA), SIGMA, beyond=4.5) < ALARM


@pytest.mark.parametrize("lag", [1, 2, 3, 2 * module.AT_ONCE])
def test_draws_of_one_step_are_independent(lag: int) -> None:
    noise = PLAN.noise_of(KEY, 3, SIZE)
    assert detectors.noise_apart(noise[:-lag], noise[lag:], SIGMA) > ALARM
    assert detectors.noise_apart(noise[::2], noise[1::2], SIGMA) > ALARM


def test_steps_runs_and_streams_are_independent_and_a_reused_one_is_found() -> None:
    noise = PLAN.noise_of(KEY, 3, SIZE)
    others = {
        "step": PLAN.noise_of(KEY, 4, SIZE),
        "far step": PLAN.noise_of(KEY, 3 + 2**32, SIZE),
        "run": PLAN.noise_of(bytes(32), 3, SIZE),
        "batch stream": gaussian(stream_key(KEY, "batch"), 3, SIZE, scale=SIGMA),
        "views stream": gaussian(stream_key(KEY, "views"), 3, SIZE, scale=SIGMA),
    }
    for name, other in others.items():
        assert detectors.noise_apart(noise, other, SIGMA) > ALARM, name
    assert detectors.noise_apart(noise, PLAN.noise_of(KEY, 3, SIZE), SIGMA) < ALARM
    assert detectors.noise_apart(noise, np.sign(others["run"]) * np.abs(noise), SIGMA) < ALARM


def by_the_book(bits: np.ndarray, scale: float) -> list[float]:
    out = []
    for first, second in bits.reshape(-1, 2).tolist():
        radius = scale * math.sqrt(-2 * math.log(((first >> 11) + 1) / 2**53))
        angle = 2 * math.pi * (second >> 11) / 2**53
        out += [radius * math.cos(angle), radius * math.sin(angle)]
    return out


def test_noise_is_box_and_mullers_transform_of_the_stream() -> None:
    size = 2 * module.AT_ONCE + 7
    expected = by_the_book(words(KEY, 5, size + 1), 0.37)[:size]
    assert np.allclose(gaussian(KEY, 5, size, scale=0.37), expected, rtol=2.0**-23, atol=1e-14)


def test_the_ends_of_the_uniforms_give_finite_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [0, 2**11, 2**61, 2**62, 2**63 - 1, 2**63, 2**63 + 2**62, 2**64 - 2**11, 2**64 - 1]
    bits = np.array([(first, second) for first in ends for second in ends], dtype=np.uint64)

    def planted(key: bytes, step: int, count: int, *, at_once: int) -> Iterator[np.ndarray]:
        yield bits.copy()

    monkeypatch.setattr(module, "pairs", planted)
    noise = gaussian(KEY, 0, bits.size)
    assert np.allclose(noise, by_the_book(bits, 1.0), rtol=2.0**-22, atol=1e-14)
    assert 8.5 < np.abs(noise).max() < 8.6


def test_noise_is_a_function_of_key_and_step() -> None:
    assert np.array_equal(gaussian(KEY, 5, 101), gaussian(KEY, 5, 101))
    assert not np.array_equal(gaussian(KEY, 5, 101), gaussian(KEY, 6, 101))
    assert not np.array_equal(gaussian(KEY, 5, 101), gaussian(bytes(32), 5, 101))
    for size in (0, 1, 1000, 2 * module.AT_ONCE, 2 * module.AT_ONCE + 1):
        assert np.array_equal(gaussian(KEY, 5, 200_001)[:size], gaussian(KEY, 5, size))
    assert gaussian(KEY, 5, 101).dtype == np.float32


def test_the_number_of_threads_changes_no_bit() -> None:
    alone = gaussian(KEY, 5, 100_001)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert np.array_equal(gaussian(KEY, 5, 100_001), alone)
    finally:
        torch.set_num_threads(threads)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda step: gaussian(KEY, step, 100_001), [5, 6, 5, 7, 5]))
    assert all(np.array_equal(together[index], alone) for index in (0, 2, 4))


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -1.0])
def test_a_bad_scale_is_named(scale: float) -> None:
    with pytest.raises(ValueError, match=f"scale {scale}"):
        gaussian(KEY, 0, 1, scale=scale)
