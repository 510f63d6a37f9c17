"""What each finding takes from the air of the lungs; each opacity is a picture of shares in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from privrad.cohorts.drawing import anatomy
from privrad.cohorts.drawing.anatomy import SIDES, Body, Pose
from privrad.cohorts.drawing.canvas import Canvas, Picture, band, curve, enlarge, unit

IN_LUNGS = (
    "congestion",
    "pleural_effusion_right",
    "pleural_effusion_left",
    "pneumonic_infiltrate_right",
    "pneumonic_infiltrate_left",
    "atelectasis_right",
    "atelectasis_left",
)

# How strong and how wide the grades are drawn, 0 to 1: negative, uncertain, mild, moderate, severe.
_STRENGTH = ((0.0, 0.0), (0.0, 0.10), (0.12, 0.32), (0.34, 0.60), (0.62, 1.0))
_RATIO = ((0.0, 0.0), (0.465, 0.49), (0.49, 0.535), (0.535, 0.59), (0.59, 0.70))
_STRONGEST, _WIDEST = 1.1, 0.8  # what still fits into a chest, however easy it is made


def strength(grade: int, *, difficulty: float, rng: np.random.Generator) -> float:
    """How strong a finding of grade 0 to 4 is drawn, 0 to about 1; difficulty above 1 makes it fainter."""
    return min(_STRONGEST, rng.uniform(*_STRENGTH[grade]) / difficulty)


def heart_ratio(grade: int, *, body: Body, pose: Pose, difficulty: float, rng: np.random.Generator) -> float:
    """The cardiothoracic ratio of a heart of grade 0 to 4; difficulty draws it back to the patient's own."""
    own = body.heart
    target = rng.uniform(*_RATIO[grade])
    if grade:
        own += max(0.0, target - own) / difficulty
    return min(_WIDEST, own * pose.magnify)


def effusion(canvas: Canvas, body: Body, pose: Pose, side: str, amount: float, rng: np.random.Generator) -> Picture:
    """Fluid: the angle blunted, a meniscus that climbs along the wall; lying down also a veil over the lung."""
    angle = anatomy.angle_height(body, pose, side)
    rise = 0.05 + 1.02 * amount + rng.uniform(-0.03, 0.03)
    level = angle - rise
    climb = 0.10 + 0.28 * amount
    reach = 0.62 - 0.75 * amount  # how far towards the midline the fluid goes
    knots = [
        (1.12, level - climb),
        (0.97, level - 0.6 * climb),
        (0.86, level + 0.12),
        (0.6, level + 0.22 * (1 + reach)),
    ]
    knots += [
        (max(reach, 0.05), level + 0.26 + 0.2 * max(reach, 0)),
        (max(reach, 0.05) - 0.08, angle + 0.3),
        (1.12, angle + 0.3),
    ]
    outline = np.concatenate([curve(knots[:5], 5), knots[5:]]) * (SIDES[side], 1)
    fluid = canvas.area(outline, soft=0.05 if pose.bedside else 0.022)
    share = min(1.0, 0.48 + 0.75 * amount)
    if not pose.bedside:
        return fluid * np.float32(share)
    across, down = canvas.grid()
    veil = np.clip((down + 0.9) / (angle + 0.9), 0, 1) * np.clip(across * SIDES[side] * 8, 0, 1)
    lying: Picture = np.maximum(fluid * np.float32(share * 0.92), veil * np.float32(min(0.45, 0.4 * amount)))
    return lying


