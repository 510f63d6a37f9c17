"""Aorta, vena cava, portal and splenic veins, and their large branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from privrad.cohorts.drawing_ct.body import Body
from privrad.cohorts.drawing_ct.space import Point, Space

_AORTA: Sequence[Point] = ((8, 26, 160), (9, 24, 60), (10, 21, 0), (9, 20, -70), (5, 22, -98))
_CAVA: Sequence[Point] = ((-20, 22, -98), (-25, 20, -40), (-27, 16, 30), (-24, 12, 80), (-18, 8, 130))
SPLENIC: Sequence[Point] = ((-4, -9, 3), (24, -4, 15), (48, 10, 24), (72, 27, 34), (92, 36, 44))
_MESENTERIC: Sequence[Point] = ((-10, -16, -110), (-9, -14, -50), (-6, -10, 0))
_PORTAL: Sequence[Point] = ((-6, -10, 0), (-20, -15, 20), (-40, -20, 40))


def veins(space: Space, tissue: Mapping[str, float]) -> None:
    """Paint the vena cava, and the veins that join behind the neck of the pancreas."""
    space.paint_tube(_CAVA, [11, 11, 12, 13, 13], tissue["cava"])
    for side in (-1, 1):
        space.paint(space.capsule((side * 48, 30, -14), (side * 20 - 6, 12, -10), 4, 5), 0.5 * (tissue["cava"] + 170))
    portal = tissue["portal"]
    space.paint_tube(_MESENTERIC, [5, 6, 7], portal)
    space.paint_tube(SPLENIC, [5.5, 5, 4.6, 4.2, 4], portal)
    space.paint_tube(_PORTAL, [7.5, 7.5, 7], portal)


def arteries(space: Space, body: Body, tissue: Mapping[str, float]) -> None:
    """Paint the aorta, wider and more calcified with age, and the arteries that leave it."""
    rng = np.random.default_rng([body.seed, 3])
    blood = tissue["aorta"]
    wide = 9.2 + 2.2 * max(0.0, (body.age - 40) / 50) + rng.normal(0, 0.6)
    space.paint_tube(_AORTA, wide, blood)
    for side in (-1, 1):
        space.paint_tube([(5, 22, -98), (side * 22 + 3, 26, -130), (side * 34, 30, -160)], [7, 6, 6], blood)
        space.paint(space.capsule((9, 21, -6), (side * 46, 34, -14), 3.2, 2.5), blood)
    space.paint_tube([(9, 14, 10), (8, -1, 4), (5, -6, -20), (2, -10, -100)], [4, 3.8, 3.6, 3], blood)
    space.paint(space.capsule((9, 14, 28), (9, 0, 32), 3.8), blood)
    space.paint_tube([(9, 0, 32), (-14, -16, 32), (-36, -26, 42)], [3, 2.6, 2.2], blood)
    turns = [(9, 0, 32), (30, -2, 30), (46, 4, 38), (62, 14, 38), (78, 24, 48), (92, 30, 50)]
    space.paint_tube(turns, [3, 2.8, 2.8, 2.6, 2.4, 2.2], blood)
    for _ in range(round(20 * body.calcified)):
        height, turn = rng.uniform(-150, 60), rng.uniform(0, 2 * np.pi)
        if height > -98:
            x = float(np.interp(height, [-98, -70, 0, 60], [5, 9, 10, 9]))
            y = float(np.interp(height, [-98, 0, 60], [22, 21, 24]))
        else:
            side = rng.choice([-1, 1])
            x, y = 5 + side * (-98 - height) * 0.5, 22 - (98 + height) * 0.13
        at = (x + wide * np.cos(turn), y + wide * np.sin(turn), height)
        space.paint(space.ball(at, float(rng.uniform(1.8, 3.8))), 800)
