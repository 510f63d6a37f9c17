"""The layers of a frontal radiograph: soft tissue, air, vessels and bone, each a picture of attenuation."""

from __future__ import annotations

import numpy as np

from privrad.cohorts.drawing import anatomy
from privrad.cohorts.drawing.anatomy import SIDES, Body, Pose
from privrad.cohorts.drawing.canvas import Canvas, Picture, Points, band, curve, ellipse, moved, unit

_TABLE = 512


def tissue(canvas: Canvas, body: Body, pose: Pose) -> Picture:
    """Depth of soft tissue: an elliptic trunk, neck, arms and breasts; about 1 in the middle of the trunk."""
    across, down = canvas.grid()
    flank = 1.0 + body.wall
    heights = np.array([-2.4, -1.75, -1.42, -1.28, -1.16, -1.0, -0.75, -0.4, 0.2, 0.9, 1.6])
    widths = np.array([0.50, 0.50, 0.58, 0.86, 1.18, 1.42, flank + 0.18, flank, flank, flank * 0.99, flank])
    depths = np.array([0.80, 0.80, 0.76, 0.78, 0.84, 0.92, 0.98, 1.0, 1.04, 1.12, 1.18])
    row = np.clip((down + 2.4) * (_TABLE / 4.0), 0, _TABLE - 1).astype(np.int32)
    at = np.linspace(-2.4, 1.6, _TABLE)
    smooth = np.ones(15) / 15
    width = np.convolve(np.pad(np.interp(at, heights, widths), 7, mode="edge"), smooth, "valid").astype(np.float32)
    depth = np.interp(at, heights, depths).astype(np.float32)
    share = np.abs(across) * (1 / width).take(row)
    square = share * share
    trunk: Picture = (depth * np.float32(body.girth)).take(row) * np.sqrt(np.maximum(1 - square * square * share, 0))
    trunk *= 1 + np.float32(pose.uneven) * across
    trunk += _arms(canvas, body)
    if body.breast >= 0.05:
        trunk += _breasts(canvas, body, pose)
    return trunk


def _arms(canvas: Canvas, body: Body) -> Picture:
    flank = 1.0 + body.wall
    arm = curve(
        [(1.28, -1.08), (1.40 + body.wall * 0.3, -0.6), (flank + 0.36, 0.1), (flank + 0.42, 0.9), (flank + 0.44, 1.6)],
        5,
    )
    return canvas.area(*(band(arm, 0.44) * (side, 1) for side in SIDES.values()), soft=0.03) * np.float32(0.34)


def _breasts(canvas: Canvas, body: Body, pose: Pose) -> Picture:
    """Shadows whose lower edge is the sharp one."""
    size = body.breast
    sag = 0.16 * size + 0.10 * min(1.0, body.age / 80) - (0.1 if pose.bedside else 0)
    outlines = [
        ellipse((side * (0.60 + 0.10 * size), 0.34 + sag), (0.30 + 0.17 * size, 0.27 + 0.2 * size), side * 0.25)
        for side in SIDES.values()
    ]
    edge = canvas.area(*outlines, soft=0.02)
    return edge * canvas.blur(edge, 0.16) * np.float32(0.05 + 0.16 * size)


def air(canvas: Canvas, body: Body, pose: Pose, ratio: float) -> Picture:
    """Depth of air in the lungs, with heart and mediastinum in front of it."""
    outlines = [anatomy.lung(body, pose, side) for side in SIDES]
    both = canvas.area(*outlines, soft=0.008)
    depth = both * (0.42 + 0.58 * canvas.blur(both, 0.12)) * np.float32(0.60)
    _, down = canvas.grid()
    depth *= np.clip(0.86 + 0.16 * (down + 1.0), 0.8, 1.06)
    centre = canvas.area(anatomy.heart(body, pose, ratio), soft=0.012)
    upper = canvas.area(*anatomy.mediastinum(body, pose, ratio), soft=0.016)
    depth *= 1 - np.float32(0.80) * np.maximum(centre, upper)
    return depth * (1 - np.float32(0.35) * centre * upper)