def infiltrate(canvas: Canvas, body: Body, pose: Pose, side: str, amount: float, rng: np.random.Generator) -> Picture:
    """Pneumonia: a cloud of patches within one zone of the lung, more often a lower one."""
    small = canvas.coarser(max(1, canvas.columns // 48))
    across, down = small.grid()
    height = anatomy.dome_height(body, pose, side)
    zone = rng.choice([0.34, 0.56, 0.8], p=[0.15, 0.3, 0.55])
    middle = (rng.uniform(0.48, 0.68), -1.0 + zone * (height + 1.0) * 0.98)
    spread = 0.10 + 0.27 * amount
    count = 5 + round(9 * amount)
    at = np.asarray(middle) + rng.normal(0, 1, (count, 2)) * (0.75 * spread, spread)
    at[0] = middle
    at[:, 0] = np.clip(at[:, 0], 0.22, 0.92) * SIDES[side]
    wide = spread * rng.uniform(0.40, 0.75, (count, 2))
    weight = rng.uniform(0.5, 1.0, count)
    column, row = at[:, 0, None, None], at[:, 1, None, None]
    reach = 2 * wide[:, :, None, None] ** 2
    cloud = np.exp(-((across - column) ** 2) / reach[:, 0] - (down - row) ** 2 / reach[:, 1])
    patchy = 1 - np.exp(-1.5 * (weight[:, None, None] * cloud).sum(axis=0))
    patchy *= 0.78 + 0.22 * _speckle(small, rng)
    share = np.float32(min(0.90, 0.22 + 0.72 * amount))
    return np.clip(enlarge(np.asarray(patchy, np.float32), canvas), 0, 1) * share


def _speckle(small: Canvas, rng: np.random.Generator) -> Picture:
    """Smooth random texture of about -1 to 1."""
    coarse = rng.standard_normal((max(4, small.rows // 2), max(4, small.columns // 2))).astype(np.float32)
    return np.clip(enlarge(coarse, small), -1.5, 1.5)


def atelectasis(canvas: Canvas, body: Body, pose: Pose, side: str, amount: float, rng: np.random.Generator) -> Picture:
    """Collapse: plates above the diaphragm and, when it is more, a dense base."""
    top = anatomy.dome_height(body, pose, side)
    out = 0.16 if side == "left" else 0.0  # clear of the heart
    plates = []
    for number in range(1 + round(2.2 * amount)):
        height = top - 0.07 - (0.13 + 0.05 * rng.random()) * number
        start, end = rng.uniform(0.22, 0.36) + 1.2 * out, rng.uniform(0.68, 0.88) + 0.4 * out
        fall = rng.uniform(-0.08, 0.14)
        line = curve([(start, height), ((start + end) / 2, height + 0.4 * fall - 0.02), (end, height + fall)], 5)
        taper = np.interp(np.linspace(0, 1, len(line)), [0, 0.3, 1], [1, 0.8, 0.35])
        plates.append(band(line * (SIDES[side], 1), (0.034 + 0.09 * amount) * taper))
    lines = canvas.blur(unit(canvas.fill(plates)), 0.020) * np.float32(min(0.88, 0.38 + 0.58 * amount))
    knots = [
        (0.02, top - 0.42 * amount - 0.1),
        (0.35 + out, top - (0.22 + out) * amount - 0.06),
        (0.8 + 0.5 * out, top + 0.05),
    ]
    base = curve([*knots, (0.9 + 0.3 * out, top + 0.4), (0.02, top + 0.4)], 4, closed=True)
    dense = canvas.area(base * (SIDES[side], 1), soft=0.05) * np.float32(min(0.8, max(0.0, 1.0 * amount - 0.15)))
    both: Picture = np.maximum(lines, dense)
    return both


def congestion(
    canvas: Canvas, hila: Mapping[str, tuple[float, float]], amount: float, rng: np.random.Generator
) -> Picture:
    """Fluid in the lungs: haze around both hila, more above than usual, and septal lines at the flanks."""
    small = canvas.coarser(max(1, canvas.columns // 40))
    across, down = small.grid()
    haze = np.zeros_like(across + down)
    for side, (x, y) in hila.items():
        out = (across - x) * np.float32(SIDES[side])
        haze += np.exp(-((out - 0.14) ** 2) / 0.075 - (down - y - 0.06) ** 2 / 0.17)
    haze = haze * (0.85 + 0.2 * _speckle(small, rng)) * (0.55 * min(1.0, amount)) + 0.13 * amount
    septa = []
    for sign in SIDES.values():
        for _ in range(round(9 * amount)):
            x, y = rng.uniform(0.8, 0.93), rng.uniform(0.05, 0.62)
            septa.append([(x * sign, y), ((x - 0.1) * sign, y + rng.uniform(-0.02, 0.01))])
    lines = unit(canvas.lines(septa, 0.010)) if septa else np.float32(0)
    return np.clip(enlarge(np.asarray(haze, np.float32), canvas) + lines * np.float32(min(0.3, 0.6 * amount)), 0, 0.9)


def mimics(canvas: Canvas, body: Body, pose: Pose, rng: np.random.Generator) -> Picture:
    """Shadows that are no finding and look like one: fat beside the heart, scars, skin folds."""
    small = canvas.coarser(max(1, canvas.columns // 48))
    across, down = small.grid()
    haze = np.zeros((small.rows, small.columns), np.float32)
    for side, sign in SIDES.items():
        if rng.random() < 0.55:
            floor = anatomy.dome_height(body, pose, side)
            x, y = rng.uniform(0.3, 0.85), floor - rng.uniform(-0.05, 0.55)
            wide = rng.uniform(0.10, 0.26, 2)
            bump = np.exp(-(((across * sign - x) / wide[0]) ** 2) - ((down - y) / wide[1]) ** 2)
            haze += np.float32(rng.uniform(0.08, 0.30)) * np.asarray(bump, np.float32)
    shadow = enlarge(haze, canvas)
    scars = []
    for _ in range(int(rng.poisson(0.7))):
        x, y, angle = rng.uniform(0.3, 0.9) * rng.choice([-1, 1]), rng.uniform(-0.7, 0.6), rng.uniform(-0.6, 0.6)
        reach = rng.uniform(0.08, 0.28)
        scars.append([(x, y), (x + reach * np.cos(angle), y + reach * np.sin(angle))])
    if scars:
        shadow = shadow + canvas.blur(unit(canvas.lines(scars, rng.uniform(0.012, 0.03))), 0.01) * np.float32(
            rng.uniform(0.15, 0.4)
        )
    return np.clip(shadow, 0, 0.6)


def clear(
    canvas: Canvas, body: Body, pose: Pose, amounts: Mapping[str, float], parts: Mapping[str, np.random.Generator]
) -> Picture:
    """The share of the lungs' air that all findings leave, 0 to 1."""
    left = np.ones((canvas.rows, canvas.columns), np.float32)
    for name, amount in amounts.items():
        if amount <= 0:
            continue
        if name == "congestion":
            left *= 1 - congestion(canvas, anatomy.hila(pose), amount, parts[name])
            continue
        kind, side = name.rsplit("_", 1)
        left *= 1 - _SIDED[kind](canvas, body, pose, side, amount, parts[name])
    return left


_SIDED = {"pleural_effusion": effusion, "pneumonic_infiltrate": infiltrate, "atelectasis": atelectasis}
