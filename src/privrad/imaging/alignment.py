"""Two pictures laid over each other, and how far their fine detail agrees.

A place is float [4], how a target lies in its source: scale less 1 and shift across, scale less 1 and shift down, where
both run from -1 to 1. Steps are those of the inverse compositional algorithm (Baker & Matthews, IJCV 2004).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np

SIDE = 64
_COARSE, _FINE = 3.0, 1.5  # pixels of 64: larger structures are taken away
_FINEST = 0.8  # and smaller ones before two pictures are compared: a resized one has lost them
_FLOOR = 30.0  # variance in grey levels below which a region counts as flat
_UNIT = 40.0
_BATCH, _THREADS = 256, 2
_STEPS = (0.5, 0.66, 0.78)  # the least correlation before each step
_ROUGHLY = 0.83  # and after the last
_FURTHEST = 0.12
_PLATEAU = 0.03  # of the pixels have one grey level where a picture was clipped
_WHOLE = 0.99
_LEAST = 0.15  # of the picture
_MIDDLES = ((np.arange(SIDE) + 0.5) * 2 / SIDE - 1).astype(np.float32)


@dataclass(frozen=True)
class Likely:
    """Pairs of rows, and for each the place of its target in its source: float32 [n, 4]."""

    source: np.ndarray
    target: np.ndarray
    place: np.ndarray

    def take(self, rows: np.ndarray | slice) -> Likely:
        return Likely(self.source[rows], self.target[rows], self.place[rows])

    def each(self) -> Iterator[tuple[int, int, np.ndarray]]:
        return zip(self.source.tolist(), self.target.tolist(), self.place, strict=True)


def place_of(left: float, right: float, top: float, bottom: float) -> np.ndarray:
    """The place of a picture of which these shares are cut off."""
    return np.array([-left - right, left - right, -top - bottom, top - bottom])


def detail(picture: np.ndarray) -> np.ndarray:
    """The detail of a picture of 64 pixels or more a side, int8 [64, 64], a 40th of a local standard deviation each."""
    return np.clip(np.rint(_UNIT * _detail(_small(picture), _COARSE)), -127, 127).astype(np.int8)


def align(details: np.ndarray, likely: Likely) -> Likely:
    """The pairs whose detail can be laid over each other at least roughly, with the places where it is."""
    batches = [likely.take(slice(start, start + _BATCH)) for start in range(0, len(likely.source), _BATCH)]
    with ThreadPoolExecutor(_THREADS) as pool:
        kept = list(pool.map(lambda batch: _aligned(details, batch), batches))
    if not kept:
        return likely
    parts = ([part.source for part in kept], [part.target for part in kept], [part.place for part in kept])
    return Likely(*(np.concatenate(part) for part in parts))


def _aligned(details: np.ndarray, likely: Likely) -> Likely:
    for least in _STEPS:
        likely, laid, target = _laid(details, likely, least=least)
        likely = replace(likely, place=_stepped(likely.place, laid - target, *_slopes(target)))
    return _laid(details, likely, least=_ROUGHLY)[0]


def _laid(details: np.ndarray, likely: Likely, *, least: float) -> tuple[Likely, np.ndarray, np.ndarray]:
    """The pairs that correlate by `least` or more where they lie, and their normal pictures: sources cut, targets."""
    down, across = sampling(likely.place)
    laid = _normal(down @ details[likely.source].astype(np.float32) @ across.transpose(0, 2, 1))
    target = _normal(details[likely.target].astype(np.float32))
    near = np.einsum("nij,nij->n", laid, target) >= least
    return likely.take(near), laid[near], target[near]


def correlation(source: np.ndarray, target: np.ndarray, *, place: np.ndarray) -> float:
    """How far two pictures agree in fine detail once the source is cut to the target and equalised: -1 to 1.

    Both are uint8 [rows, columns] of 64 pixels or more a side. Where one of them was clipped, which takes the detail of
    a brighter or darker copy, does not count; 0 where little else is left.
    """
    wanted = _small(target)
    coarse = _normal(_detail(wanted, _COARSE)[None])
    slopes, inverse = _slopes(coarse)
    for _ in range(2):
        laid = _normal(_detail(_cut(source, place), _COARSE)[None])
        place = _stepped(place[None], laid - coarse, slopes, inverse)[0]
    shown = (_small(_warped(_varied(source), place)) > _WHOLE) & (_small(_varied(target)) > _WHOLE)
    within = cv2.erode(shown.astype(np.float32), np.ones((3, 3), np.uint8))
    if within.mean() < _LEAST:
        return 0.0
    one, other = (_detail_within(values, within) for values in (_cut(source, place), wanted))
    return float((one * other).sum() / np.sqrt((one * one).sum() * (other * other).sum() + 1e-6))


def sampling(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weights [n, 64, 64] by which rows and columns of 64 pixels are sampled at `places` [n, 4], linearly."""
    across, down = (
        np.clip((((1 + scale[:, None]) * _MIDDLES + shift[:, None]) + 1) * (SIDE / 2) - 0.5, 0, SIDE - 1)
        for scale, shift in ((places[:, 0], places[:, 1]), (places[:, 2], places[:, 3]))
    )
    whole = np.arange(SIDE, dtype=np.float32)
    weights = [np.maximum(0, 1 - np.abs(axis[:, :, None].astype(np.float32) - whole)) for axis in (down, across)]
    return weights[0], weights[1]


