"""A canvas that turns anatomical coordinates into pixels: areas, bands and soft shapes as float32 masks in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # [n, 2], anatomical x and y
Picture = NDArray[np.float32]  # [rows, columns]
Mask = NDArray[np.uint8]  # [rows, columns]
Outline = Sequence[tuple[float, float]] | Points

_SHIFT = 4  # fractional bits of a pixel coordinate
_UNIT = 1 << _SHIFT
_COARSEST = 4.0  # a blur wider than this many pixels is made on a smaller picture


@dataclass(frozen=True)
class Canvas:
    """Where a chest lies in a picture.

    `scale` is pixels per unit, `centre` the pixel (column, row) of the origin, `tilt` a turn in radians, `tall` a
    stretch of y.
    """

    rows: int
    columns: int
    scale: float
    centre: tuple[float, float]
    tilt: float = 0.0
    tall: float = 1.0

    def pixels(self, points: Outline) -> NDArray[np.int32]:
        """Fixed-point pixel coordinates [..., n, 2]."""
        turn, centre = self._placement
        at = np.asarray(points, dtype=np.float64) @ turn
        at += centre
        placed: NDArray[np.int32] = np.floor(at, out=at).astype(np.int32)
        return placed

    @cached_property
    def _placement(self) -> tuple[Points, Points]:
        """The matrix and the shift from anatomical to fixed-point coordinates, half a step more for rounding down."""
        cosine, sine = math.cos(self.tilt) * self.scale * _UNIT, math.sin(self.tilt) * self.scale * _UNIT
        turn = np.array([[cosine, sine], [-sine * self.tall, cosine * self.tall]])
        return turn, np.array(self.centre) * _UNIT + 0.5

    def grid(self) -> tuple[Picture, Picture]:
        """Anatomical x and y of every pixel; read only."""
        return _grid(self)

    def coarser(self, step: int) -> Canvas:
        """The same view with pixels `step` times as wide."""
        centre = ((self.centre[0] + 0.5) / step - 0.5, (self.centre[1] + 0.5) / step - 0.5)
        return Canvas(-(-self.rows // step), -(-self.columns // step), self.scale / step, centre, self.tilt, self.tall)

    def zeros(self) -> Mask:
        return np.zeros((self.rows, self.columns), np.uint8)

    def area(self, *outlines: Outline, soft: float = 0.0) -> Picture:
        """The inside of closed outlines, its edge blurred by `soft` units."""
        return self.blur(unit(self.fill(outlines)), soft)

    def fill(self, outlines: Iterable[Outline], level: int = 255, onto: Mask | None = None) -> Mask:
        """Closed outlines, each painted in one grey level (0 to 255) over what is there."""
        mask = self.zeros() if onto is None else onto
        for outline in self._placed(outlines):
            cv2.fillPoly(mask, [outline], level, cv2.LINE_AA, _SHIFT)
        return mask

    def lines(self, lines: Iterable[Outline], width: float, level: int = 255, onto: Mask | None = None) -> Mask:
        """Lines `width` units wide; one thinner than a pixel gets fainter instead."""
        mask = self.zeros() if onto is None else onto
        wide = width * self.scale
        level = round(level * min(1.0, max(wide, 0.15)))
        cv2.polylines(mask, self._placed(lines), False, level, max(1, round(wide)), cv2.LINE_AA, _SHIFT)
        return mask

    def _placed(self, outlines: Iterable[Outline]) -> list[NDArray[np.int32]]:
        """Pixel coordinates of each outline, those of an array [k, n, 2] at once."""
        if isinstance(outlines, np.ndarray):
            return list(self.pixels(outlines))
        return [self.pixels(outline) for outline in outlines]

    def blur(self, picture: Picture, width: float) -> Picture:
        """Gaussian blur by a standard deviation of `width` units."""
        return blur(picture, width * self.scale)


@lru_cache(maxsize=2)
def _grid(canvas: Canvas) -> tuple[Picture, Picture]:
    across = (np.arange(canvas.columns, dtype=np.float32) - np.float32(canvas.centre[0])) / np.float32(canvas.scale)
    down = ((np.arange(canvas.rows, dtype=np.float32) - np.float32(canvas.centre[1])) / np.float32(canvas.scale))[
        :, None
    ]
    cosine, sine = np.float32(math.cos(canvas.tilt)), np.float32(math.sin(canvas.tilt))
    x, y = across * cosine + down * sine, (down * cosine - across * sine) * np.float32(1 / canvas.tall)
    x.flags.writeable = y.flags.writeable = False
    return x, y


def unit(mask: Mask) -> Picture:
    """Grey levels of 0 to 255 as 0 to 1."""
    return mask.astype(np.float32) * np.float32(1 / 255)


def blur(picture: Picture, sigma: float) -> Picture:
    """Gaussian blur by `sigma` pixels; wide ones are made on a smaller picture."""
    if sigma < 0.2:
        return picture
    step = int(sigma / _COARSEST * 2)
    if step < 2:
        return _array(cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))
    rows, columns = picture.shape
    small = cv2.resize(picture, (max(4, columns // step), max(4, rows // step)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_REPLICATE)
    return _array(cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR))


def enlarge(picture: Picture, canvas: Canvas) -> Picture:
    """A small picture stretched smoothly over the whole of `canvas`."""
    return _array(cv2.resize(picture, (canvas.columns, canvas.rows), interpolation=cv2.INTER_CUBIC))


def curve(points: Outline, samples: int = 6, *, closed: bool = False) -> Points:
    """A smooth line [..., n, 2] through the points [..., k, 2] (Catmull-Rom), `samples` per piece."""
    at = np.asarray(points, dtype=np.float64)
    line: Points = _weights(at.shape[-2], samples, closed) @ at
    return line


@cache
def _weights(knots: int, samples: int, closed: bool) -> Points:
    """What each knot [knots] adds to each point of a line [n, knots]."""
    t = np.arange(samples) / samples
    ways = np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], axis=1)
    pieces = knots if closed else knots - 1
    weights = np.zeros((pieces * samples, knots))
    for piece in range(pieces):
        for way, knot in enumerate(range(piece - 1, piece + 3)):
            place = knot % knots if closed else min(max(knot, 0), knots - 1)
            weights[piece * samples : (piece + 1) * samples, place] += 0.5 * ways[:, way]
    return weights if closed else np.concatenate([weights, np.eye(knots)[-1:]])


def band(line: Points, width: float | Points) -> Points:
    """The outline [..., 2 n, 2] of a band `width` units wide along a line [..., n, 2]."""
    along = np.empty_like(line)
    along[..., 1:-1, :] = line[..., 2:, :] - line[..., :-2, :]
    along[..., 0, :], along[..., -1, :] = line[..., 1, :] - line[..., 0, :], line[..., -1, :] - line[..., -2, :]
    half = along[..., ::-1] * (-0.5, 0.5)
    half *= (np.asarray(width) / np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-9))[..., None]
    return np.concatenate([line + half, (line - half)[..., ::-1, :]], axis=-2)


def moved(points: Points, x: float, y: float = 0.0) -> Points:
    """The same outlines, shifted."""
    shifted: Points = points + np.array([x, y])
    return shifted


def ellipse(centre: tuple[float, float], radii: tuple[float, float], tilt: float = 0.0, samples: int = 40) -> Points:
    """The outline of an ellipse turned by `tilt` radians."""
    cosine, sine = math.cos(tilt), math.sin(tilt)
    outline: Points = (_circle(samples) * radii) @ np.array([[cosine, sine], [-sine, cosine]]) + centre
    return outline


@cache
def _circle(samples: int) -> Points:
    angle = np.arange(samples) * (2 * math.pi / samples)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _array(picture: Any) -> Picture:
    return np.asarray(picture, dtype=np.float32)
