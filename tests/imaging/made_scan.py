"""CT scans made for a test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from privrad.imaging.scan import Scan

AXIAL = np.array([[2.0, 0, 0, -100], [0, 2.5, 0, -90], [0, 0, 4, 30], [0, 0, 0, 1]])
"""Columns to the Left, rows Posterior, planes Superior; 2 x 2.5 x 4 mm."""


def scan(values: np.ndarray, affine: np.ndarray = AXIAL) -> Scan:
    """A scan that holds these values [planes, rows, columns]."""
    return Scan((values.shape[0], values.shape[1], values.shape[2]), affine, lambda: iter(values))


def body(shape: tuple[int, int, int] = (24, 40, 48), *, seed: int = 0) -> np.ndarray:
    """Hounsfield units of a body in air, int16: fat around soft tissue, a spine, no two places alike."""
    generator = np.random.default_rng(seed)
    up, back, left = np.meshgrid(*(np.linspace(-1, 1, length) for length in shape), indexing="ij")
    values = np.full(shape, -1000.0)
    radius = back**2 / 0.5 + left**2 / 0.8 + 0.1 * up
    values[radius < 0.9] = -100
    values[radius < 0.7] = 40 + 60 * left[radius < 0.7] + 20 * up[radius < 0.7]
    values[(back - 0.4) ** 2 + left**2 < 0.03] = 700
    return np.rint(values + generator.normal(0, 12, shape)).astype(np.int16)


def turned(values: np.ndarray, affine: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same scan stored in each of the 48 orders and directions of its axes: values and affine."""
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            axes = tuple(axis for axis, flip in enumerate(flips) if flip)
            stored = np.flip(values.transpose(order), axes)
            onto = np.zeros((4, 4))
            onto[3, 3] = 1
            for axis, old in enumerate(order):
                onto[2 - old, 2 - axis] = -1 if flips[axis] else 1
                onto[2 - old, 3] = values.shape[old] - 1 if flips[axis] else 0
            yield stored, affine @ onto
