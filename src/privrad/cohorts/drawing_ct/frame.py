"""What holds the abdomen: skin, fat, muscle, spine, ribs, the bases of the lungs, and the table below."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from privrad.cohorts.drawing_ct.body import Body
from privrad.cohorts.drawing_ct.space import Part, Space, Volume

WIDE, DEEP = 138.0, 82.0  # half the cavity, mm
FORWARD = -14.0  # y of its middle
_WALL = 13.0  # muscle around it
_SQUARE = 0.30  # how far an outline goes from an ellipse towards a rectangle
_LEVEL, _VERTEBRA, _DISC = 5.0, 34.0, 8.0  # a disc's z, from disc to disc, a disc's height
_RIB, _FALL = 27.0, 0.42  # from rib to rib, and how they fall to the front
BACK = 100.0  # y of the muscles of the back


@dataclass(frozen=True)
class Cavity:
    """Shares of each voxel: within the abdominal cavity, and of that below the diaphragm."""

    inside: Volume
    below: Volume


def outline(body: Body) -> tuple[float, float, float]:
    """Half the width of the skin, its front and its back (y), in mm of the reference body."""
    return WIDE + _WALL + body.fat, FORWARD - DEEP - 9 - 0.75 * body.fat, BACK + 0.45 * body.fat


def trunk(space: Space, body: Body, tissue: Mapping[str, float]) -> Cavity:
    """Paint skin, fat, muscle and what fills the cavity."""
    muscle = tissue["muscle"] - body.muscle
    skin = Part(space.whole, _oval(space, body, *outline(body)))
    space.paint(skin, 30)
    space.paint(skin.grown(-2.2), -108)
    space.paint(Part(space.whole, _oval(space, body, WIDE + _WALL, FORWARD - DEEP - 9, BACK)), muscle)
    cavity = _oval(space, body, WIDE, FORWARD - DEEP, FORWARD + DEEP)
    inside = space.cover(cavity)
    space.paint(Part(space.whole, cavity), -103)
    _back_muscles(space, muscle)
    below = inside.copy()
    _lungs(space, cavity, below)
    space.paint(space.ellipsoid((16, -44, 136), (62, 44, 44)), -95, within=inside)
    space.paint(space.ellipsoid((18, -42, 138), (56, 38, 38), tip=0.3), tissue["cava"], within=inside)
    return Cavity(inside, below)


def _oval(space: Space, body: Body, wide: float, front: float, back: float) -> Volume:
    """Distances from a rounded rectangle about the z axis, a little narrower at the waist, [planes, rows, columns]."""
    across = space.x * np.float32(1 / wide)
    along = (space.y - np.float32(0.5 * (front + back))) * np.float32(2 / (back - front))
    across, along = across * across, along * along
    near = np.sqrt(np.maximum(across + along - np.float32(_SQUARE) * across * along, 0))
    waist = 1 + body.waist * np.exp(-(((space.z + 45) * np.float32(1 / 60)) ** 2))
    outside: Volume = near * (waist * np.float32(math.sqrt(0.5 * wide * (back - front))))
    outside -= np.float32(math.sqrt(0.5 * wide * (back - front)))
    return outside


def _back_muscles(space: Space, muscle: float) -> None:
    """Psoas and quadratus beside the spine, the crura, and fat between the muscles of the back."""
    for side in (-1, 1):
        space.paint_tube([(side * 22, 50, 20), (side * 36, 52, -40), (side * 46, 44, -130)], [5, 15, 22], muscle)
        space.paint(space.capsule((side * 66, 68, -10), (side * 74, 66, -130), 8, 12), muscle)
        space.paint_tube([(side * 8, 30, -30), (side * 12, 24, 50), (side * 18, 20, 100)], [3, 6, 7], muscle)
        space.paint(space.capsule((side * 60, 82, 140), (side * 62, 82, -140), 3.0), -70)
        space.paint(space.capsule((side * 7, 96, 140), (side * 7, 96, -140), 3.5), -85)


def _lungs(space: Space, cavity: Volume, below: Volume) -> None:
    """Paint the lungs above both domes of the diaphragm, and take what lies above it from the mask `below`."""
    box = space.box((-WIDE - 9, FORWARD - DEEP - 9, 20), (WIDE + 9, FORWARD + DEEP + 9, 1000))
    if box is None:
        return
    x, y, z = space.bent[:, *box]
    along = (y + 12) * (y + 12) * np.float32(0.0085)
    domes = [
        np.float32(top) - (x - np.float32(middle)) ** 2 * np.float32(0.008) for middle, top in ((-62, 116), (66, 106))
    ]
    height = (np.maximum(domes[0], domes[1]) - along - z) * np.float32(0.6)
    below[box] *= space.cover(-height)
    beside = np.float32(26) - np.sqrt((x - 6) ** 2 + (0.75 * (y - 10)) ** 2)  # the mediastinum
    space.paint(Part(box, np.maximum(np.maximum(height, cavity[box] + 2), beside)), -850)


def bones(space: Space, body: Body) -> None:
    """Paint the spine and the ribs."""
    _ribs(space, body)
    box = space.box((-48, 26, -1000), (48, 122, 1000))
    if box is None:
        return
    planes, rows, columns = box
    x, y, z = space.x[:, :, columns], space.y[:, rows], space.z[planes]
    y = y - np.float32(body.lordosis) * np.cos((z + 60) * np.float32(1 / 60))  # [planes, rows, 1]
    turn = np.abs((z - np.float32(_LEVEL)) % np.float32(_VERTEBRA) - np.float32(0.5 * _VERTEBRA))
    disc = turn - np.float32(0.5 * (_VERTEBRA - _DISC))  # above 0 within a disc
    waist = 1 - 0.05 * np.cos(turn * np.float32(2 * math.pi / _VERTEBRA))
    vertebra = (np.sqrt((x / 24) ** 2 + ((y - 50) / 17.5) ** 2) / waist - 1) * np.float32(20)
    hard = 330 + 0.9 * body.marrow
    space.paint(Part(box, vertebra), np.where(disc > 0, np.float32(85), np.float32(hard)))
    space.paint(Part(box, np.maximum(vertebra + 2.6, disc + 1.8)), body.marrow)
    canal = np.sqrt((x / 17) ** 2 + ((y - 77) / 14) ** 2)
    level = turn - np.float32(11)  # the arches reach less far than the bodies
    arch = np.maximum(np.maximum((canal - 1) * np.float32(15), np.float32(66) - y), level)
    wing = np.maximum(np.maximum(np.abs(x) - 40, np.abs(y - 71 + 0.16 * np.abs(x)) - 5), turn - 7)
    thorn = np.maximum(np.maximum(np.abs(x) - 3.6, np.abs(y - 98) - 12), level - 1)
    space.paint(Part(box, np.minimum(np.minimum(arch, wing), thorn)), hard)
    space.paint(Part(box, (canal * np.float32(1.68) - 1) * np.float32(9)), 22)


def _ribs(space: Space, body: Body) -> None:
    """Oblique rings in the wall, down to the costal margin, each with a softer inside."""
    box = space.box((-WIDE - 30, -130, -60), (WIDE + 30, BACK, 1000))
    if box is None:
        return
    planes, rows, columns = box
    x, y, z = space.x[:, :, columns], space.y[:, rows], space.z[planes]
    shell = np.abs(_oval(space, body, WIDE + 5, FORWARD - DEEP - 3, FORWARD + DEEP + 7)[box])
    turn = np.abs((z - np.float32(_FALL) * y) % np.float32(_RIB) - np.float32(0.5 * _RIB)) * np.float32(0.8)
    margin = np.float32(-48) - z + np.maximum(np.float32(30) - y, 0) * np.float32(0.95)  # [planes, rows, 1]
    shell *= np.float32(1.25)
    shell *= shell
    shell += turn * turn
    end = np.sqrt(shell)
    end -= np.float32(5.2)
    end = np.maximum(np.maximum(end, margin), np.float32(30) - np.abs(x))
    share = space.cover(end + np.float32(2.4))
    space.paint(Part(box, end), (400 + 0.5 * body.marrow) * (1 - share) + 0.8 * body.marrow * share)


def table(space: Space, body: Body, *, curved: bool, gap: float) -> None:
    """Paint the table: a thin shell around foam, flat or curved, below the back."""
    _, _, back = outline(body)
    box = space.box((-1000, 0, -1000), (1000, 1000, 1000))
    if box is None:
        return
    bow = np.float32(0.0009 if curved else 0)
    depth = space.y[:, box[1]] - np.float32(back + gap + 4 * curved) + space.x * space.x * bow
    slab = np.maximum(np.maximum(-depth, depth - 26), np.abs(space.x) - np.float32(195))
    free = space.cover(-_oval(space, body, *outline(body))[box])  # never over the patient
    soft = space.cover(slab), space.cover(slab + np.float32(3))
    free *= soft[0]
    free *= (-930 * soft[1] - 120 * (1 - soft[1])) - space.hu[box]
    space.hu[box] += free
