"""Which of many prepared images show the same picture: a search by low detail, then an alignment of each likely pair.

A copy may have been encoded again, resized, cropped at its edges or changed in brightness; what is left is fine detail
in the same places. Two radiographs of one chest, or of two, share the large shapes but not that detail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import fft, linalg

from privrad.imaging import alignment, radiograph

SIDE = alignment.SIDE
ALIKE = 0.97
"""The least correlation of detail of one picture and its copy; most copies have 0.98 and more, other pictures less."""
_LARGEST = 128
_WAVES = 20
_COMPONENTS = 128
_SAMPLE = 8192
_PRIOR = 256  # images that a prior without any structure weighs as much as
_NEAR = 0.5
_PER_PROBE = 6
_BLOCK, _CHUNK = 1024, 8192
_CENTRED = (0.0125, 0.0375)
WINDOWS = ((0.0, 0.0, 0.0, 0.0), *((left, 0.05 - left, top, 0.05 - top) for left in _CENTRED for top in _CENTRED))
"""Shares cut off left, right, top and bottom where one picture may be a part of another."""


@dataclass(frozen=True)
class Pairs:
    """Rows of images that show one picture, `first` < `second`, and the correlation of their detail."""

    first: np.ndarray
    second: np.ndarray
    correlation: np.ndarray


def digest(image: np.ndarray) -> bytes:
    """What equal images have in common and different ones have not: 16 bytes; to compare, never to be written."""
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def picture(image: np.ndarray) -> np.ndarray | None:
    """A prepared image as uint8 [rows, columns] of 64 to 128 pixels a side, equalised, or None where one is smaller.

    `image` is uint8 [rows, columns], or [slices, rows, columns] of a volume, which stands for its mean from front to
    back: a radiograph, as it were.
    """
    flat = image if image.ndim == 2 else np.rint(image.mean(axis=1)).astype(np.uint8)
    rows, columns = flat.shape
    if min(rows, columns) < SIDE:
        return None
    small = cv2.resize(flat, (min(columns, _LARGEST), min(rows, _LARGEST)), interpolation=cv2.INTER_AREA)
    return radiograph.equalise(small)


def same(details: np.ndarray, read: Callable[[int], np.ndarray], *, queries: int) -> Pairs:
    """The pairs of rows that show one picture, at least one of each pair among the first `queries` rows.

    `details` is `alignment.detail` of each picture, int8 [n, 64, 64]; `read` gives the `picture` of a row.
    """
    likely = _likely(details, queries=queries)
    likely = alignment.align(details, likely)
    measured = np.array([_measure(read, pair) for pair in likely.each()], dtype=np.float64)
    alike = measured >= ALIKE
    one, other = likely.source[alike], likely.target[alike]
    order = np.lexsort((np.maximum(one, other), np.minimum(one, other)))
    return Pairs(np.minimum(one, other)[order], np.maximum(one, other)[order], measured[alike][order])


def _measure(read: Callable[[int], np.ndarray], pair: tuple[int, int, np.ndarray]) -> float:
    source, target, place = pair
    return round(alignment.correlation(read(source), read(target), place=place), 4)


def _likely(details: np.ndarray, *, queries: int) -> alignment.Likely:
    """For each row, whole and cut, the rows with the most similar waves; each pair once, by its best window."""
    space = _Space.of(details)
    whole = np.concatenate([space.place(block) for _, block in _blocks(details)] or [np.empty((0, 0), np.float32)])
    found = []
    for start, block in _blocks(details):
        for number, window in enumerate(WINDOWS):
            probes = space.place(block, window) if number else whole[start : start + len(block)]
            for rows, limit in _parts(start, len(block), queries):
                first = start if number == 0 else 0
                found.append((*_nearest(probes[rows], start + rows.start, whole[:limit], first=first), number))
    return _best(found)


def _parts(start: int, length: int, queries: int) -> Iterator[tuple[slice, int | None]]:
    """The rows of a block that are compared with all, and those that are compared with the queries alone."""
    cut = min(max(queries - start, 0), length)
    if cut:
        yield slice(0, cut), None
    if cut < length:
        yield slice(cut, length), queries


def _blocks(details: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(details), _BLOCK):
        yield start, details[start : start + _BLOCK]


@dataclass(frozen=True)
class _Space:
    """Where pictures are points, their waves weighed so that common ones count little."""

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, details: np.ndarray) -> _Space:
        """The space of these pictures: principal components of an even sample, each scaled to its spread."""
        sample = details[:: max(1, -(-len(details) // _SAMPLE))]
        waves = _waves(sample)
        count = len(waves)
        mean = waves.sum(axis=0) / (count + _PRIOR)
        apart = (waves - mean).astype(np.float64)
        level = (apart**2).mean() if count else 1.0
        spread = (apart.T @ apart + _PRIOR * level * np.eye(waves.shape[1])) / (count + _PRIOR)
        size = waves.shape[1]
        variances, axes = linalg.eigh(spread, subset_by_index=(size - _COMPONENTS, size - 1))
        return cls(mean.astype(np.float32), (axes / np.sqrt(variances + 1e-6)).astype(np.float32))

    def place(self, details: np.ndarray, window: tuple[float, float, float, float] = WINDOWS[0]) -> np.ndarray:
        """Points of length 1, float32 [n, components]; the product of two is how similar the pictures are."""
        points = (_waves(details, window) - self.mean) @ self.axes
        placed: np.ndarray = points / (np.linalg.norm(points, axis=1, keepdims=True) + np.float32(1e-6))
        return placed


def _waves(details: np.ndarray, window: tuple[float, float, float, float] = WINDOWS[0]) -> np.ndarray:
    """Cosine waves of up to ten periods in the window of each picture: float32 [n, waves]."""
    basis = fft.dct(np.eye(SIDE), axis=0, norm="ortho")[:_WAVES]
    left, right, top, bottom = window
    place = alignment.place_of(left, right, top, bottom)
    down, across = ((basis @ axis[0]).astype(np.float32) for axis in alignment.sampling(place[None]))
    row, column = np.indices((_WAVES, _WAVES))
    radius = np.hypot(row, column)
    waves = down @ details.astype(np.float32) @ across.T
    chosen: np.ndarray = waves[:, (radius > 0) & (radius < _WAVES)]
    return chosen


def _nearest(
    probes: np.ndarray, start: int, points: np.ndarray, *, first: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows from `start`, columns from `first` and similarity of the nearest points of each probe, but its own."""
    rows = columns = np.empty(0, dtype=np.int64)
    scores = np.empty(0, dtype=np.float32)
    floor = np.full(len(probes), _NEAR, dtype=np.float32)
    for begin in range(first, len(points), _CHUNK):
        similar = probes @ points[begin : begin + _CHUNK].T
        row, column = np.divmod(np.flatnonzero(similar > floor[:, None]), similar.shape[1])
        rows = np.concatenate([rows, row])
        columns = np.concatenate([columns, column + begin])
        scores = np.concatenate([scores, similar[row, column]])
        kept = columns != rows + start
        rows, columns, scores = rows[kept], columns[kept], scores[kept]
        order = np.lexsort((columns, -scores, rows))
        rank = np.arange(len(rows)) - np.searchsorted(rows[order], rows[order])
        order, rank = order[rank < _PER_PROBE], rank[rank < _PER_PROBE]
        rows, columns, scores = rows[order], columns[order], scores[order]
        full = rank == _PER_PROBE - 1
        floor[rows[full]] = scores[full]
    return rows + start, columns, scores


def _best(found: list[tuple[np.ndarray, np.ndarray, np.ndarray, int]]) -> alignment.Likely:
    """Each pair once, with the window in which it is most similar."""
    places = np.array([alignment.place_of(*window) for window in WINDOWS])
    source, target, score = (np.concatenate([part[k] for part in found]) for k in range(3)) if found else _NOTHING
    window = np.concatenate([np.full(len(part[0]), part[3]) for part in found]) if found else _NOTHING[0]
    low, high = np.minimum(source, target), np.maximum(source, target)
    order = np.lexsort((source, window, -score, high, low))
    again = np.zeros(len(order), dtype=bool)
    again[1:] = (low[order][1:] == low[order][:-1]) & (high[order][1:] == high[order][:-1])
    order = order[~again]
    return alignment.Likely(source[order], target[order], places[window[order]].astype(np.float32))


_NOTHING = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
