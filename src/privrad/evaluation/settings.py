"""How predictions are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from privrad.evaluation.groups import QUARTILES, Bands


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of `evaluation:` in a study file, and the study's seed; docs/guide.md explains each."""

    redraws: int = 1000
    resample: Literal["patient", "image"] = "patient"
    confidence: float = 0.95
    intervals: Literal["auto", "percentile", "bca"] = "auto"
    threshold: Literal["youden", "youden_test"] = "youden"
    specificity: float = 0.9
    margin: float = 0.02
    minimum_cell: int = 10
    fairness_difference: float = 0.12
    age_bands: Bands = (0, 30, 60, 70, 80, 100)
    intersections: Sequence[tuple[str, str]] = (("sex", "age"),)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resample not in ("patient", "image"):
            raise ValueError(f"resample {self.resample!r} must be patient or image")
        if isinstance(self.age_bands, str) and self.age_bands != QUARTILES:
            raise ValueError(f"age_bands {self.age_bands!r} must be {QUARTILES}, or the edges of the bands in years")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} must be a whole number from 0 on")
