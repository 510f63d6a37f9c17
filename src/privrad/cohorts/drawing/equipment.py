"""What is not anatomy: tubes, lines, pacemakers, electrodes and letter markers."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from privrad.cohorts.drawing.anatomy import Body, Pose
from privrad.cohorts.drawing.canvas import Canvas, Mask, Picture, curve, ellipse, unit


@dataclass(frozen=True)
class Devices:
    """Which devices are on a picture."""

    tracheal_tube: bool = False
    central_line: bool = False
    electrodes: bool = False
    gastric_tube: bool = False
    pacemaker: bool = False

    @property
    def support(self) -> bool:
        """Whether a reader would note support devices."""
        return self.tracheal_tube or self.central_line or self.gastric_tube or self.pacemaker


def draw_devices(rng: np.random.Generator, *, body: Body, bedside: bool) -> Devices:
    """Devices as often as a ward or, at the bedside, an intensive-care unit has them."""
    chance = rng.random(4)
    return Devices(
        tracheal_tube=bool(bedside and chance[0] < 0.28),
        central_line=bool(chance[1] < (0.45 if bedside else 0.04)),
        electrodes=bool(chance[2] < (0.6 if bedside else 0.02)),
        gastric_tube=bool(bedside and chance[3] < 0.25),
        pacemaker=body.pacemaker,
    )


def devices(canvas: Canvas, pose: Pose, on: Devices, rng: np.random.Generator) -> Picture:
    """Attenuation of the devices, metal brightest."""
    mask = canvas.zeros()
    wobble = rng.normal(0, 0.02, 12)
    if on.tracheal_tube:
        for offset in (-0.028, 0.028):
            canvas.lines(
                [curve([(offset, -1.7), (offset + wobble[0], -1.1), (offset + wobble[1] + pose.turn, -0.6)], 6)],
                0.010,
                130,
                mask,
            )
    if on.central_line:
        path = [
            (-0.42 + wobble[2], -1.6),
            (-0.36, -1.15),
            (-0.24 + wobble[3], -0.85),
            (-0.20, -0.45),
            (-0.17 + wobble[4], -0.12 + 2 * wobble[5]),
        ]
        canvas.lines([curve(path, 6)], 0.011, 130, mask)
    if on.gastric_tube:
        path = [(0.03, -1.7), (0.04 + wobble[6], -0.7), (0.05, 0.2), (0.12 + wobble[7], 0.75), (0.42, 1.0)]
        canvas.lines([curve(path, 6)], 0.012, 120, mask)
    if on.pacemaker:
        _pacemaker(canvas, mask, wobble)
    picture = unit(mask) * np.float32(0.42)
    if on.electrodes:
        picture += _electrodes(canvas, rng)
    return picture


def _pacemaker(canvas: Canvas, mask: Mask, wobble: NDArray[np.float64]) -> None:
    x, y = 0.72 + wobble[8], -0.70 + wobble[9]
    canvas.fill([ellipse((x, y), (0.155, 0.13), 0.3)], 215, mask)
    canvas.fill([ellipse((x, y + 0.03), (0.09, 0.055), 0.3)], 255, mask)
    for end, low in (((-0.16, 0.28), 0.0), ((0.30, 0.66 + wobble[10]), 0.3)):
        path = [(x - 0.05, y - 0.12), (0.42, -0.93), (0.05, -0.80), (-0.18, -0.45), (-0.22, 0.1 + low), end]
        canvas.lines([curve(path, 7)], 0.009, 235, mask)


def _electrodes(canvas: Canvas, rng: np.random.Generator) -> Picture:
    """Round electrodes with leads that run off the picture."""
    mask = canvas.zeros()
    spots = np.array([(-0.85, -0.75), (0.88, -0.72), (0.95, 0.55), (-0.9, 0.6)])[: int(rng.integers(2, 5))]
    for x, y in spots + rng.normal(0, 0.08, spots.shape):
        canvas.fill([ellipse((x, y), (0.045, 0.045))], 130, mask)
        canvas.fill([ellipse((x, y), (0.017, 0.017))], 255, mask)
        away = rng.uniform(-0.5, 0.5)
        canvas.lines(
            [curve([(x, y), (x * 0.9 + away * 0.4, y + 0.35), (x * 1.1 + away, y + 0.9), (x + away, 2.2)], 7)],
            0.010,
            130,
            mask,
        )
    return unit(mask) * np.float32(0.30)


def letters(picture: Picture, *, text: str, corner: tuple[float, float], height: float, level: float) -> None:
    """Write a marker in place, its left end at `corner` (shares of columns and rows), `height` a share of the rows.

    A text that would run off the picture starts further left.
    """
    rows, columns = picture.shape
    scale = height * rows / 21
    wide = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0]
    at = (max(0, min(round(corner[0] * columns), round(0.98 * columns) - wide)), round(corner[1] * rows))
    mask = np.zeros((rows, columns), np.uint8)
    cv2.putText(mask, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, max(1, round(scale * 2)), cv2.LINE_AA)
    share = unit(mask)
    picture += (np.float32(level) - picture) * share
