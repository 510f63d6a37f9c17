"""The law of preparing a CT scan, told a second time: by integrals of steps and by numpy's interpolation."""

from __future__ import annotations

import numpy as np


def resized(values: np.ndarray, wanted: int, *, axis: int) -> np.ndarray:
    """One axis by area average where it shrinks, else linearly between voxel centres."""
    length = values.shape[axis]

    def one(line: np.ndarray) -> np.ndarray:
        if length >= wanted:
            integral = np.concatenate([[0], np.cumsum(line)])
            edges = np.arange(wanted + 1) * length / wanted
            area: np.ndarray = np.diff(np.interp(edges, np.arange(length + 1), integral)) * wanted / length
            return area
        between: np.ndarray = np.interp((np.arange(wanted) + 0.5) * length / wanted - 0.5, np.arange(length), line)
        return between

    result: np.ndarray = np.apply_along_axis(one, axis, values.astype(np.float64))
    return result


def prepared(values: np.ndarray, *, size: tuple[int, int, int], window: tuple[float, float]) -> np.ndarray:
    """Grey levels, float64 and not yet rounded, of Hounsfield units [slices, rows, columns] in the patient's axes."""
    low, high = window
    values = np.where(values > 32767, -1024, values)
    values = np.clip(values.astype(np.float64), low, high)
    for axis, wanted in enumerate(size[::-1]):
        values = resized(values, wanted, axis=axis)
    return (values - low) * 255 / (high - low)
