"""Noise level, Poisson law, independence: and all of it a function of (key, step)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from privrad.privacy.noise import gaussian
from privrad.privacy.randomness import stream_key, uniforms, words
from privrad.privacy.sampling import PoissonSampler, ViewSampler

KEY = bytes(range(32))


def test_streams_of_one_run_differ_and_repeat() -> None:
    keys = {stream: stream_key(KEY, stream) for stream in ("noise", "batch", "views")}
    assert len(set(keys.values())) == 3
    assert all(len(key) == 32 for key in keys.values())
    assert keys["noise"] == stream_key(KEY, "noise")
    assert keys["noise"] != stream_key(bytes(32), "noise")


def test_words_are_the_aes_counter_stream() -> None:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    block = Cipher(algorithms.AES256(KEY), modes.ECB()).encryptor()
    expected = b"".join(block.update((7).to_bytes(8, "big") + count.to_bytes(8, "big")) for count in range(3))
    assert words(KEY, 7, 6).tobytes() == expected
    assert np.array_equal(words(KEY, 7, 6)[:3], words(KEY, 7, 3))
    assert not np.array_equal(words(KEY, 7, 6), words(KEY, 8, 6))


def test_uniforms_are_uniform() -> None:
    draws = uniforms(KEY, 0, 200_000)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert stats.kstest(draws, "uniform").pvalue > 1e-6


@pytest.mark.parametrize("scale", [1.0, 0.37])
def test_noise_has_its_level_to_well_within_one_percent(scale: float) -> None:
    size = 2_000_000
    noise = gaussian(KEY, 0, size, scale=scale).astype(np.float64)
    bound = 5 * scale / np.sqrt(2 * size)
    assert abs(noise.std() - scale) < bound < 0.003 * scale
    assert abs(noise.mean()) < 5 * scale / np.sqrt(size)


def test_noise_has_the_normal_law_and_is_uncorrelated() -> None:
    noise = gaussian(KEY, 3, 400_000).astype(np.float64)
    assert stats.kstest(noise, "norm").pvalue > 1e-6
    for lag in (1, 2, 3):
        assert abs(np.corrcoef(noise[:-lag], noise[lag:])[0, 1]) < 5 / np.sqrt(len(noise))
    assert abs(np.corrcoef(noise, gaussian(KEY, 4, 400_000))[0, 1]) < 5 / np.sqrt(len(noise))
    squares = noise.reshape(-1, 2) ** 2
    assert abs(np.corrcoef(squares[:, 0], squares[:, 1])[0, 1]) < 5 / np.sqrt(len(squares))
    assert 4.2 < np.abs(noise).max() < 6.5


def test_noise_is_a_function_of_key_and_step() -> None:
    assert np.array_equal(gaussian(KEY, 5, 101), gaussian(KEY, 5, 101))
    assert not np.array_equal(gaussian(KEY, 5, 101), gaussian(KEY, 6, 101))
    assert not np.array_equal(gaussian(KEY, 5, 101), gaussian(bytes(32), 5, 101))
    assert np.array_equal(gaussian(KEY, 5, 200_001)[:1000], gaussian(KEY, 5, 1000))
    assert gaussian(KEY, 5, 101).dtype == np.float32
    assert gaussian(KEY, 5, 0).shape == (0,)


def test_bad_keys_steps_and_scales_are_named() -> None:
    with pytest.raises(ValueError, match="key of 3 bytes"):
        words(b"abc", 0, 1)
    with pytest.raises(ValueError, match="step -1"):
        words(KEY, -1, 1)
    with pytest.raises(ValueError, match="scale nan"):
        gaussian(KEY, 0, 1, scale=float("nan"))


def batches(*, rate: float, units: int, steps: int) -> np.ndarray:
    sampler = PoissonSampler(key=KEY, sample_rate=rate, units=units)
    drawn = np.zeros((steps, units), dtype=bool)
    for step in range(steps):
        drawn[step, sampler.batch(step)] = True
    return drawn


def test_batch_sizes_are_binomial_and_every_unit_is_drawn_at_the_rate() -> None:
    rate, units, steps = 0.1, 60, 5000
    drawn = batches(rate=rate, units=units, steps=steps)
    sizes = drawn.sum(1)
    law = stats.binom(units, rate)
    seen = np.bincount(np.minimum(sizes, 13), minlength=14)
    expected = steps * np.append(law.pmf(range(13)), law.sf(12))
    assert stats.chisquare(seen, expected * seen.sum() / expected.sum()).pvalue > 1e-6
    inclusion = (drawn.sum(0) - steps * rate) / np.sqrt(steps * rate * (1 - rate))
    assert np.abs(inclusion).max() < 5
    assert (inclusion**2).sum() < stats.chi2(units).isf(1e-6)
    assert (sizes == 0).any()


def test_units_and_steps_are_independent() -> None:
    rate, units, steps = 0.3, 30, 5000
    drawn = batches(rate=rate, units=units, steps=steps) - rate
    correlations = np.asarray(np.corrcoef(drawn.T))
    between_units = correlations[np.triu_indices(units, 1)] * np.sqrt(steps)
    assert np.abs(between_units).max() < 5.5
    assert between_units.std() == pytest.approx(1, abs=0.15)
    between_steps = (drawn[:-1] * drawn[1:]).mean(0) / (rate * (1 - rate)) * np.sqrt(steps - 1)
    assert np.abs(between_steps).max() < 5


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


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.01])
def test_a_rate_outside_its_range_is_named(rate: float) -> None:
    with pytest.raises(ValueError, match=f"sample_rate {rate}"):
        PoissonSampler(key=KEY, sample_rate=rate, units=1)


def test_views_are_own_images_without_repeats_where_there_are_enough() -> None:
    images = [np.array([10]), np.array([20, 21]), np.array([30, 31, 32, 33])]
    sampler = ViewSampler(key=KEY, views=3, images=images)
    for step in range(50):
        chosen = sampler.rows(step, np.array([2, 0, 1]))
        assert chosen.shape == (3, 3)
        assert set(chosen[0]) <= {30, 31, 32, 33}
        assert len(set(chosen[0])) == 3
        assert set(chosen[1]) == {10}
        assert set(chosen[2]) <= {20, 21}


@pytest.mark.parametrize("views", [1, 2])
def test_each_image_of_a_patient_is_equally_likely(views: int) -> None:
    sampler = ViewSampler(key=KEY, views=views, images=[np.array([4, 5, 6])])
    drawn = np.concatenate([sampler.rows(step, np.array([0]))[0] for step in range(3000)])
    assert stats.chisquare(np.bincount(drawn - 4, minlength=3)).pvalue > 1e-6


def test_views_of_an_empty_batch_are_empty_and_repeat() -> None:
    sampler = ViewSampler(key=KEY, views=2, images=[np.array([1, 2, 3])] * 4)
    assert sampler.rows(0, np.array([], dtype=np.int64)).shape == (0, 2)
    assert np.array_equal(sampler.rows(1, np.arange(4)), sampler.rows(1, np.arange(4)))
    with pytest.raises(ValueError, match="unit 1 has no image"):
        ViewSampler(key=KEY, views=1, images=[np.array([1]), np.array([], dtype=np.int64)])
