"""The voxels of a slab of a scan in anatomical coordinates, and soft solids painted into them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.float32]  # [planes, rows, columns]
Box = tuple[slice, slice, slice]  # of planes, rows and columns
Point = Sequence[float] | NDArray[np.float64]  # x, y, z
Line = Sequence[Point] | NDArray[np.float64]  # [n, 3]

_WAVES = 2  # in each bend of the coordinates
_BEND = 2.6  # mm, the most that one wave moves a point


@dataclass(frozen=True)
class Part:
    """A solid within a box of the slab: `outside` is the distance from its surface in mm, negative within."""

    box: Box
    outside: Volume
    faint: float = 1.0  # below 1 for what is thinner than a voxel

    def grown(self, by: float) -> Part:
        """The same solid with its surface moved outwards by so many mm."""
        return Part(self.box, self.outside - np.float32(by), self.faint)


@dataclass(frozen=True)
class Space:
    """Hounsfield units of a slab, and the anatomical coordinates of its voxels.

    `bent` [3, planes, rows, columns] are x, y and z bent a little, so that no organ is a perfect solid; `x`, `y` and
    `z` are the straight ones along each axis, shaped to broadcast; `soft` is the width of an edge in mm.
    """

    hu: Volume
    bent: NDArray[np.float32]
    x: Volume
    y: Volume
    z: Volume
    soft: float
    start: Point  # the first straight z, y and x
    step: Point

    @property
    def whole(self) -> Box:
        """All voxels."""
        return slice(0, self.hu.shape[0]), slice(0, self.hu.shape[1]), slice(0, self.hu.shape[2])

    def box(self, low: Point, high: Point) -> Box | None:
        """The voxels that may lie between two corners (x, y, z), before or after bending; None for none."""
        slices = []
        margin = _WAVES * _BEND + 0.5 * self.soft
        for axis, (start, step) in enumerate(zip(self.start, self.step, strict=True)):
            begin = max(0, math.floor((low[2 - axis] - margin - start) / step))
            stop = min(self.hu.shape[axis], math.ceil((high[2 - axis] + margin - start) / step) + 1)
            if begin >= stop:
                return None
            slices.append(slice(begin, stop))
        return slices[0], slices[1], slices[2]

    def cover(self, outside: Volume) -> Volume:
        """The share of each voxel within a surface, from distances in mm."""
        share: Volume = outside * np.float32(-1 / self.soft)
        share += np.float32(0.5)
        np.minimum(share, np.float32(1), out=share)
        return np.maximum(share, np.float32(0), out=share)

    def paint(self, part: Part | None, value: float | Volume, *, within: Volume | None = None) -> None:
        """Replace what is there by `value` (HU) where the part lies, and within a mask of the whole slab."""
        if part is None:
            return
        share = self.cover(part.outside)
        if part.faint < 1:
            share *= np.float32(part.faint)
        if within is not None:
            share *= within[part.box]
        there = self.hu[part.box]
        share *= np.asarray(value, np.float32) - there
        there += share

    def ellipsoid(self, at: Point, radii: Point, *, turn: float = 0.0, tip: float = 0.0) -> Part | None:
        """An ellipsoid; `turn` (about z) and `tip` (about y) in radians."""
        reach = [max(radii)] * 3 if turn or tip else radii
        box = self.box([c - r for c, r in zip(at, reach, strict=True)], [c + r for c, r in zip(at, reach, strict=True)])
        if box is None:
            return None
        away, shape = self._away(box, at)
        if turn or tip:
            away = np.einsum("ki,ij->kj", _rotation(turn, tip), away)
        inverse = np.array([1 / r for r in radii], np.float32)
        away *= inverse[:, None]
        near = np.sqrt(np.einsum("ij,ij->j", away, away))
        away *= inverse[:, None]
        steep = np.sqrt(np.einsum("ij,ij->j", away, away))
        steep += np.float32(1e-6)
        outside = near * (near - 1)
        outside /= steep
        return Part(box, outside.reshape(shape))

    def ball(self, at: Point, radius: float) -> Part | None:
        """A round solid."""
        return self.capsule(at, at, radius)

    def capsule(self, one: Point, other: Point, radius: float, last: float | None = None) -> Part | None:
        """A round rod from one point to another, its radius changing evenly to `last`."""
        last = radius if last is None else last
        faint, widen = 1.0, 0.5 * self.soft - 0.5 * (radius + last)
        if widen > 0:  # thinner than a voxel: drawn as wide as one, and fainter
            faint = (0.5 * (radius + last) / (0.5 * self.soft)) ** 2
            radius, last = radius + widen, last + widen
        most = max(radius, last)
        low = [min(a, b) - most for a, b in zip(one, other, strict=True)]
        high = [max(a, b) + most for a, b in zip(one, other, strict=True)]
        box = self.box(low, high)
        if box is None:
            return None
        away, shape = self._away(box, one)
        squares = np.einsum("ij,ij->j", away, away)
        along = np.array([b - a for a, b in zip(one, other, strict=True)], np.float32)
        length = float(along @ along)
        if length > 0:
            ahead = np.einsum("i,ij->j", along, away)
            place = ahead * np.float32(1 / length)
            np.minimum(place, np.float32(1), out=place)
            np.maximum(place, np.float32(0), out=place)
            squares -= place * (ahead + ahead - place * np.float32(length))
            np.maximum(squares, np.float32(0), out=squares)
            outside = np.sqrt(squares)
            outside -= place * np.float32(last - radius)
        else:
            outside = np.sqrt(squares)
        outside -= np.float32(radius)
        return Part(box, outside.reshape(shape), faint)

    def _away(self, box: Box, at: Point) -> tuple[NDArray[np.float32], tuple[int, ...]]:
        """From a point to each voxel of the box, [3, voxels], and the box's shape."""
        away = self.bent[:, *box] - np.array(at, np.float32)[:, None, None, None]
        return away.reshape(3, -1), away.shape[1:]

    def tube(self, line: Line, radii: Sequence[float]) -> Iterator[Part | None]:
        """Rods from point to point of a line, with a radius at each point."""
        for number in range(len(line) - 1):
            yield self.capsule(line[number], line[number + 1], radii[number], radii[number + 1])

    def paint_tube(self, line: Line, radii: Sequence[float] | float, value: float) -> None:
        """Replace what is there by `value` along a line."""
        widths = [radii] * len(line) if isinstance(radii, float | int) else radii
        for part in self.tube(line, widths):
            self.paint(part, value)


