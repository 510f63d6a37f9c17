"""How often the tests of two AUROCs are wrong: refusals at the level they state, in simulated studies.

`python -m tools.audit_significance [--studies 2000]` prints one JSON line a scenario. Patients have one to four images,
alike in label and correlated in score; two models see each image with a common and an own error. Under "equal" both are
equally good, under "margin" one is worse by just the margin: what a test of size 5 % refuses in 5 % of studies.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from privrad.evaluation import delong, redraws, roc
from privrad.evaluation.hanley_mcneil import hanley_mcneil
from privrad.evaluation.intervals import Support, interval
from privrad.evaluation.p_values import equivalence, paired_p

LEVEL, MARGIN, REDRAWS = 0.05, 0.02, 500
SCENARIOS = tuple(
    (positive, area, case) for positive in (20, 50, 200) for area in (0.85, 0.95) for case in ("equal", "margin")
)


@dataclass(frozen=True)
class Simulated:
    scores: tuple[NDArray[np.float64], NDArray[np.float64]]
    labels: NDArray[np.bool_]
    units: NDArray[np.int32]
    patients: int


def simulate(rng: np.random.Generator, *, positive: int, areas: tuple[float, float]) -> Simulated:
    """One study of `positive` patients with the finding and four times as many without; true AUROCs `areas`.

    Half of a score's variance is the patient's; of the rest, 70 % is the image's, seen by both models alike.
    """
    patients = 5 * positive
    units = np.repeat(np.arange(patients, dtype=np.int32), rng.integers(1, 5, size=patients))
    labels = units < positive
    common = math.sqrt(0.5) * rng.normal(size=patients)[units] + math.sqrt(0.35) * rng.normal(size=units.size)
    one, other = (
        common + math.sqrt(0.15) * rng.normal(size=units.size) + math.sqrt(2) * norm.ppf(area) * labels
        for area in areas
    )
    return Simulated((one, other), labels, units, patients)


def tested(study: Simulated, *, seed: int) -> dict[str, float]:
    """Every p of the difference: the better model's AUROC less the other's."""
    weights = redraws.weigh(study.patients, redraws=REDRAWS, seed=seed)
    areas, parts = [], []
    for scores in study.scores:
        ranking, _ = roc.rank(scores, labels=study.labels, units=study.units)
        areas.append(weights.drawn(roc.auroc(ranking, weights)).draws)
        parts.append(delong.components(scores, labels=study.labels, units=study.units, count=study.patients))
    apart = delong.difference(*parts)
    support = Support(apart.fewer, apart.fewer, apart.variance, apart)
    drawn = redraws.Drawn(apart.area, areas[0] - areas[1], np.empty(0))

    def limits(confidence: float) -> tuple[float, float]:
        spread = interval(drawn, confidence=confidence, method="auto", kind="difference", support=support)
        return spread.low, spread.high

    p_noninferior, p_equivalent = equivalence(limits, margin=MARGIN)
    shares = (np.count_nonzero(drawn.draws >= MARGIN) + 1) / (REDRAWS + 1)
    return {
        "bootstrap": paired_p(drawn.draws),
        "delong": float(2 * norm.sf(abs(apart.area) / math.sqrt(apart.variance))),
        "hanley_mcneil": hanley_mcneil(*study.scores, labels=study.labels).p,
        "noninferior": p_noninferior,
        "noninferior_by_shares": shares,
        "equivalent": p_equivalent,
    }


def audit(studies: int) -> Iterator[dict[str, object]]:
    """The share of studies in which each test refuses its hypothesis at 5 %."""
    for scenario, (positive, area, case) in enumerate(SCENARIOS):
        areas = (area, area - MARGIN) if case == "margin" else (area, area)
        refused: dict[str, int] = {}
        for study in range(studies):
            rng = np.random.default_rng([scenario, study])
            simulated = simulate(rng, positive=positive, areas=areas)
            for name, p in tested(simulated, seed=study).items():
                refused[name] = refused.get(name, 0) + (p < LEVEL)
        shares = {name: round(count / studies, 4) for name, count in refused.items()}
        yield {"positive_patients": positive, "auroc": area, "case": case, "studies": studies} | shares


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    for line in audit(parser.parse_args().studies):
        print(json.dumps(line), flush=True)
