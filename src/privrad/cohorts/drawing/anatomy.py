"""The shapes of a chest: a patient's body, its pose in one exposure, and the outlines that follow from both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privrad.cohorts.drawing.canvas import Points, band, curve, ellipse, moved

_RIBS, _REACHES = [0, 1, 2, 3, 4, 6, 9], [0.5, 0.66, 0.78, 0.87, 0.94, 1.0, 1.02]
SIDES = {"right": -1.0, "left": 1.0}  # the patient's right is at the picture's left


@dataclass(frozen=True)
class Body:
    """What stays the same from one of a patient's images to the next; lengths in units, others about 1."""

    sex: str
    age: float
    girth: float  # depth of soft tissue
    wall: float  # thickness of the chest wall at the flank
    bone: float  # density of bone
    breast: float  # 0 none to 1 large
    heart: float  # cardiothoracic ratio without disease
    apex: float  # how far down the heart's apex points
    slope: float  # how steeply the ribs fall
    aorta: float  # elongation of the aorta, 0 to 1
    scoliosis: float
    dome: float  # height of the diaphragm
    taper: float  # how much narrower the chest is above
    tall: float  # height of the chest for its width
    flow: float  # width of the vessels
    vessels: int  # seed of the vascular tree
    pacemaker: bool


@dataclass(frozen=True)
class Pose:
    """What changes from one exposure to the next."""

    bedside: bool
    inspiration: float  # 0 shallow to 1 deep
    turn: float  # rotation of the patient: shift of what lies in front, in units
    scapulae: float  # how far the shoulder blades lie over the lungs, 0 to 1
    magnify: float  # of the heart
    raised: dict[str, float]  # volume loss: how far each side's diaphragm is drawn up
    uneven: float  # how much denser one side is by rotation or the beam
    shift: float = 0.0  # of the mediastinum by volume loss


def draw_body(rng: np.random.Generator, *, sex: str, age: float) -> Body:
    """A body for a patient of this sex and age (years)."""
    old = float(np.clip((age - 30) / 55, 0, 1))
    stout = float(np.clip(rng.normal(0, 1), -1.8, 2.2))
    female = sex == "F"
    return Body(
        sex=sex,
        age=age,
        girth=1.0 + 0.09 * stout,
        wall=0.15 + 0.035 * stout + 0.02 * rng.random(),
        bone=(1.1 - 0.38 * old - 0.08 * female) * rng.uniform(0.9, 1.1),
        breast=float(np.clip(rng.normal(0.55, 0.2) + 0.1 * stout, 0.15, 1)) if female else max(0.0, 0.06 * stout),
        heart=float(np.clip(rng.normal(0.44 + 0.015 * old, 0.025), 0.38, 0.485)),
        apex=rng.uniform(-0.04, 0.08),
        slope=rng.uniform(0.8, 1.2) + 0.1 * old,
        aorta=float(np.clip(0.15 + 0.75 * old + rng.normal(0, 0.15), 0, 1)),
        scoliosis=rng.normal(0, 0.02 + 0.025 * old),
        dome=rng.normal(0, 0.05),
        taper=rng.uniform(0.86, 1.1),
        tall=float(np.clip(rng.normal(1.0 if female else 1.02, 0.06) - 0.04 * stout, 0.84, 1.16)),
        flow=float(np.clip(rng.normal(1.0, 0.16), 0.7, 1.45)),
        vessels=int(rng.integers(2**31)),
        pacemaker=bool(rng.random() < 0.02 + 0.13 * (age >= 70)),
    )


def draw_pose(rng: np.random.Generator, *, bedside: bool) -> Pose:
    """A pose; bedside exposures are shallower, more rotated, and magnify the heart."""
    return Pose(
        bedside=bedside,
        inspiration=float(np.clip(rng.normal(0.42 if bedside else 0.8, 0.16), 0, 1)),
        turn=rng.normal(0, 0.05 if bedside else 0.02),
        scapulae=rng.uniform(0.35, 1.0) if bedside else rng.uniform(0, 0.35),
        magnify=rng.uniform(1.0, 1.12) if bedside else rng.uniform(0.98, 1.03),
        raised={"right": abs(rng.normal(0, 0.035)), "left": abs(rng.normal(0, 0.035))},
        uneven=rng.normal(0, 0.09 if bedside else 0.04),
    )


