"""Keys and streams of random bytes: each a function of (key, step)."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scipy import stats

from privrad.privacy.randomness import pairs, stream_key, uniforms, words

KEY = bytes(range(32))


def test_streams_of_one_run_differ_and_repeat() -> None:
    keys = {stream: stream_key(KEY, stream) for stream in ("noise", "batch", "views")}
    assert len(set(keys.values())) == 3
    assert all(len(key) == 32 for key in keys.values())
    assert keys["noise"] == stream_key(KEY, "noise")
    assert keys["noise"] != stream_key(bytes(32), "noise")


def test_words_are_the_aes_counter_stream() -> None:
    block = Cipher(algorithms.AES256(KEY), modes.ECB()).encryptor()
    expected = b"".join(block.update((7).to_bytes(8, "big") + count.to_bytes(8, "big")) for count in range(3))
    assert words(KEY, 7, 6).tobytes() == expected
    assert np.array_equal(words(KEY, 7, 6)[:3], words(KEY, 7, 3))
    assert not np.array_equal(words(KEY, 7, 6), words(KEY, 8, 6))


@pytest.mark.parametrize("count", [0, 1, 4, 8, 11])
def test_pairs_are_the_words_in_rows_of_two(count: int) -> None:
    rows = [part.copy() for part in pairs(KEY, 7, count, at_once=4)]
    assert [len(part) for part in rows] == [4] * (count // 4) + ([count % 4] if count % 4 else [])
    assert np.array_equal(np.concatenate([np.empty((0, 2), np.uint64), *rows]).ravel(), words(KEY, 7, 2 * count))


def test_uniforms_are_uniform() -> None:
    draws = uniforms(KEY, 0, 200_000)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert stats.kstest(draws, "uniform").pvalue > 1e-6


def test_bad_keys_and_steps_are_named() -> None:
    with pytest.raises(ValueError, match="key of 3 bytes"):
        words(b"abc", 0, 1)
    with pytest.raises(ValueError, match="step -1"):
        words(KEY, -1, 1)
    with pytest.raises(ValueError, match="step 18446744073709551616"):
        next(pairs(KEY, 2**64, 1, at_once=1))
    with pytest.raises(ValueError, match="key of 31 bytes"):
        stream_key(KEY[1:], "noise")
