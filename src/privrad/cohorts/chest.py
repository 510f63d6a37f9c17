"""Computer-drawn chest radiographs: a body, a pose, findings and a scanner in, a picture out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from privrad import config
from privrad.cohorts.drawing import anatomy, disease, equipment, film, lateral, layers, vessels
from privrad.cohorts.drawing.anatomy import Body, draw_body
from privrad.cohorts.drawing.canvas import Canvas, Picture
from privrad.cohorts.drawing.equipment import Devices

__all__ = ["Body", "Devices", "draw_body", "draw_devices", "frontal", "lateral_view", "sheet"]

draw_devices = equipment.draw_devices
_ASPECTS = (0.83, 0.83, 1.0, 1.22)


def frontal(
    body: Body,
    grades: Mapping[str, int],
    *,
    style: config.Role,
    bedside: bool,
    devices: Devices,
    difficulty: float = 1.0,
    size: int,
    rng: np.random.Generator,
) -> Picture:
    """A frontal radiograph, float32 [rows, columns] in [0, 1], bright where dense, the longer side `size` pixels.

    `grades` are 0 to 4 by finding, 0 for what is missing; pneumonia is drawn within a lung, effusions at its base,
    and so on. Two calls with equal generators differ only by what their grades differ in.
    """
    parts = [np.random.default_rng(seed) for seed in rng.integers(2**63, size=14)]
    canvas = _view(size, body=body, bedside=bedside, rng=parts[0])
    pose = anatomy.draw_pose(parts[1], bedside=bedside)
    amounts = {
        name: disease.strength(grades.get(name, 0), difficulty=difficulty, rng=part)
        for name, part in zip(disease.IN_LUNGS, parts[2:9], strict=True)
    }
    collapse = {side: amounts[f"atelectasis_{side}"] for side in anatomy.SIDES}
    pose = replace(
        pose,
        raised={side: pose.raised[side] + 0.19 * amount for side, amount in collapse.items()},
        shift=0.06 * (collapse["left"] - collapse["right"]),
    )
    ratio = disease.heart_ratio(
        grades.get("cardiomegaly", 0), body=body, pose=pose, difficulty=difficulty, rng=parts[9]
    )
    clear = disease.clear(canvas, body, pose, amounts, dict(zip(disease.IN_LUNGS, parts[2:9], strict=True)))
    clear *= 1 - disease.mimics(canvas, body, pose, parts[13])
    air = layers.air(canvas, body, pose, ratio)
    wet, crowd = amounts["congestion"], body.flow * (1.25 - 0.3 * pose.inspiration)
    flow = vessels.vessels(canvas, body, pose, above=crowd * (1 + 0.8 * wet), below=crowd * (1 + 0.25 * wet))
    attenuation = (
        layers.tissue(canvas, body, pose) - air * clear + flow * np.clip(2.2 * air, 0.25, 1) * (0.4 + 0.6 * clear)
    )
    attenuation += layers.bones(canvas, body, pose, air) - layers.hollow(canvas, body, pose, parts[10])
    attenuation += equipment.devices(canvas, pose, devices, parts[11])
    return _film(attenuation, canvas, style=style, view="AP" if bedside else "PA", difficulty=difficulty, rng=parts[12])


def lateral_view(
    body: Body, grades: Mapping[str, int], *, style: config.Role, size: int, rng: np.random.Generator
) -> Picture:
    """A lateral radiograph of the same body, drawn as `frontal` is."""
    columns = round(size * 0.83)
    canvas = Canvas(size, columns, size / 2.75, (columns * 0.5, size * 0.54), rng.normal(0, 0.03))
    attenuation = lateral.attenuation(canvas, body, grades, rng)
    return _film(attenuation, canvas, style=style, view="LATERAL", difficulty=1.0, rng=rng)


def _film(
    attenuation: Picture, canvas: Canvas, *, style: config.Role, view: str, difficulty: float, rng: np.random.Generator
) -> Picture:
    scanner = film.SCANNERS[style]
    bedside = view == "AP"
    picture = film.expose(attenuation, canvas, scanner=scanner, bedside=bedside, difficulty=difficulty, rng=rng)
    return film.finish(picture, canvas, scanner=scanner, view=view, bedside=bedside, rng=rng)


def _view(size: int, *, body: Body, bedside: bool, rng: np.random.Generator) -> Canvas:
    """How the chest lies in the picture."""
    aspect = _ASPECTS[int(rng.integers(1 if bedside else 0, len(_ASPECTS) if bedside else 3))]
    rows, columns = (size, round(size * aspect)) if aspect <= 1 else (round(size / aspect), size)
    wide = rng.normal(2.0 + 0.52 * aspect, 0.07) + (0.10 if bedside else 0)
    scale = min(columns / wide, rows / (2.42 * body.tall))
    off = rng.normal(0, 0.05 if bedside else 0.02, 2)
    centre = (columns / 2 + off[0] * scale, rows * 0.5 + (0.11 + off[1]) * scale)
    return Canvas(rows, columns, scale, centre, rng.normal(0, 0.045 if bedside else 0.015), body.tall)


def sheet(pictures: Sequence[Picture], *, columns: int = 6, cell: int = 256) -> bytes:
    """A contact sheet as the bytes of a PNG: pictures of [0, 1] fitted into cells, row by row."""
    rows = -(-len(pictures) // columns)
    page = np.zeros((rows * cell, columns * cell), np.uint8)
    for place, picture in enumerate(pictures):
        factor = cell / max(picture.shape)
        small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)[:cell, :cell]
        top = place // columns * cell + (cell - small.shape[0]) // 2
        left = place % columns * cell + (cell - small.shape[1]) // 2
        page[top : top + small.shape[0], left : left + small.shape[1]] = np.rint(255 * np.clip(small, 0, 1))
    return bytes(cv2.imencode(".png", page)[1])