def _cut(picture: np.ndarray, place: np.ndarray) -> np.ndarray:
    """A part of a picture, equalised anew, float32 [64, 64]."""
    return _small(cv2.equalizeHist(_warped(picture, place)))


def _varied(picture: np.ndarray) -> np.ndarray:
    """Where a picture has its own grey levels, 1, and where only one that much of it has, 0; float32."""
    counts = np.bincount(picture.reshape(-1), minlength=256)
    varied: np.ndarray = (counts <= _PLATEAU * picture.size).astype(np.float32)[picture]
    return varied


def _warped(picture: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The part of a picture [rows, columns] at a place, as many pixels large."""
    rows, columns = picture.shape
    wide, across, tall, down = (float(value) for value in place)
    first = [
        ((1 + scale) * (1 / length - 1) + shift + 1) * length / 2 - 0.5
        for scale, shift, length in ((wide, across, columns), (tall, down, rows))
    ]
    affine = np.array([[1 + wide, 0, first[0]], [0, 1 + tall, first[1]]], dtype=np.float64)
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    part: np.ndarray = cv2.warpAffine(picture, affine, (columns, rows), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return part


def _small(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)


def _detail(values: np.ndarray, size: float) -> np.ndarray:
    """What is smaller than `size` pixels, in local standard deviations."""
    fine = values - cv2.GaussianBlur(values, (0, 0), size)
    spread = cv2.GaussianBlur(fine * fine, (0, 0), 1.5 * size)
    detail: np.ndarray = fine / np.sqrt(spread + np.float32(_FLOOR))
    return detail


def _detail_within(values: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Detail of 0.8 to 1.5 pixels of a region, 0 elsewhere, as if there were nothing around it."""

    def mean(values: np.ndarray, size: float) -> np.ndarray:
        weight = cv2.GaussianBlur(within, (0, 0), size) + np.float32(1e-6)
        blurred: np.ndarray = cv2.GaussianBlur(values * within, (0, 0), size) / weight
        return blurred

    smooth = mean(values, _FINEST)
    fine = (smooth - mean(smooth, _FINE)) * within
    detail: np.ndarray = fine / np.sqrt(mean(fine * fine, 1.5 * _FINE) + np.float32(_FLOOR))
    return detail


def _normal(pictures: np.ndarray) -> np.ndarray:
    """Pictures [n, 64, 64] of mean 0 and length 1."""
    pictures = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    normal: np.ndarray = pictures / (np.linalg.norm(pictures, axis=(1, 2), keepdims=True) + np.float32(1e-6))
    return normal


def _slopes(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How each target changes with each entry of its place [n, 4, 64 * 64], and the inverse of their products."""
    down, across = np.gradient(targets, axis=(1, 2))
    slopes = np.stack([across * _MIDDLES, across, down * _MIDDLES[:, None], down], axis=1) * np.float32(SIDE / 2)
    flat = slopes.reshape(len(targets), 4, SIDE * SIDE)
    return flat, np.linalg.inv(flat @ flat.transpose(0, 2, 1) + np.float32(1e-3) * np.eye(4, dtype=np.float32))


def _stepped(places: np.ndarray, errors: np.ndarray, slopes: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Places [n, 4] after one step that lessens the errors [n, 64, 64]."""
    step = (inverse @ (slopes @ errors.reshape(len(errors), SIDE * SIDE, 1)))[:, :, 0]
    step = np.clip(step, -0.05, 0.05)
    moved = np.empty_like(places)
    for scale, shift in ((0, 1), (2, 3)):
        grown = 1 + places[:, scale]
        moved[:, scale] = grown / (1 + step[:, scale]) - 1
        moved[:, shift] = places[:, shift] - grown * step[:, shift] / (1 + step[:, scale])
    return moved.clip(-_FURTHEST, _FURTHEST)
