"""Computer-drawn CT scans of the abdomen: a body, a pancreas, a scanner and a phase in, Hounsfield units out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from privrad.cohorts.drawing_ct import body as bodies
from privrad.cohorts.drawing_ct import bowel, frame, organs, pancreas, scanner, space, vessels
from privrad.cohorts.drawing_ct.body import PHASES, Body, draw_body
from privrad.cohorts.drawing_ct.scanner import SCANNERS, Field, Scanner, draw_scanner

__all__ = ["PHASES", "SCANNERS", "Body", "Drawn", "Scanner", "draw", "draw_body", "draw_scanner", "sheet"]

_SLAB = 4_000_000  # voxels drawn at once, which bounds memory


@dataclass(frozen=True)
class Drawn:
    """A scan: int16 HU [slices, rows, columns] with columns to the Left, rows to the back, slices to the head.

    `origin` is the middle of the first voxel (x, y, z in LPS, mm); `kept` is False where the scanner keeps nothing.
    """

    hu: NDArray[np.int16]
    origin: tuple[float, float, float]
    pixel: float
    thickness: float
    kept: NDArray[np.bool_]  # [rows, columns]


def draw(
    body: Body,
    *,
    tumour: bool,
    scanner: Scanner,
    phase: str,
    difficulty: float = 1.0,
    grown: float = 1.0,
    size: int,
    rng: np.random.Generator,
) -> Drawn:
    """A scan of `size` rows and columns with as many slices as the scanner's thickness asks for.

    A tumour stays in its place from one of the body's scans to the next; `grown` is its radius in shares of the first.
    Two calls with equal generators that differ by the tumour differ only in what the tumour does: the mass, the duct
    and the gland upstream of it, and the bile ducts that it obstructs.
    """
    parts = [np.random.default_rng(seed) for seed in rng.integers(2**63, size=4)]
    field = _field(body, scanner, size, parts[0])
    tissue = bodies.contrast(phase, timing=float(parts[1].uniform(-0.25, 0.25)))
    growth = np.random.default_rng([body.seed, 6])
    lump = pancreas.draw_tumour(growth, difficulty=difficulty, grown=grown) if tumour else None
    healthy = pancreas.draw_gland(np.random.default_rng([body.seed, 4]), body=body)
    gland = pancreas.with_tumour(healthy, lump)
    bends = space.draw_bends(np.random.default_rng([body.seed, 5]))
    seed, gap = int(parts[2].integers(2**31)), float(parts[2].uniform(1, 10))
    hu = np.empty((field.slices, size, size), np.int16)
    deep = max(1, _SLAB // size**2)
    for first in range(0, field.slices, deep):
        count = min(deep, field.slices - first)
        slab = _slab(field, body, first, count, bends)
        cavity = frame.trunk(slab, body, tissue)
        bowel.draw(slab, body, tissue, cavity, seed=seed)
        organs.draw(slab, body, tissue, cavity, bile=gland.bile)
        pancreas.draw(slab, body, tissue, gland, lump)
        vessels.veins(slab, tissue)
        vessels.arteries(slab, body, tissue)
        if lump is not None:
            pancreas.mass(slab, tissue, gland, lump)
        frame.bones(slab, body)
        frame.table(slab, body, curved=scanner.curved_table, gap=gap)
        _expose(slab.hu, scanner, field, body, parts[3])
        hu[first : first + count] = np.rint(np.clip(slab.hu, -1024, 3071, out=slab.hu), out=slab.hu)
    return Drawn(hu, _origin(field), field.pixel, field.thickness, _kept(scanner, size))


def _expose(hu: space.Volume, made: Scanner, field: Field, body: Body, rng: np.random.Generator) -> None:
    scanner.expose(hu, scanner=made, field=field, level=body.scale[0] * body.scale[1], rng=rng)


def _field(body: Body, made: Scanner, size: int, rng: np.random.Generator) -> Field:
    wide, front, back = frame.outline(body)
    return scanner.draw_field(
        rng,
        scanner=made,
        size=size,
        width=2 * wide * body.scale[0],
        middle=0.5 * (front + back) * body.scale[1] + 10,
        tall=body.scale[2],
    )


def _origin(field: Field) -> tuple[float, float, float]:
    half = 0.5 * (field.size - 1) * field.pixel
    x, y, z = field.centre
    return x - half, y - half, z - 0.5 * (field.slices - 1) * field.thickness


def _slab(field: Field, body: Body, first: int, count: int, bends: NDArray[np.float64]) -> space.Space:
    x, y, z = _origin(field)
    wide, deep, tall = body.scale
    return space.space(
        (count, field.size, field.size),
        start=((z + first * field.thickness) / tall, y / deep, x / wide),
        step=(field.thickness / tall, field.pixel / deep, field.pixel / wide),
        bends=bends,
    )


def _kept(made: Scanner, size: int) -> NDArray[np.bool_]:
    if made.padding is None:
        return np.ones((size, size), np.bool_)
    from_middle = np.arange(size) - 0.5 * (size - 1)
    inside: NDArray[np.bool_] = from_middle[:, None] ** 2 + from_middle[None, :] ** 2 <= (0.5 * size) ** 2
    return inside


def sheet(
    drawn: Sequence[Drawn], *, window: tuple[float, float] = (-150, 250), slices: int = 5, cell: int = 256
) -> bytes:
    """A contact sheet as the bytes of a PNG: a row a scan, axial slices, one coronal and one sagittal plane."""
    page = np.zeros((len(drawn) * cell, (slices + 2) * cell), np.uint8)
    for row, scan in enumerate(drawn):
        grey = (np.clip(scan.hu.astype(np.float64), *window) - window[0]) * (255 / (window[1] - window[0]))
        depth, size, _ = grey.shape
        shown = [grey[round(place)] for place in np.linspace(0.9, 0.1, slices) * (depth - 1)]
        tall = scan.thickness / scan.pixel
        shown += [_upright(grey[:, round(0.42 * size)], tall), _upright(grey[:, :, size // 2], tall)]
        for column, picture in enumerate(shown):
            factor = cell / max(picture.shape)
            way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
            small = cv2.resize(picture.astype(np.uint8), None, fx=factor, fy=factor, interpolation=way)[:cell, :cell]
            top = row * cell + (cell - small.shape[0]) // 2
            page[top : top + small.shape[0], column * cell : column * cell + small.shape[1]] = small
    return bytes(cv2.imencode(".png", page)[1])


def _upright(plane: NDArray[np.float64], tall: float) -> NDArray[np.float64]:
    """A plane [slices, columns] with the head above and square pixels."""
    size = plane.shape[1], math.ceil(plane.shape[0] * tall)
    return np.asarray(cv2.resize(plane[::-1], size, interpolation=cv2.INTER_LINEAR), np.float64)
