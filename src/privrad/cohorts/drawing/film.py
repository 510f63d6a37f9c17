"""From attenuation to a picture: scatter, noise, the scanner's tone and edge enhancement, collimation and markers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privrad.cohorts.drawing import equipment
from privrad.cohorts.drawing.canvas import Canvas, Picture, blur, ellipse


@dataclass(frozen=True)
class Scanner:
    """One hospital's look, mostly as ranges: `tone` below 1 brightens, `steep` is contrast, `scatter` a share."""

    tone: tuple[float, float]
    steep: tuple[float, float]
    sharpening: tuple[float, float]
    noise: tuple[float, float]
    scatter: tuple[float, float]
    collimated: float
    round_marker: bool


SCANNERS = {
    "public": Scanner((0.9, 1.2), (3.6, 4.8), (0.0, 0.5), (0.003, 0.007), (0.06, 0.16), 0.15, False),
    "private": Scanner((0.75, 1.0), (4.4, 5.8), (0.8, 1.6), (0.004, 0.009), (0.10, 0.24), 0.4, True),
}


def expose(
    attenuation: Picture,
    canvas: Canvas,
    *,
    scanner: Scanner,
    bedside: bool,
    difficulty: float,
    rng: np.random.Generator,
) -> Picture:
    """The picture in [0, 1], bright where dense; bedside exposures have more scatter and noise."""
    scatter = rng.uniform(*scanner.scatter) + (0.10 if bedside else 0)
    beam: Picture = attenuation * np.float32(1 - scatter) + np.float32(scatter) * canvas.blur(attenuation, 0.28)
    spread = rng.uniform(*scanner.noise) * (1.35 if bedside else 1.0) * difficulty
    grain = rng.standard_normal(beam.shape, dtype=np.float32)
    beam = beam + blur(grain, 0.45) * np.float32(1.3 * spread) * (0.45 + np.clip(beam, 0, 1.6))
    amount = rng.uniform(*scanner.sharpening)
    beam = beam + np.float32(amount) * (beam - canvas.blur(beam, 0.035))
    return tone(
        beam, gamma=rng.uniform(*scanner.tone), steep=rng.uniform(*scanner.steep), middle=rng.uniform(0.58, 0.72)
    )


def tone(beam: Picture, *, gamma: float, steep: float, middle: float) -> Picture:
    """A film's S-shaped curve, scaled so that no attenuation is 0 and 1.6 is 1."""
    ends = 1 / (1 + np.exp(-steep * (np.array([0.0, 1.6]) - middle)))
    shape = 1 / (1 + np.exp(np.float32(-steep) * (beam - np.float32(middle))))
    flat = (shape - np.float32(ends[0])) * np.float32(1 / (ends[1] - ends[0]))
    picture: Picture = np.clip(flat, 0, 1) ** np.float32(gamma)
    return picture


def finish(
    picture: Picture, canvas: Canvas, *, scanner: Scanner, view: str, bedside: bool, rng: np.random.Generator
) -> Picture:
    """Collimate and mark, in place; the marker's side is right."""
    if rng.random() < scanner.collimated:
        _collimate(picture, canvas, rng)
    chance = rng.random(3)
    height = rng.uniform(0.035, 0.055)
    left = rng.random() < 0.75
    corner = (rng.uniform(0.84, 0.88) if left else rng.uniform(0.06, 0.09), rng.uniform(0.09, 0.16))
    if chance[0] < 0.8 and view != "LATERAL":
        equipment.letters(picture, text="L" if left else "R", corner=corner, height=height, level=0.97)
        if scanner.round_marker:
            _ring(picture, corner, height)
    if bedside and chance[1] < 0.5:
        words = "AP SUPINE" if scanner.round_marker else "AP PORTABLE"
        equipment.letters(
            picture,
            text=words if chance[2] < 0.6 else "AP",
            corner=(0.04 if left else 0.70, 0.06),
            height=0.6 * height,
            level=0.9,
        )
    return picture


def _ring(picture: Picture, corner: tuple[float, float], height: float) -> None:
    rows, columns = picture.shape
    whole = Canvas(rows, columns, rows, (0.0, 0.0))
    middle = (corner[0] * columns / rows + 0.38 * height, corner[1] - 0.5 * height)
    outline = ellipse(middle, (height, height))
    ring = whole.lines([np.concatenate([outline, outline[:1]])], 0.004, 240)
    picture += (1 - picture) * (ring * np.float32(1 / 255))


def _collimate(picture: Picture, canvas: Canvas, rng: np.random.Generator) -> None:
    """Black outside a slightly turned rectangle."""
    rows, columns = picture.shape
    inset = rng.uniform(-0.02, 0.045, 4) * (columns, rows, columns, rows)
    slant = rng.uniform(-0.02, 0.02) * rows
    corners = [
        (inset[0] + slant, inset[1]),
        (columns - inset[2] + slant, inset[1] + slant),
        (columns - inset[2], rows - inset[3]),
        (inset[0], rows - inset[3] - slant),
    ]
    whole = Canvas(rows, columns, 1.0, (0.0, 0.0))
    picture *= 0.03 + 0.97 * whole.area(corners)
