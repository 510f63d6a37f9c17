"""Liver, gallbladder, spleen, kidneys and adrenals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from privrad.cohorts.drawing_ct.body import Body
from privrad.cohorts.drawing_ct.frame import Cavity
from privrad.cohorts.drawing_ct.space import Line, Point, Space, wave

BILE = 8.0  # HU of bile and of clear fluid
_WIDEST = 1.6  # a gallbladder that still fits
_HILUM = (-40.0, -20.0, 40.0)
_PORTAL_BRANCHES: tuple[Sequence[Point], ...] = (  # within the liver, from the hilum
    (_HILUM, (-66, -14, 50), (-92, 4, 44), (-116, 22, 36)),
    ((-66, -14, 50), (-92, -26, 42), (-116, -34, 30)),
    ((-66, -14, 50), (-84, 0, 68), (-104, 14, 84)),
    (_HILUM, (-30, -34, 56), (-14, -46, 66), (14, -52, 70)),
)
_HEPATIC_VEINS: tuple[Sequence[Point], ...] = (  # towards the vena cava
    ((-22, 14, 98), (-52, 12, 88), (-92, 10, 70), (-122, 0, 44)),
    ((-22, 12, 98), (-42, -14, 86), (-60, -42, 62), (-66, -62, 38)),
    ((-20, 10, 98), (-8, -22, 88), (6, -46, 76)),
)


@dataclass(frozen=True)
class Bile:
    """The bile ducts of one scan: widths in mm of the common duct and within the liver, and of the gallbladder."""

    common: float
    within: float
    gallbladder: float  # 0 removed, about 1 usual, 1.4 dilated


def draw(space: Space, body: Body, tissue: Mapping[str, float], cavity: Cavity, *, bile: Bile) -> None:
    """Paint the solid organs and the bile ducts within the liver."""
    rng = np.random.default_rng([body.seed, 1])
    _liver(space, body, tissue, cavity, bile, rng)
    _spleen(space, tissue, cavity, rng)
    for side in (-1, 1):
        _kidney(space, body, tissue, side, rng)
    _gallbladder(space, cavity, bile, rng)


def _liver(
    space: Space, body: Body, tissue: Mapping[str, float], cavity: Cavity, bile: Bile, rng: np.random.Generator
) -> None:
    level = tissue["liver"] - body.steatosis
    big = rng.uniform(0.93, 1.06, 6)
    inside = cavity.below
    lobes: tuple[tuple[Point, Point, float], ...] = (
        ((-84, -4, 52), (68 * big[0], 76 * big[1], 64), 0.15),
        ((-98, -2, 12), (40, 58, 52 * big[2]), 0.3),
        ((-10, -50, 74), (74 * big[3], 31 * big[4], 36), 0.12),
        ((-30, 2, 62), (22, 20, 24), 0.0),  # the caudate lobe
    )
    for at, radii, tip in lobes:
        space.paint(space.ellipsoid(at, radii, tip=tip), level, within=inside)
    for number, line in enumerate(_HEPATIC_VEINS):
        space.paint_tube(_shaken(line, 4, rng), np.linspace(5.5, 2, len(line)).tolist(), tissue["hepatic_vein"] - 4)
        for fraction in (0.4, 0.7) if number < 2 else ():
            root = wave(line, samples=4)[round(fraction * 4 * (len(line) - 1))]
            space.paint(space.capsule(root, root + rng.normal(0, 20, 3), 2.8, 1.2), tissue["hepatic_vein"] - 8)
    for line in _PORTAL_BRANCHES:
        path = _shaken(line, 4, rng)
        space.paint_tube(path, np.linspace(6, 2.2, len(line)).tolist(), tissue["portal"])
        if bile.within > 0:
            beside = [np.asarray(point) + np.array((2, -6, 3)) for point in path]
            space.paint_tube(beside, np.linspace(bile.within, 0.5 * bile.within, len(line)).tolist(), BILE)
    for _ in range(int(rng.poisson(0.35 + 0.5 * (body.age > 60)))):  # simple cysts
        at = (rng.uniform(-120, -55), rng.uniform(-40, 40), rng.uniform(10, 90))
        space.paint(space.ball(at, float(rng.uniform(4, 13))), BILE, within=inside)


def _spleen(space: Space, tissue: Mapping[str, float], cavity: Cavity, rng: np.random.Generator) -> None:
    big = rng.uniform(0.85, 1.15)
    at = (108, 36, 58)
    space.paint(
        space.ellipsoid(at, (27 * big, 44 * big, 46 * big), turn=-0.35, tip=-0.2), tissue["spleen"], within=cavity.below
    )
    space.paint(space.ellipsoid((84, 28, 52), (12, 12, 26), turn=-0.35), -100)  # the hilum, a hollow of fat


def _kidney(space: Space, body: Body, tissue: Mapping[str, float], side: int, rng: np.random.Generator) -> None:
    big = rng.uniform(0.9, 1.08) * (1.04 - 0.12 * max(0.0, (body.age - 60) / 30))
    at = np.array((side * 66.0, 42.0, -22.0 if side < 0 else -6.0)) + rng.normal(0, (3, 2, 5))
    tip, turn = side * 0.18, side * 0.55
    space.paint(space.ellipsoid(at, np.array((34, 30, 62)) * big, tip=tip), -106)  # perirenal fat
    space.paint(space.ellipsoid(at, np.array((25, 29, 53)) * big, turn=turn, tip=tip), tissue["cortex"])
    for height in (-0.5, 0.0, 0.5):  # the pyramids
        for along in (-0.36, 0.36):
            place = at + big * np.array((side * 2, along * 30, height * 60))
            space.paint(space.ellipsoid(place, (8, 8, 9)), tissue["medulla"])
    sinus = at + np.array((-side * 11, -5, 0))
    space.paint(space.ellipsoid(sinus, np.array((15, 9, 25)) * big, turn=turn), -70)
    space.paint(space.ellipsoid(sinus + np.array((side * 3, 0, 0)), (7, 4, 12)), 15)  # the pelvis
    if rng.random() < 0.12 + 0.35 * (body.age > 60):
        place = at + np.array((side * 24, rng.uniform(-10, 10), rng.uniform(-40, 40)))
        space.paint(space.ball(place, float(rng.uniform(5, 17))), BILE)
    above = at + np.array((-side * 16, -8, 60))
    for along in (-9, 9):  # the adrenal
        space.paint(space.capsule(above, above + np.array((along, 14, -8)), 2.6), tissue["pancreas"] - 30)


def _gallbladder(space: Space, cavity: Cavity, bile: Bile, rng: np.random.Generator) -> None:
    if bile.gallbladder <= 0:
        return
    wide = min(_WIDEST, bile.gallbladder * rng.uniform(0.9, 1.1))
    neck, fundus = np.array((-52.0, -34.0, 22.0)), np.array((-76.0, -60.0, -12.0))
    middle = 0.5 * (neck + fundus)
    ends = [neck, middle, middle + (fundus - middle) * wide]
    for grow, level in ((1.6, 60.0), (0.0, BILE)):
        for part in space.tube(ends, [4 * wide + grow, 11 * wide + grow, 14 * wide + grow]):
            space.paint(part, level, within=cavity.inside)


def _shaken(line: Line, by: float, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """The points of a line, all but the first moved at random."""
    return [np.asarray(line[0], float)] + [np.asarray(point) + rng.normal(0, by, 3) for point in line[1:]]