def hollow(canvas: Canvas, body: Body, pose: Pose, rng: np.random.Generator) -> Picture:
    """Air outside the lungs: windpipe, main bronchi, stomach and bowel."""
    front = pose.turn + 0.5 * pose.shift
    bend = 0.04 * body.aorta
    pipe = moved(band(curve([(0.0, -1.6), (0.0, -1.1), (-bend, -0.7), (-0.015, -0.42)], 5), 0.155), front)
    bronchi = [
        band(curve([(-0.02, -0.45), (-0.14, -0.30), (-0.26, -0.14)], 4), 0.10),
        band(curve([(0.0, -0.45), (0.17, -0.32), (0.33, -0.22)], 4), 0.085),
    ]
    pipes = canvas.area(pipe, soft=0.016) * np.float32(0.12)
    pipes += canvas.area(*(moved(bronchus, front) for bronchus in bronchi), soft=0.022) * np.float32(0.07)
    pockets = []
    floor = anatomy.dome_height(body, pose, "left")
    if rng.random() < 0.75:
        wide = rng.uniform(0.12, 0.27)
        pockets.append(
            ellipse(
                (rng.uniform(0.42, 0.66), floor + 0.14 + 0.35 * wide),
                (wide, 0.45 * wide + 0.04),
                rng.uniform(-0.3, 0.3),
            )
        )
    for _ in range(rng.integers(0, 7)):
        pockets.append(
            ellipse(
                (rng.uniform(-0.2, 0.9), floor + rng.uniform(0.35, 0.75)),
                (rng.uniform(0.05, 0.12), rng.uniform(0.04, 0.09)),
                rng.uniform(-1, 1),
            )
        )
    if pockets:
        pipes += canvas.area(*pockets, soft=0.018) * np.float32(rng.uniform(0.12, 0.3))
    return pipes


def bones(canvas: Canvas, body: Body, pose: Pose, air: Picture) -> Picture:
    """Ribs, collar bones, shoulder blades, upper arms and spine; what lies before dense tissue shows less."""
    picture: Picture = _ribs(canvas, anatomy.posterior_ribs(body), 0.095, (205, 130)) * np.float32(0.165)
    widths = np.interp(np.linspace(0, 1, 16), [0, 0.6, 1], [0.085, 0.11, 0.12])
    picture += _ribs(canvas, anatomy.anterior_ribs(body, pose), widths, (170, 125)) * np.float32(0.09)
    collar = anatomy.clavicles(pose)
    picture += unit(canvas.fill(collar[1], 150, canvas.fill(collar[0], 230))) * np.float32(0.15)
    blades = anatomy.scapulae(body, pose)
    picture += unit(canvas.lines(blades, 0.024, 190, canvas.fill(blades, 110))) * np.float32(0.10)
    picture = canvas.blur(picture, 0.005)
    picture *= np.clip(np.float32(0.38) + np.float32(1.7) * air, 0, 1)
    picture += _upper_arms(canvas, body) + _spine(canvas, body)
    picture *= np.float32(body.bone)
    return picture


def _ribs(canvas: Canvas, lines: Points, width: float | Points, levels: tuple[int, int]) -> Picture:
    """Bright edges around a fainter inside."""
    mask = canvas.fill(band(lines, width), levels[0])
    return unit(canvas.fill(band(lines, np.asarray(width) - 0.036), levels[1], mask))


def _upper_arms(canvas: Canvas, body: Body) -> Picture:
    flank = 1.0 + body.wall
    shaft = curve([(1.33, -1.03), (1.42 + body.wall * 0.3, -0.6), (flank + 0.38, 0.1), (flank + 0.44, 1.0)], 4)
    both = np.stack([shaft * (side, 1) for side in SIDES.values()])
    mask = canvas.fill(band(both, 0.155), 190)
    canvas.fill(band(both, 0.085), 120, mask)
    canvas.fill([ellipse((1.30 * side, -1.08), (0.145, 0.135)) for side in SIDES.values()], 215, mask)
    return canvas.blur(unit(mask), 0.014) * np.float32(0.12)


_HEIGHTS = np.concatenate([np.arange(-1.95, -1.2, 0.125), np.arange(-1.16, 1.7, 0.2)])
_DEEP = np.where(_HEIGHTS < -1.2, 0.125, 0.2)


def _spine(canvas: Canvas, body: Body) -> Picture:
    """Vertebral bodies with bright end plates and pedicles, and spinous processes."""
    half = 0.105 + 0.02 * np.maximum(0.0, _HEIGHTS)
    at = np.stack([anatomy.spine_at(body, _HEIGHTS), _HEIGHTS], axis=-1)[:, None, :]
    size = np.stack([half, _DEEP], axis=-1)[:, None, :]
    boxes = at + np.array([(-1, -0.4), (1, -0.4), (0.9, 0), (1, 0.4), (-1, 0.4), (-0.9, 0)]) * size
    mask = canvas.fill(boxes, 150)
    canvas.lines(np.concatenate([boxes[:, :2], boxes[:, 3:5]]), 0.020, 215, mask)
    dot = ellipse((0, 0), (1, 1), samples=10)
    middles = np.concatenate([at + size * (sign * 0.62, -0.1) for sign in (-1, 1)])
    canvas.fill(middles + dot * (0.018, 0.028), 230, mask)
    canvas.fill(at + size * (0, 0.22) + dot * (0.016, 0.045), 225, mask)
    return canvas.blur(unit(mask), 0.010) * np.float32(0.12)