def space(shape: tuple[int, int, int], *, start: Point, step: Point, bends: NDArray[np.float64]) -> Space:
    """An empty slab (air): `start` and `step` by axis (z, y, x) in mm; bends [3, waves, 3] are two slopes and a phase.

    Each coordinate is bent by waves over the other two.
    """
    z, y, x = (
        (start[axis] + step[axis] * np.arange(shape[axis], dtype=np.float64)).astype(np.float32) for axis in range(3)
    )
    bent = np.empty((3, *shape), np.float32)
    np.add(x[None, None, :], _bent(z, y, bends[0])[:, :, None], out=bent[0])
    np.add(y[None, :, None], _bent(z, x, bends[1])[:, None, :], out=bent[1])
    np.add(z[:, None, None], _bent(y, x, bends[2])[None, :, :], out=bent[2])
    return Space(
        hu=np.full(shape, -1000, np.float32),
        bent=bent,
        x=x[None, None, :],
        y=y[None, :, None],
        z=z[:, None, None],
        soft=max(step[1], step[2]),
        start=start,
        step=step,
    )


def draw_bends(rng: np.random.Generator) -> NDArray[np.float64]:
    """Slopes (radians a mm) and phases of the waves that bend each coordinate, [3, waves, 3]."""
    bends: NDArray[np.float64] = rng.uniform(0.025, 0.06, (3, _WAVES, 3)) * rng.choice([-1, 1], (3, _WAVES, 3))
    bends[:, :, 2] = rng.uniform(0, 2 * math.pi, (3, _WAVES))
    return bends


def wave(points: Line, *, samples: int) -> NDArray[np.float64]:
    """A smooth line [n, 3] through points [k, 3] (Catmull-Rom), `samples` per piece."""
    at = np.asarray(points, dtype=np.float64)
    padded = np.concatenate([at[:1], at, at[-1:]])
    knots = np.stack([padded[k : k + len(at) - 1] for k in range(4)], axis=1)
    t = np.arange(samples) / samples
    weights = np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], axis=1)
    pieces: NDArray[np.float64] = np.einsum("sk,pkx->psx", 0.5 * weights, knots).reshape(-1, 3)
    line: NDArray[np.float64] = np.concatenate([pieces, at[-1:]])
    return line


def _rotation(turn: float, tip: float) -> NDArray[np.float32]:
    about_z = np.array(((math.cos(turn), math.sin(turn), 0), (-math.sin(turn), math.cos(turn), 0), (0, 0, 1)))
    about_y = np.array(((math.cos(tip), 0, math.sin(tip)), (0, 1, 0), (-math.sin(tip), 0, math.cos(tip))))
    both: NDArray[np.float32] = (about_y @ about_z).astype(np.float32)
    return both


def _bent(one: Volume, other: Volume, waves: NDArray[np.float64]) -> Volume:
    total = np.zeros((len(one), len(other)), np.float32)
    for slope, across, phase in waves:
        total += np.sin(np.float32(slope) * one[:, None] + np.float32(across) * other[None, :] + np.float32(phase))
    total *= np.float32(_BEND)
    return total
