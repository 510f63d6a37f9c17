"""Gaussian noise from a cryptographic stream, a function of (key, step)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from privrad.privacy.randomness import words

CHUNK = 1 << 16


def gaussian(key: bytes, step: int, size: int, *, scale: float = 1.0) -> npt.NDArray[np.float32]:
    """`size` draws of a normal law with mean 0 and standard deviation `scale`.

    Box and Muller's transform in float64 over the stream of `privrad.privacy.randomness.words`, scaled, then rounded
    to float32. The first of each pair of uniforms lies in (0, 1], so that no draw is infinite; the largest is about
    8.6 standard deviations. Raises ValueError for a scale that is negative or not finite.
    """
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"scale {scale} must be finite and at least 0")
    pairs = (size + 1) // 2
    bits = words(key, step, 2 * pairs).reshape(pairs, 2)
    out = np.empty((pairs, 2), dtype=np.float32)
    for start in range(0, pairs, CHUNK):
        part = (bits[start : start + CHUNK] >> np.uint64(11)).astype(np.float64)
        radius = scale * np.sqrt(-2.0 * np.log((part[:, 0] + 1.0) * 2.0**-53))
        angle = part[:, 1] * (2.0 * np.pi * 2.0**-53)
        out[start : start + CHUNK, 0] = radius * np.cos(angle)
        out[start : start + CHUNK, 1] = radius * np.sin(angle)
    return out.reshape(-1)[:size]
