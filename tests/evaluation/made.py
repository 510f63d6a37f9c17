"""A small simulated study: patients with one to three images, three findings, four arms, all measured for real."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from privrad.evaluation import estimates, redraws, thresholds
from privrad.evaluation.estimates import Cutoffs, Estimates, TestSet

FINDINGS = ("atelectasis", "cardiomegaly", "effusion")
EASE = {"eps-1": 0.9, "eps-8": 1.3, "eps-inf": 1.8, "eps-inf-matched": 1.7}
EPSILON = {"eps-0": 0.0, "eps-1": 1.0, "eps-8": 8.0, "eps-inf": math.inf, "eps-inf-matched": math.inf}
BANDS = (0.0, 30.0, 60.0, 70.0, 80.0, 100.0)


def predictions(
    *,
    patients: int = 200,
    seed: int = 1,
    ease: Mapping[str, float] = EASE,
    seeds: Mapping[str, Sequence[int]] | None = None,
    findings: Sequence[str] = FINDINGS,
    shared: float = 0.7,
    prevalence: float = 0.35,
    epsilons: Mapping[str, float] = EPSILON,
) -> pd.DataFrame:
    """Predictions as a long table, ordered by arm, seed, finding and image.

    A score is a logistic function of a patient's effect, an image's effect that all models see (its share of the
    image's variance is `shared`), one that only this training sees, and `ease` (in standard deviations of a score,
    times 1, 1.2, 1.4 ... from finding to finding) where the finding is present.
    """
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(patients), rng.integers(1, 4, size=patients))
    images = pd.DataFrame(
        {
            "image_id": [f"i{order:05d}" for order in range(of.size)],
            "patient_id": [f"p{patient:05d}" for patient in of],
            "sex": np.where(rng.random(patients) < 0.45, "F", "M")[of],
            "age": rng.uniform(18, 95, size=patients)[of],
        }
    )
    parts = []
    seen = {}
    for order, finding in enumerate(findings):
        seen[finding] = (
            (rng.random(patients) < prevalence)[of],
            0.6 * rng.normal(size=patients)[of] + 0.8 * math.sqrt(shared) * rng.normal(size=of.size),
            1 + 0.2 * order,
        )
    for arm, strength in ease.items():
        for training in (seeds or {}).get(arm, (0,)):
            for finding, (labels, common, easier) in seen.items():
                own = 0.8 * math.sqrt(1 - shared) * rng.normal(size=of.size)
                scores = 1 / (1 + np.exp(-(common + own + strength * easier * labels - 1)))
                told = {"finding": finding, "label": labels.astype("int8"), "score": scores}
                parts.append(
                    images.assign(**told, arm=arm, epsilon={**EPSILON, **epsilons}[arm], seed=training, split="test")
                )
    return pd.concat(parts, ignore_index=True)


def arranged(table: pd.DataFrame, *, resample: str = "patient") -> TestSet:
    """The table's images in their common order, grouped by sex, age band and both."""
    return estimates.arrange(table, resample=resample, age_bands=BANDS, intersections=[("sex", "age")])


def cutoffs(test: TestSet) -> Cutoffs:
    """Youden's threshold of each run and finding, chosen on the test images themselves."""
    return {
        key: {"youden": thresholds.choose(scores, labels=labels, rule="youden", specificity=0.9).value}
        for key, (_, scores, labels) in test.scored.items()
    }


def measured(test: TestSet, *, draws: int = 200, seed: int = 5) -> Estimates:
    """Every number of the study on the test set, on `draws` redraws and on the jackknife."""
    weights = redraws.weigh(test.unit_count, redraws=draws, seed=seed)
    return estimates.estimate(test, weights, cutoffs=cutoffs(test), rule="youden", minimum_cell=10)
