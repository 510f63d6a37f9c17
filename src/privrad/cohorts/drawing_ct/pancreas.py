"""The pancreas, its duct, the common bile duct, what looks like a tumour, and the tumour itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from privrad.cohorts.drawing_ct.body import Body
from privrad.cohorts.drawing_ct.organs import BILE, Bile
from privrad.cohorts.drawing_ct.space import Box, Line, Space, wave

_HEAD: Line = ((-16, -4, -36), (-34, -9, -28), (-37, -14, -8), (-24, -18, 4))  # the uncinate process first
_TAIL: Line = (
    (-24, -18, 4), (-5, -24, 7), (14, -22, 13), (32, -12, 20), (54, 4, 28), (76, 18, 37), (92, 28, 44),
)  # fmt: skip
_HEAD_WIDTHS = (7.5, 12.5, 14.5, 12.5)
_TAIL_WIDTHS = (12.5, 8.2, 10.0, 10.5, 10.5, 10.5, 8.0)
_SAMPLES = 2  # rods a piece
_COMMON: Line = ((-40, -24, 38), (-40, -18, 22), (-42, -8, 4), (-46, -7, -14), (-52, -6, -24))
_STRONGEST = 1.8  # what is still a tumour, however easy it is made
_LARGEST = 32.0  # mm, of the radius
_SITES = {"head": (0.66, (-0.22, 0.02)), "body": (0.20, (0.30, 0.55)), "tail": (0.14, (0.62, 0.85))}


@dataclass(frozen=True)
class Gland:
    """One patient's pancreas: the line of its body and tail from the head on, the head's, and their widths in mm."""

    tail: NDArray[np.float64]
    tail_widths: NDArray[np.float64]
    head: NDArray[np.float64]
    head_widths: NDArray[np.float64]
    duct: float
    cyst: tuple[float, float] | None  # where along the tail, radius
    bile: Bile


@dataclass(frozen=True)
class Tumour:
    """A mass: `place` along the gland (below 0 in the head, 0 to 1 to the tip of the tail), radius in mm."""

    place: float
    radius: float
    contrast: float  # share of the difference between tumour and gland
    duct: float  # mm by which the duct upstream is wider
    atrophy: float  # share of the gland's width upstream that is lost
    bile: float  # share of the obstruction of the bile duct
    stranding: float  # share of soft tissue in the fat around the mass
    lobes: NDArray[np.float64]  # [k, 3], where its lobes lie, in radii


def draw_gland(rng: np.random.Generator, *, body: Body) -> Gland:
    """The pancreas and bile ducts of a patient without a tumour, which may have what resembles one."""
    head = np.asarray(_HEAD) + rng.normal(0, 1.5, (len(_HEAD), 3))
    tail = np.asarray(_TAIL) + rng.normal(0, 1.5, (len(_TAIL), 3))
    rise = rng.normal(0, 9)  # tails that climb, lie level or sink
    tail[:, 2] += rise * np.linspace(0, 1, len(tail)) ** 1.5
    tail[0] = head[-1]
    wide = body.plump * rng.uniform(0.94, 1.06)
    removed = rng.random() < 0.05 + 0.10 * (body.age > 60)
    bile = Bile(
        common=float(np.clip(rng.normal(2.4 + 0.6 * (body.age > 60) + 1.6 * removed, 0.5), 1.5, 6)),
        within=0.0,
        gallbladder=0.0 if removed else float(np.clip(rng.normal(0.98, 0.14), 0.6, 1.3)),
    )
    cyst = (float(rng.uniform(0.1, 0.9)), float(rng.uniform(3, 8))) if rng.random() < 0.14 else None
    wider = float(rng.uniform(0.6, 1.8)) if rng.random() < 0.10 else 0.0  # chronic inflammation, or age
    return Gland(
        tail=wave(tail, samples=_SAMPLES),
        tail_widths=_between(_TAIL_WIDTHS, _SAMPLES) * wide,
        head=wave(head, samples=_SAMPLES),
        head_widths=_between(_HEAD_WIDTHS, _SAMPLES) * wide,
        duct=1.0 + wider,
        cyst=cyst,
        bile=bile,
    )


def draw_tumour(rng: np.random.Generator, *, difficulty: float, grown: float = 1.0) -> Tumour:
    """A mass, most often in the head; difficulty above 1 makes it smaller and fainter, `grown` multiplies its radius.

    Equal generators give a mass of the same place and form whatever the difficulty and growth.
    """
    names = list(_SITES)
    site = names[int(rng.choice(len(names), p=[_SITES[name][0] for name in names]))]
    amount = min(_STRONGEST, 1 / difficulty)
    obstructs = site == "head" and rng.random() < 0.8
    return Tumour(
        place=float(rng.uniform(*_SITES[site][1])),
        radius=min(_LARGEST, grown * float(np.clip(rng.gamma(20, 0.8), 9, 25))) * amount**0.4,
        contrast=float(rng.uniform(0.9, 1.2)) * amount,
        duct=float(rng.uniform(1.6, 4.0)) * amount,
        atrophy=min(0.8, float(rng.uniform(0.3, 0.6)) * amount),
        bile=min(1.4, float(rng.uniform(0.7, 1.1)) * amount) if obstructs else 0.0,
        stranding=min(0.7, float(rng.uniform(0.15, 0.45)) * amount),
        lobes=rng.normal(0, 0.38, (4, 3)),
    )


def with_tumour(gland: Gland, tumour: Tumour | None) -> Gland:
    """The gland thinned upstream of the mass (towards the tail), its ducts widened."""
    if tumour is None:
        return gland
    along = np.linspace(0, 1, len(gland.tail))
    beyond = np.clip((along - tumour.place) / 0.12, 0, 1)
    bile = gland.bile
    if tumour.bile > 0:
        bile = Bile(
            common=bile.common + 4.5 * tumour.bile,
            within=3.2 * tumour.bile,
            gallbladder=bile.gallbladder * (1 + 0.42 * tumour.bile),
        )
    return replace(gland, tail_widths=gland.tail_widths * (1 - tumour.atrophy * beyond), bile=bile)


def draw(space: Space, body: Body, tissue: Mapping[str, float], gland: Gland, tumour: Tumour | None) -> None:
    """Paint the gland with its ducts; call before the veins, which lie against it."""
    level = tissue["pancreas"] * (1 - body.lobulated) - 85 * body.lobulated
    for line, widths in ((gland.head, gland.head_widths), (gland.tail, gland.tail_widths)):
        for part in space.tube(line, widths.tolist()):
            if part is not None:
                lobules = _lobules(space, part.box) * np.float32(1 + 4.5 * body.lobulated)
                space.paint(replace(part, outside=part.outside + lobules), level)
    space.paint_tube(_COMMON, gland.bile.common, BILE)
    _duct(space, gland, tumour)
    if gland.cyst is not None:
        at = gland.tail[round(gland.cyst[0] * (len(gland.tail) - 1))]
        space.paint(space.ball(at, gland.cyst[1]), BILE)


def mass(space: Space, tissue: Mapping[str, float], gland: Gland, tumour: Tumour) -> None:
    """Paint the tumour: lobes around its place, spreading past the gland; call after the veins, which it encases."""
    middle = _place(gland, tumour.place)
    around = space.ball(middle, 1.7 * tumour.radius)
    if around is not None:
        there = space.hu[around.box]
        fat = (there > -160) & (there < -20)
        space.paint(around, np.where(fat, there + tumour.stranding * (30 - there), there))
    level = tissue["pancreas"] + (tissue["tumour"] - tissue["pancreas"]) * tumour.contrast
    for lobe in tumour.lobes:
        at = middle + 0.8 * tumour.radius * lobe
        space.paint(space.ball(at, 0.78 * tumour.radius), level)
    space.paint(space.ball(middle, 0.92 * tumour.radius), level - 4)
    space.paint(space.ball(middle, 0.45 * tumour.radius), level - 14)


def _duct(space: Space, gland: Gland, tumour: Tumour | None) -> None:
    """The duct along the gland, dilated from the mass on."""
    line = np.concatenate([gland.head[-3:-1], gland.tail])
    along = np.concatenate([[-0.2, -0.1], np.linspace(0, 1, len(gland.tail))])
    widths = np.full(len(line), gland.duct)
    if tumour is not None:
        widths = widths + tumour.duct * np.clip((along - tumour.place) / 0.1, 0, 1) * (1 - 0.35 * np.clip(along, 0, 1))
    space.paint_tube(line, widths.tolist(), BILE)


def _place(gland: Gland, along: float) -> NDArray[np.float64]:
    if along < 0:
        line, share = gland.head, 1 + along / 0.3
    else:
        line, share = gland.tail, along
    knots = np.linspace(0, 1, len(line))
    return np.array([np.interp(share, knots, line[:, axis]) for axis in range(3)])


def _lobules(space: Space, box: Box) -> NDArray[np.float32]:
    """Clefts between the lobules of the gland, in mm."""
    x, y, z = space.x[:, :, box[2]], space.y[:, box[1]], space.z[box[0]]
    across = np.sin(x * np.float32(0.47) + z * np.float32(0.19)) + np.sin(x * np.float32(0.31) - z * np.float32(0.43))
    along = np.sin(y * np.float32(0.53) + 1) + np.sin(y * np.float32(0.24))
    clefts: NDArray[np.float32] = across * along * np.float32(0.5)
    return clefts


def _between(values: Sequence[float], samples: int) -> NDArray[np.float64]:
    """Values at the points that `wave` makes of as many."""
    knots = np.arange(len(values))
    return np.interp(np.arange((len(values) - 1) * samples + 1) / samples, knots, values)