def dome_height(body: Body, pose: Pose, side: str) -> float:
    """y of the diaphragm's top; the right one is the higher."""
    lower = 0.06 if side == "left" else 0.0
    return 0.38 + 0.30 * pose.inspiration + body.dome + lower - pose.raised[side]


def angle_height(body: Body, pose: Pose, side: str) -> float:
    """y of the costophrenic angle."""
    return dome_height(body, pose, side) + 0.6 * pose.raised[side] + 0.29 + 0.07 * pose.inspiration


def dome_line(body: Body, pose: Pose, side: str) -> Points:
    """The diaphragm from the costophrenic angle to the midline, lateral to medial."""
    top, angle = dome_height(body, pose, side), angle_height(body, pose, side)
    deep = angle - top
    knots = [(0.985, angle), (0.945, top + 0.66 * deep), (0.85, top + 0.36 * deep), (0.68, top + 0.09 * deep)]
    knots += [(0.48, top), (0.28, top + 0.10 * deep), (0.05, top + 0.38 * deep)]
    return curve(knots, 5) * (SIDES[side], 1)


def wall_line(body: Body, pose: Pose, side: str) -> Points:
    """The inner chest wall from the apex of the lung down to the costophrenic angle."""
    narrow = body.taper
    angle = angle_height(body, pose, side)
    knots = [(0.20, -1.00), (0.30, -1.12), (0.44, -1.16), (0.58, -1.08), (0.71 / narrow, -0.90), (0.82 / narrow, -0.64)]
    knots += [(0.90 / narrow**0.5, -0.32), (0.97, 0.08), (1.0, 0.45 * angle + 0.1), (0.985, angle)]
    return curve(knots, 5) * (SIDES[side], 1)


def lung(body: Body, pose: Pose, side: str) -> Points:
    """The outline of a lung, drawn to the midline: the mediastinum is laid over it."""
    medial = np.array([(0.04, -0.5), (0.16, -0.92)]) * (SIDES[side], 1)
    return np.concatenate([wall_line(body, pose, side), dome_line(body, pose, side), medial])


def heart(body: Body, pose: Pose, ratio: float) -> Points:
    """The outline of a heart of this cardiothoracic ratio."""
    width = 2 * ratio
    right, left = 0.36 * width, 0.64 * width
    centre = pose.turn * 1.2 + pose.shift
    floor = dome_height(body, pose, "left") + 0.1
    top = -0.42
    at = floor - top
    apex = top + at * (0.76 + body.apex)
    knots = [
        (0.02, top - 0.05),
        (-0.13, top + 0.08),
        (-0.5 * right - 0.04, top + 0.28 * at),
        (-0.93 * right, top + 0.5 * at),
    ]
    knots += [
        (-right, top + 0.68 * at),
        (-0.9 * right, top + 0.86 * at),
        (-0.5 * right, floor + 0.06),
        (0.3 * left, floor + 0.14),
    ]
    knots += [(0.72 * left, floor + 0.06), (0.95 * left, apex + 0.12), (left, apex), (0.93 * left, apex - 0.17 * at)]
    knots += [
        (0.74 * left, top + 0.40 * at),
        (0.52 * left, top + 0.20 * at),
        (0.22 + 0.1 * left, top + 0.04 * at),
        (0.17, top - 0.05),
    ]
    return moved(curve(knots, 4, closed=True), centre)


def mediastinum(body: Body, pose: Pose, ratio: float) -> list[Points]:
    """Outlines of the upper mediastinum, the aortic knob and the descending aorta."""
    wide = (1.14 if pose.bedside else 1.0) * (1 + 0.25 * max(0.0, ratio - 0.5))
    long = body.aorta
    front = pose.turn * 1.2 + pose.shift
    column = [(-0.17, -1.5), (-0.15, -1.2), (-0.19 * wide, -0.85), (-0.21 * wide, -0.5), (-0.17, -0.1), (-0.15, 1.0)]
    column += [
        (0.14, 1.0),
        (0.16, 0.3),
        (0.17, -0.2),
        (0.18 * wide, -0.5),
        (0.16 * wide, -0.85),
        (0.15, -1.2),
        (0.17, -1.5),
    ]
    knob = ellipse((0.13 * wide + 0.05 * long, -0.56 - 0.05 * long), (0.11 + 0.05 * long, 0.13 + 0.03 * long))
    descending = curve([(0.17, -0.55), (0.2 + 0.09 * long, -0.2), (0.17 + 0.07 * long, 0.3), (0.1, 0.85)], 5)
    return [moved(curve(column, 4, closed=True), front), moved(knob, front), moved(band(descending, 0.17), 0.3 * front)]


