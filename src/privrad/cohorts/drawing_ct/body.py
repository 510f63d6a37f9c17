"""What stays the same from one of a patient's scans to the next, and how contrast medium changes with the phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

PHASES = ("arterial", "pancreatic", "portal")

# Hounsfield units by tissue in the arterial, pancreatic and portal phase.
_ENHANCEMENT: dict[str, tuple[float, float, float]] = {
    "aorta": (330, 240, 150),
    "cava": (85, 125, 135),
    "portal": (75, 155, 175),
    "hepatic_vein": (60, 90, 160),
    "liver": (64, 84, 112),
    "spleen": (115, 130, 120),
    "cortex": (165, 195, 180),
    "medulla": (60, 105, 165),
    "pancreas": (92, 120, 100),
    "tumour": (42, 52, 58),
    "muscle": (55, 58, 62),
    "bowel": (70, 90, 85),
}


@dataclass(frozen=True)
class Body:
    """A patient's build; lengths in mm of the reference body, scales about 1."""

    sex: str
    age: float
    scale: tuple[float, float, float]  # of x, y and z to millimetres
    fat: float  # under the skin at the flank
    visceral: float  # 0 lean to 1 stout: fat between the organs
    waist: float  # how much narrower than the chest
    lordosis: float  # mm by which the spine is curved
    muscle: float  # HU below the usual by fat in old muscle
    marrow: float  # HU of the vertebrae
    calcified: float  # of the aorta, 0 to 1
    steatosis: float  # HU that fat takes from the liver
    lobulated: float  # share of fat in the pancreas, 0 to 1
    plump: float  # width of the pancreas
    seed: int  # of the shapes of organs


def draw_body(rng: np.random.Generator, *, sex: str, age: float) -> Body:
    """A body for a patient of this sex and age (years)."""
    female = sex == "F"
    old = float(np.clip((age - 30) / 60, 0, 1))
    stout = float(np.clip(rng.normal(0.1 + 0.2 * old, 1), -1.6, 2.2))
    frame = rng.normal(0.95 if female else 1.02, 0.03)
    visceral = float(np.clip(0.32 + 0.2 * stout + (-0.12 if female else 0.08) + rng.normal(0, 0.08), 0, 1))
    return Body(
        sex=sex,
        age=age,
        scale=(
            frame * (0.90 + 0.16 * visceral),
            frame * (0.88 + 0.30 * visceral),
            frame * rng.normal(1.0, 0.04),
        ),
        fat=float(np.clip((22 if female else 13) + 7 * stout + rng.normal(0, 2), 4, 48)),
        visceral=visceral,
        waist=float(np.clip(rng.normal(0.07 if female else 0.04, 0.02) - 0.05 * visceral, -0.03, 0.12)),
        lordosis=float(rng.uniform(2, 7)),
        muscle=18 * old + float(rng.normal(0, 3)),
        marrow=float(np.clip(rng.normal(215 - 105 * old, 25), 60, 290)),
        calcified=float(np.clip(rng.normal(1.3 * old - 0.35, 0.2), 0, 1)),
        steatosis=float(np.clip(rng.normal(10 * stout, 10), 0, 55)),
        lobulated=float(np.clip(rng.normal(0.02 + 0.24 * old + 0.04 * stout, 0.07), 0, 0.45)),
        plump=float(np.clip(rng.normal(1.08 - 0.22 * old, 0.07), 0.72, 1.25)),
        seed=int(rng.integers(2**31)),
    )


def contrast(phase: str, *, timing: float) -> Mapping[str, float]:
    """Hounsfield units by tissue; `timing` of -0.5 to 0.5 phases is how early or late the scan was."""
    at = float(np.clip(PHASES.index(phase) + timing, 0, len(PHASES) - 1))
    return {tissue: float(np.interp(at, (0, 1, 2), values)) for tissue, values in _ENHANCEMENT.items()}
