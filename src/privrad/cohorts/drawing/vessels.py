"""The blood vessels of the lungs: a tree of three orders on each side, drawn from a patient's own seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from privrad.cohorts.drawing.anatomy import SIDES, Body, Pose, hila
from privrad.cohorts.drawing.canvas import Canvas, Picture, Points, band, ellipse, unit

_STEPS = 9
_FAN = np.array([-1.35, -0.85, -0.35, 0.25, 0.75, 1.1, 1.4])  # angles of the trunks: 0 is sideways, above 0 downwards
_REACH = np.array([0.62, 0.60, 0.52, 0.50, 0.62, 0.78, 0.80])
_WIDTH = np.array([0.036, 0.034, 0.028, 0.028, 0.040, 0.046, 0.038])
_CHILDREN: tuple[tuple[float, tuple[int, ...]], ...] = ((0.5, (2, 4, 5, 6, 7)), (0.55, (3, 4, 6)), (0.0, ()))
_SWINGS = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
_LEVELS = (235, 165, 105)


def vessels(canvas: Canvas, body: Body, pose: Pose, *, above: float, below: float) -> Picture:
    """Hila and vessels as attenuation; `above` and `below` are factors of width above and below the hilum."""
    mask, knots = canvas.zeros(), []
    mean = 0.5 * (above + below)
    trees = [(np.array(root), side, tree(body.vessels, SIDES[side])) for side, root in hila(pose).items()]
    twigs = [root + orders[-1].lines for root, _, orders in trees]
    canvas.lines(np.concatenate(twigs), 0.0065 * mean, _LEVELS[2], mask)
    for order in (1, 0):
        for root, _, orders in trees:
            wide = orders[order].widths * np.where(orders[order].upper, above, below)[:, None]
            canvas.fill(band(root + orders[order].lines, wide), _LEVELS[order], mask)
    for (x, y), side, _ in trees:
        sign, size = SIDES[side], 0.08 * mean
        knots.append(ellipse((x, y), (0.8 * size, 1.6 * size), -0.35 * sign))
        knots.append(ellipse((x + 0.05 * sign, y + 0.16), (0.55 * size, 1.5 * size), -0.22 * sign))
    return canvas.blur(unit(mask), 0.005) * np.float32(0.115) + canvas.area(*knots, soft=0.028) * np.float32(0.12)


@dataclass(frozen=True)
class _Order:
    """Vessels of one order: lines [k, n, 2] from the hilum at (0, 0), widths [k, n], which go to the upper lobe [k]."""

    lines: Points
    widths: Points
    upper: NDArray[np.bool_]


@lru_cache(maxsize=16)
def tree(seed: int, side: float) -> tuple[_Order, ...]:
    """Trunks, branches and twigs of one side (-1 right, 1 left), from a seed."""
    rng = np.random.default_rng([seed, int(side > 0)])
    angle = _FAN + rng.normal(0, 0.13, _FAN.size)
    upper = angle < -0.1
    length = _REACH * rng.uniform(0.8, 1.12, _FAN.size)
    width = _WIDTH * rng.uniform(0.85, 1.1, _FAN.size)
    start = np.zeros((_FAN.size, 2))
    taper = np.linspace(1.0, 0.35, _STEPS)
    orders = []
    for share, children in _CHILDREN:
        lines = _branches(start, angle, length, side, rng)
        orders.append(_Order(lines, width[:, None] * taper, upper))
        count = len(children)
        start = lines[:, list(children), :].reshape(-1, 2)
        angle = np.repeat(angle, count) + np.tile(_SWINGS[:count], len(lines)) * rng.uniform(0.35, 1.0, len(start))
        length = np.repeat(length, count) * share * rng.uniform(0.6, 1.1, len(start))
        width = np.repeat(width, count) * 0.55 * np.tile(taper[np.array(children, int)] ** 0.3, len(lines))
        upper = np.repeat(upper, count)
    return tuple(orders)


def _branches(start: Points, angle: Points, length: Points, side: float, rng: np.random.Generator) -> Points:
    """Gently bent lines [k, _STEPS, 2]."""
    along = np.linspace(0, 1, _STEPS) * length[:, None]
    bend = rng.normal(0, 0.28, (len(start), 1)) * along**2 / np.maximum(length[:, None], 1e-6)
    bend += rng.normal(0, 0.012, bend.shape)
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    steps = np.stack([side * (along * cosine - bend * sine), along * sine + bend * cosine], axis=-1)
    return start[:, None, :] + steps
