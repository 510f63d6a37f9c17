"""Streams of random bytes, each a function of (key, step): HKDF-SHA256 for the keys, AES-256-CTR for the bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Stream = Literal["noise", "batch", "views"]
KEY_BYTES = 32
PAIR_BYTES = 16


def stream_key(run_key: bytes, stream: Stream) -> bytes:
    """The key of one stream of a run (RFC 5869); streams of one run are independent of each other.

    Raises ValueError for a run key that is not 32 bytes long.
    """
    _check_key(run_key)
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"privrad {stream}".encode()).derive(run_key)


def words(key: bytes, step: int, count: int) -> npt.NDArray[np.uint64]:
    """`count` uniform 64-bit words: the AES-256-CTR key stream whose upper counter half is the step.

    Raises ValueError for a key that is not 32 bytes long and for a step outside [0, 2^64).
    """
    return np.frombuffer(_encryptor(key, step).update(bytes(8 * count)), dtype="<u8")


def pairs(key: bytes, step: int, count: int, *, at_once: int) -> Iterator[npt.NDArray[np.uint64]]:
    """The first 2·count of `words` as rows of two, at most `at_once` rows at a time.

    Each array holds until the next one is asked for: they share one buffer, which stays in the processor's cache.
    Raises ValueError as `words` does.
    """
    encryptor = _encryptor(key, step)
    zeros, buffer = bytes(PAIR_BYTES * at_once), bytearray(PAIR_BYTES * at_once)
    rows = np.frombuffer(buffer, dtype="<u8").reshape(at_once, 2)
    for start in range(0, count, at_once):
        here = min(at_once, count - start)
        encryptor.update_into(memoryview(zeros)[: PAIR_BYTES * here], buffer)
        yield rows[:here]


def uniforms(key: bytes, step: int, count: int) -> npt.NDArray[np.float64]:
    """`count` float64 uniform on the multiples of 2^-53 in [0, 1)."""
    return (words(key, step, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _encryptor(key: bytes, step: int) -> CipherContext:
    _check_key(key)
    if not 0 <= step < 2**64:
        raise ValueError(f"step {step} must lie in [0, 2^64)")
    return Cipher(algorithms.AES256(key), modes.CTR(step.to_bytes(8, "big") + bytes(8))).encryptor()


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ValueError(f"key of {len(key)} bytes must have {KEY_BYTES}; draw one by os.urandom({KEY_BYTES})")
