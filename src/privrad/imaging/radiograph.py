"""Preparation of a radiograph for a network: pure array functions."""

from __future__ import annotations

import cv2
import numpy as np

from privrad.imaging.unreadable import Unreadable, check_size

LARGEST_SIZE = 8192
_COARSE = 64  # float32 keeps a range this many times smaller than its values to a thousandth of a grey level
_ROUNDING = 1e-5  # of the range: less is left of a pattern that averages out, and is no picture


def prepare(pixels: np.ndarray, *, size: int) -> np.ndarray:
    """Prepare presentation values [rows, columns] for a network: uint8 [size, size].

    The law: resize to size x size at full precision, map the range of the result to 0..255, equalise its histogram. A
    constant or non-finite image raises Unreadable. Source: the paper's Methods, after Johnson et al. 2019.
    """
    return equalise(to_bytes(resize(pixels, size=size)))


def check_wanted(size: int) -> None:
    """Raise ValueError for a size out of bounds."""
    if not 1 <= size <= LARGEST_SIZE:
        raise ValueError(f"size is {size}; give 1 to {LARGEST_SIZE} pixels")


def resize(pixels: np.ndarray, *, size: int) -> np.ndarray:
    """Resize real values [rows, columns] to [size, size]: each axis by area average where it shrinks, else linearly.

    The result is float32, of values first mapped to 0..1 where their range is small beside them or they are of a wider
    type. Raises Unreadable where one is not finite (each has a part in the result and shows) or all are the same.
    """
    if pixels.ndim != 2 or pixels.dtype.kind not in "buif":
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}; give real numbers [rows, columns]")
    check_wanted(size)
    rows, columns = pixels.shape
    check_size(rows, columns)
    values, span = _as_floats(pixels)
    if rows > size:
        values = _average_rows(values, rows=size)
    values = cv2.resize(values, (min(columns, size), len(values)), interpolation=cv2.INTER_AREA)
    values = cv2.resize(values, (size, size), interpolation=cv2.INTER_LINEAR)
    if not np.isfinite(values).all():
        raise Unreadable("non_finite_image", "some pixels are not finite numbers; export the image again")
    if not values.max() - values.min() > _ROUNDING * span:
        raise _constant(values)
    return values


def _as_floats(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """The values as float32 and their range, or mapped to 0..1 where float32 is too coarse for that range."""
    fits = pixels.dtype.itemsize <= (4 if pixels.dtype.kind == "f" else 2)
    values: np.ndarray = np.ascontiguousarray(pixels, dtype=np.float32 if fits else np.float64)
    low, high, _, _ = cv2.minMaxLoc(values)
    if low == high:
        raise _constant(values)
    if fits and max(abs(low), abs(high)) <= _COARSE * (high - low):
        return values, high - low
    with np.errstate(invalid="ignore", over="ignore"):
        return ((values.astype(np.float64) - low) / (high - low)).astype(np.float32), 1.0


def _average_rows(values: np.ndarray, *, rows: int) -> np.ndarray:
    """Shrink the rows alone by area average: whole rows add up several times faster than OpenCV walks along them."""
    first, part = np.divmod(np.arange(rows + 1) * len(values), rows)
    weight = (part / rows).astype(values.dtype)
    averages = np.empty((rows, values.shape[1]), dtype=values.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        for row, average in enumerate(averages):
            top, bottom = first[row], first[row + 1]
            np.add.reduce(values[top:bottom], axis=0, out=average)
            if weight[row]:
                average -= values[top] * weight[row]
            if weight[row + 1]:
                average += values[bottom] * weight[row + 1]
    averages *= values.dtype.type(rows / len(values))
    return averages


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Map the range of real values to 0..255 and truncate to uint8; a constant image raises Unreadable."""
    low, high = float(values.min()), float(values.max())
    if not low < high:
        raise _constant(values)
    return np.floor((values.astype(np.float64) - low) * 255 / (high - low)).astype(np.uint8)


def _constant(values: np.ndarray) -> Unreadable:
    remedy = f"every pixel shows {values.flat[0]:g}; check its window, or leave the image out"
    return Unreadable("constant_image", remedy)


def equalise(values: np.ndarray) -> np.ndarray:
    """Equalise the histogram of uint8 values [rows, columns].

    With h(v) pixels of value v, lowest value m and n pixels, v becomes round(255 (h(m+1) + ... + h(v)) / (n - h(m))).
    """
    return cv2.equalizeHist(values)
