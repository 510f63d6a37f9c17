"""Stomach, duodenum, small bowel and colon, with their walls, fluid, food, stool and gas."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from privrad.cohorts.drawing_ct.body import Body
from privrad.cohorts.drawing_ct.frame import Cavity
from privrad.cohorts.drawing_ct.space import Line, Part, Space, Volume, wave

GAS = -960.0
_WALL = 3.0
_DUODENUM: Line = (
    (-34, -40, 16), (-52, -28, 14), (-60, -14, -4), (-58, -4, -28), (-40, 2, -48), (-6, 4, -50), (26, -2, -40),
)  # fmt: skip
_COLON: Line = (
    (-116, -12, -150), (-118, -6, -90), (-116, -8, -50), (-102, -44, -34), (-56, -74, -58), (0, -80, -66),
    (56, -72, -44), (96, -44, 6), (108, -8, 10), (120, 14, -30), (122, 18, -90), (116, 6, -150),
)  # fmt: skip


def draw(space: Space, body: Body, tissue: Mapping[str, float], cavity: Cavity, *, seed: int) -> None:
    """Paint all hollow organs; `seed` is of the scan, for what they hold differs from day to day."""
    rng = np.random.default_rng([seed, 2])
    _small_bowel(space, body, tissue, rng)
    _colon(space, tissue, rng)
    _duodenum(space, tissue, rng)
    _stomach(space, tissue, cavity, rng)


def _content(
    space: Space, part: Part, content: float, *, thick: float, level: float | None = None, wall: float | None = None
) -> None:
    """Paint what a hollow organ holds within its wall, gas in front of `level` (y); with `wall` (HU), the wall too."""
    outside = part.outside + np.float32(thick)
    value: float | Volume = content
    if level is not None:
        gas = space.cover(space.y[:, part.box[1]] - np.float32(level))
        value = content + (GAS - content) * gas
    if wall is None:
        space.paint(Part(part.box, outside), value)
    else:
        space.paint(part, wall + (value - wall) * space.cover(outside))


def _stomach(space: Space, tissue: Mapping[str, float], cavity: Cavity, rng: np.random.Generator) -> None:
    full = rng.uniform(0.72, 1.1)
    content = float(rng.choice([12, 22, 40, 160], p=[0.4, 0.3, 0.2, 0.1]) + rng.normal(0, 4))
    fundus = space.ellipsoid((64, 6, 84), (36 * full, 34 * full, 30), tip=0.3)
    trunk = space.ellipsoid((62, -34, 46), (30 * full, 27 * full, 40), tip=-0.5)
    antrum = list(
        space.tube([(46, -50, 22), (16, -58, 8), (-14, -52, 12), (-36, -42, 16)], [18 * full, 16 * full, 13, 6])
    )
    for part in (fundus, trunk):
        space.paint(part, tissue["bowel"] + 10, within=cavity.below)
    for rod in antrum:
        space.paint(rod, tissue["bowel"] + 10)
    level = float(rng.uniform(-62, -34))
    for part in (fundus, trunk, *antrum):
        if part is not None:
            _content(space, part, content, thick=4.5, level=level)
    for _ in range(6):  # food
        at = np.array((64, -20, 66)) + rng.normal(0, (14, 14, 16))
        space.paint(space.ball(at, float(rng.uniform(4, 9))), content + float(rng.normal(0, 22)))


def _duodenum(space: Space, tissue: Mapping[str, float], rng: np.random.Generator) -> None:
    line = wave(_DUODENUM, samples=1) + rng.normal(0, 2, (len(_DUODENUM), 3))
    widths = 10.5 * rng.uniform(0.85, 1.12, len(line))
    content, level = float(rng.uniform(8, 35)), float(line[1, 1]) if rng.random() < 0.4 else None
    parts = list(space.tube(line, widths.tolist()))
    for part in parts:
        space.paint(part, tissue["bowel"] + 8)
    for number, part in enumerate(parts):
        if part is not None:
            _content(space, part, content, thick=_WALL, level=level if number < 2 else None)


def _small_bowel(space: Space, body: Body, tissue: Mapping[str, float], rng: np.random.Generator) -> None:
    """Loops in the middle and on the left, apart from each other by the fat between them; vessels of the mesentery."""
    spread = 0.8 + 0.4 * body.visceral
    for _ in range(28):
        x, y, z = rng.uniform(-84, 90) * spread, rng.uniform(-80, -8), rng.uniform(-135, -42)
        if rng.random() < 0.25:  # jejunum
            x, z = rng.uniform(48, 96), rng.uniform(-30, 8)
        turn, reach = rng.uniform(0, 2 * np.pi), rng.uniform(8, 26)
        step = np.array((np.cos(turn), 0.45 * np.sin(turn), 0.5 * np.sin(turn))) * reach
        at = np.array((x, y, z))
        width, content, gassy = float(rng.uniform(10, 15)), float(rng.uniform(8, 55)), rng.random() < 0.3
        loop = space.capsule(at - step, at + step, width)
        if loop is not None:
            level = y - 2 if gassy else None
            _content(space, loop, content, thick=2.4, level=level, wall=tissue["bowel"] + 5)
    for _ in range(7):
        at = np.array((rng.uniform(-40, 60), rng.uniform(-50, -16), rng.uniform(-110, -30)))
        space.paint(space.capsule((0, -10, at[2] + 24), at, 3, 1.8), 0.8 * tissue["portal"])


def _colon(space: Space, tissue: Mapping[str, float], rng: np.random.Generator) -> None:
    """The frame of the colon with its pouches, stool mottled by gas, and gas alone in front."""
    line = wave(np.asarray(_COLON) + rng.normal(0, 4, (len(_COLON), 3)), samples=2)
    wide = 17 + 5 * np.sin(np.linspace(0, 5, len(line)) + rng.uniform(0, 6)) * rng.uniform(0.3, 1)
    wide = wide * np.where(np.arange(len(line)) % 2, 0.84, 1.0) * rng.uniform(0.85, 1.1)
    stool, thick = float(rng.uniform(0, 50)), 2.6
    parts = list(space.tube(line, wide.tolist()))
    gassy = rng.random(len(parts)) < rng.uniform(0.15, 0.65)
    for part in parts:
        space.paint(part, tissue["bowel"] - 10)
    for number, part in enumerate(parts):
        middle = 0.5 * (line[number] + line[number + 1])
        high, bubble = float(middle[1] + rng.uniform(-4, 8)), middle + rng.normal(0, 5, 3)
        size = float(rng.uniform(3, 7))
        if part is None:
            continue
        _content(space, part, stool, thick=thick, level=high if gassy[number] else None)
        if not gassy[number]:
            space.paint(space.ball(bubble, size), -600)