def posterior_ribs(body: Body) -> Points:
    """Centre lines of ribs 1 to 10 on both sides [20, n, 2], from the spine outwards."""
    number = np.arange(10)
    start = -1.13 + 0.2 * number
    reach = np.interp(number, _RIBS, _REACHES)
    drop = (0.09 + 0.035 * number) * body.slope
    x = [np.full(10, 0.11), 0.30 * reach + 0.06, 0.62 * reach, 0.88 * reach, 1.005 * reach, 1.015 * reach]
    y = [start, start - 0.05, start - 0.015 + 0.25 * drop, start + 0.06 + 0.8 * drop]
    y += [start + 0.17 + 1.35 * drop, start + 0.27 + 1.6 * drop]
    return _mirrored(curve(np.stack([np.stack(x, axis=1), np.stack(y, axis=1)], axis=-1), 5))


def anterior_ribs(body: Body, pose: Pose) -> Points:
    """Centre lines of the front of ribs 1 to 7 on both sides [14, n, 2], from the flank down towards the sternum."""
    number = np.arange(7)
    end = -0.82 + 0.245 * number
    reach = np.interp(number + 1, _RIBS, _REACHES)
    x = [reach, 0.93 * reach, 0.72 * reach, 0.42 * reach + 0.08]
    y = [end - 0.28 * body.slope, end - 0.13 * body.slope, end + 0.02, end + 0.13]
    return moved(_mirrored(curve(np.stack([np.stack(x, axis=1), np.stack(y, axis=1)], axis=-1), 5)), pose.turn * 0.8)


def clavicles(pose: Pose) -> tuple[Points, Points]:
    """Outlines of the collar bones from the sternum to the shoulder, and of their fainter insides, each [2, n, 2]."""
    up = 0.08 if pose.bedside else 0.0
    knots = [
        (0.08, -0.84 - up),
        (0.3, -0.93 - up),
        (0.6, -1.05 - 1.4 * up),
        (0.92, -1.15 - 1.5 * up),
        (1.28, -1.14 - up),
    ]
    widths = np.interp(np.linspace(0, 1, 21), [0, 0.15, 0.5, 1], [0.115, 0.085, 0.065, 0.085])
    lines = moved(_mirrored(curve(knots, 5)[None]), pose.turn)
    return band(lines, widths), band(lines[:, 1:-1], widths[1:-1] - 0.038)


def _mirrored(lines: Points) -> Points:
    return np.concatenate([lines * (side, 1) for side in SIDES.values()])


def scapulae(body: Body, pose: Pose) -> Points:
    """Outlines of the shoulder blades [2, n, 2]."""
    inward = 0.26 * pose.scapulae
    knots = [
        (1.22 - inward, -1.02),
        (1.04 - inward, -0.92),
        (0.98 - inward, -0.55),
        (1.02 - inward, -0.1),
        (1.08 - inward, 0.06),
    ]
    knots += [(1.16 - inward, -0.1), (1.28 - 0.6 * inward, -0.55), (1.36 - 0.4 * inward, -0.85)]
    return _mirrored(curve(knots, 4, closed=True)[None])


def spine_at(body: Body, y: np.ndarray) -> np.ndarray:
    """x of the spine's middle at height y."""
    return body.scoliosis * np.sin(2.2 * (y + 0.2))


def hila(pose: Pose) -> dict[str, tuple[float, float]]:
    """Where the vessels enter each lung."""
    front = pose.turn + pose.shift
    return {"right": (-0.27 + front, -0.13), "left": (0.29 + front, -0.22)}
