"""Gaussian noise from a cryptographic stream, a function of (key, step)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from privrad.privacy.randomness import pairs

AT_ONCE = 1 << 14
Reals = npt.NDArray[np.float64]


def gaussian(key: bytes, step: int, size: int, *, scale: float = 1.0) -> npt.NDArray[np.float32]:
    """`size` draws of a normal law with mean 0 and standard deviation `scale`.

    Box and Muller's transform in float64 over the stream of `privrad.privacy.randomness.words`, scaled, then rounded
    to float32. The first of each pair of uniforms lies in (0, 1], so that no draw is infinite; the largest is about
    8.6 standard deviations. One thread makes it, so that it is the same whatever the number of threads. Raises
    ValueError for a scale that is negative or not finite.
    """
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"scale {scale} must be finite and at least 0")
    count = (size + 1) // 2
    out = np.empty((count, 2), dtype=np.float32)
    radius, tangent = np.empty((2, min(AT_ONCE, count)))
    start = 0
    for bits in pairs(key, step, count, at_once=AT_ONCE):
        here = len(bits)
        np.right_shift(bits, np.uint64(11), out=bits)
        _radius(bits[:, 0], scale, out=radius[:here])
        _box_muller(radius[:here], bits[:, 1], tangent[:here], out=out[start : start + here])
        start += here
    return out.reshape(-1)[:size]


def _radius(bits: npt.NDArray[np.uint64], scale: float, *, out: Reals) -> None:
    """scale · √(-2 ln u), u the uniform of 53 bits moved into (0, 1]."""
    out[:] = bits
    out += 1.0
    out *= 2.0**-53
    np.log(out, out=out)
    out *= -2.0
    np.sqrt(out, out=out)
    out *= scale


def _box_muller(radius: Reals, bits: npt.NDArray[np.uint64], tangent: Reals, *, out: npt.NDArray[np.float32]) -> None:
    """Radius times the cosine and the sine of a uniform angle, both from t, the tangent of half the angle.

    cos = (1 - t²)/(1 + t²) and sin = 2t/(1 + t²), exact to rounding, which cost a third of the sine and the cosine.
    Overwrites `radius` and `tangent`.
    """
    tangent[:] = bits
    tangent *= np.pi * 2.0**-53
    np.tan(tangent, out=tangent)
    squared = tangent * tangent
    squared += 1.0
    radius /= squared
    np.subtract(2.0, squared, out=squared)
    np.multiply(radius, squared, out=out[:, 0], casting="same_kind")
    tangent *= 2.0
    np.multiply(radius, tangent, out=out[:, 1], casting="same_kind")
