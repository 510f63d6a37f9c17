"""The layers of a lateral radiograph, seen from the patient's left: the sternum at the picture's left."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from privrad.cohorts.drawing import vessels
from privrad.cohorts.drawing.anatomy import Body
from privrad.cohorts.drawing.canvas import Canvas, Mask, Picture, band, curve, ellipse, moved, unit

_TRUNK = [(-0.62, -1.05), (-0.86, -0.45), (-0.93, 0.3), (-0.9, 1.7), (0.95, 1.7), (1.0, 0.4)]
_TRUNK += [(1.02, -0.4), (0.9, -0.95), (0.62, -1.3), (0.46, -1.7), (-0.3, -1.7), (-0.36, -1.32)]
_WALL = [(0.80, 0.2), (0.78, -0.4), (0.60, -0.95), (0.25, -1.18), (-0.1, -1.08), (-0.42, -0.85)]
_WALL += [(-0.66, -0.35), (-0.75, 0.2)]
_VERTEBRA = np.array([(-1, -1), (1, -1), (0.92, 0), (1, 1), (-1, 1), (-0.92, 0)]) * (0.115, 0.078)
_HILUM = np.array([0.02, -0.18])


def attenuation(canvas: Canvas, body: Body, grades: Mapping[str, int], rng: np.random.Generator) -> Picture:
    """Trunk, lungs, heart, vessels and bones; the heart and the fluid behind follow their grades (0 to 4)."""
    outline = canvas.area(curve(_TRUNK, 5, closed=True), soft=0.012)
    depth = outline * (0.50 + 0.60 * canvas.blur(outline, 0.20)) * np.float32(body.girth)
    floor = 0.60 + body.dome
    wet = 0.10 * max(grades.get("pleural_effusion_right", 0), grades.get("pleural_effusion_left", 0))
    ratio = body.heart + 0.045 * grades.get("cardiomegaly", 0)
    air = _air(canvas, floor, wet) * _clear(canvas, body, floor, ratio)
    shoulders = canvas.area(ellipse((0.16, -1.22), (0.60, 0.40)), soft=0.10) * np.float32(0.26)
    pipe = canvas.area(band(curve([(-0.02, -1.5), (0.05, -0.9), (0.05, -0.32)], 5), 0.12), soft=0.03) * np.float32(0.10)
    tree = unit(_tree(canvas, body)) * np.float32(0.075) * np.clip(1.8 * air, 0.15, 1)
    picture: Picture = depth - air + shoulders - pipe + tree + _bones(canvas, rng) * np.float32(body.bone)
    return picture


def _air(canvas: Canvas, floor: float, wet: float) -> Picture:
    """Both lungs, one over the other, each down to its own diaphragm; fluid fills the angle behind."""
    air = np.zeros((canvas.rows, canvas.columns), np.float32)
    for lower in (0.0, 0.09):
        dome = [(-0.74, floor + 0.16), (-0.4, floor), (0.1, floor + 0.1)]
        dome += [(0.55, floor + 0.32 - wet), (0.74, floor + 0.5 - 2 * wet)]
        outline = np.concatenate([moved(curve(dome, 5), 0.0, lower), curve(_WALL, 5)])
        lung = canvas.area(outline, soft=0.012)
        air += lung * (0.6 + 0.4 * canvas.blur(lung, 0.14)) * np.float32(0.33)
    return air


def _clear(canvas: Canvas, body: Body, floor: float, ratio: float) -> Picture:
    """The share of air that heart, aorta and hila leave."""
    back = 2.2 * (ratio - 0.44)
    heart = [(-0.78, 0.05), (-0.66, -0.22), (-0.42, -0.42), (-0.2, -0.44), (-0.04 + 0.5 * back, -0.2)]
    heart += [(0.08 + back, 0.15), (0.05 + back, floor - 0.12), (-0.06 + 0.6 * back, floor + 0.12)]
    heart += [(-0.5, floor + 0.2), (-0.8, floor + 0.2)]
    arch = band(curve([(-0.24, -0.3), (-0.18, -0.58), (0.06, -0.68), (0.28, -0.5), (0.36, 0.1), (0.38, 0.7)], 5), 0.17)
    left = 1 - np.float32(0.74) * canvas.area(curve(heart, 5, closed=True), soft=0.05)
    left *= 1 - np.float32(0.12 + 0.18 * body.aorta) * canvas.area(arch, soft=0.03)
    return left * (1 - np.float32(0.35) * canvas.area(ellipse((_HILUM[0], _HILUM[1] + 0.04), (0.13, 0.18)), soft=0.06))


def _tree(canvas: Canvas, body: Body) -> Mask:
    mask = canvas.zeros()
    for sign in (-1.0, 1.0):
        trunks, branches, twigs = vessels.tree(body.vessels, sign)
        canvas.lines(_HILUM + twigs.lines, 0.007, 90, mask)
        canvas.lines(_HILUM + branches.lines, 0.013, 150, mask)
        canvas.lines(_HILUM + trunks.lines, 0.020, 190, mask)
    return mask


def _bones(canvas: Canvas, rng: np.random.Generator) -> Picture:
    """Vertebrae, sternum and the ribs of both sides, which do not quite coincide."""
    heights = np.arange(-1.4, 1.7, 0.2)
    column = 0.44 + 0.22 * np.exp(-(heights**2) / 0.8)
    lean = np.gradient(column, heights)
    mask = canvas.zeros()
    for x, y, slope in zip(column, heights, lean, strict=True):
        box = _VERTEBRA + _VERTEBRA[:, ::-1] * (slope, -slope) + (x, y)
        canvas.fill([box], 130, mask)
        canvas.lines([box[:2], box[3:5]], 0.020, 215, mask)
        canvas.lines([[(x + 0.10, y + 0.02), (x + 0.26, y + 0.12)]], 0.045, 120, mask)
    canvas.fill([band(curve([(-0.60, -0.78), (-0.77, -0.3), (-0.85, 0.3)], 5), 0.065)], 170, mask)
    ribs = canvas.zeros()
    for number in range(9):
        for shift in (0.0, rng.uniform(0.03, 0.06)):
            start = -1.02 + 0.2 * number + shift
            knots = [
                (0.60, start),
                (0.78, start + 0.10),
                (0.70, start + 0.30),
                (0.25, start + 0.55),
                (-0.30, start + 0.72),
            ]
            edges = np.split(band(curve(knots, 5), 0.075), 2)
            canvas.lines(edges, 0.012, 150, ribs)
    return canvas.blur(unit(mask), 0.009) * np.float32(0.24) + canvas.blur(unit(ribs), 0.006) * np.float32(0.045)
