"""Simulate test sets like the demo's, compare their groups, and count how often a planted difference is found.

    python -m tools.audit_fairness --cohorts 500

Each cohort has as many patients as the demo tests on, of its sexes and age bands, with one to three images each and
eight findings. A call is wrong where a normal variable, which a patient's images and an image's findings share in part,
is low; so a share of wrong calls is planted exactly. Without a difference all groups are wrong alike, and a cohort in
which any sex or age band is flagged is a false alarm. With one, a single group is wrong more often by the difference in
each finding, and it must be flagged as the worse: the smallest that is compared, so that the others are found more
often. Prints one JSON line; the exit status is 1 where the power is below 90 % or false alarms are above 5 %.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special, stats

from privrad import progress
from privrad.config import Evaluation
from privrad.evaluation import fairness, redraws
from privrad.evaluation.estimates import ALL, MEAN, Group, TestSet, estimate

WRONG = (0.12, 0.13, 0.18, 0.27, 0.24, 0.28, 0.26, 0.26)
POSITIVE = (0.43, 0.26, 0.28, 0.21, 0.25, 0.26, 0.24, 0.24)
IMAGES = (0.31, 0.41, 0.28)
COLUMNS = {
    "sex": {"F": 0.34, "M": 0.66},
    "age": {"[0,30)": 0.01, "[30,60)": 0.27, "[60,70)": 0.27, "[70,80)": 0.35, "[80,100)": 0.1},
}
OF_PATIENT, OF_IMAGE = 0.08, 0.04
OWN = math.sqrt(1 - OF_PATIENT - OF_IMAGE)
RUN = ("eps-8", 0)
CONFIDENCE, POWER, FALSE_ALARMS = 0.95, 0.9, 0.05


@dataclass(frozen=True)
class Size:
    """A simulated test set: how many patients, redraws of them, and patients that a compared group has at the least."""

    patients: int = 400
    redraws: int = 1000
    minimum_cell: int = 10

    @property
    def groups(self) -> list[Group]:
        """The groups with patients enough to be compared."""
        shares = {(column, name): share for column, of in COLUMNS.items() for name, share in of.items()}
        return [group for group, share in shares.items() if share * self.patients >= self.minimum_cell]


def draw(size: Size, rng: np.random.Generator, *, planted: Group | None = None, difference: float = 0) -> TestSet:
    """One simulated test set, in which the images of `planted` are called wrong more often by `difference`."""
    of_patients = {column: _dealt(shares, size.patients, rng) for column, shares in COLUMNS.items()}
    patient = np.repeat(np.arange(size.patients), rng.choice(len(IMAGES), size=size.patients, p=IMAGES) + 1)
    values = {column: of[patient] for column, of in of_patients.items()}
    members = {ALL: np.ones(len(patient), dtype=bool)}
    members |= {(column, name): values[column] == name for column, of in COLUMNS.items() for name in of}
    worse = members[planted] if planted else np.zeros(len(patient), dtype=bool)
    scored = {}
    shared = [_effects(patient, rng) for _ in ("label", "call")]
    for number, (wrong, positive) in enumerate(zip(WRONG, POSITIVE, strict=True)):
        labels, at_fault = (special.ndtr(effect + OWN * rng.standard_normal(len(patient))) for effect in shared)
        positives = labels < positive
        called = positives ^ (at_fault < wrong + difference * worse)
        scores = 0.5 * (called + rng.random(len(patient)))
        scored[RUN, f"finding {number}"] = (np.arange(len(patient)), scores, positives)
    return TestSet(
        images=pd.DataFrame({"image_id": np.arange(len(patient)), "patient_id": patient, **values}),
        findings=tuple(finding for _, finding in scored),
        epsilons={RUN: 8.0},
        scored=scored,
        members=members,
        units=patient.astype(np.int32),
        patients=patient.astype(np.intp),
    )


def _dealt(shares: dict[str, float], patients: int, rng: np.random.Generator) -> NDArray[np.object_]:
    """The value of each patient: the shares of the cohort, in random order."""
    edges = np.round(np.cumsum(list(shares.values())) * patients).astype(int)
    return np.asarray(rng.permutation(np.repeat(np.array(list(shares), dtype=object), np.diff(edges, prepend=0))))


def _effects(patient: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.float64]:
    """What all findings of an image share: a part of the patient's, and a part of the image's own."""
    of_patient = rng.standard_normal(int(patient.max()) + 1)[patient]
    return np.asarray(math.sqrt(OF_PATIENT) * of_patient + math.sqrt(OF_IMAGE) * rng.standard_normal(len(patient)))


def flagged(test: TestSet, size: Size, *, seed: int) -> dict[Group, int]:
    """The sign of the flagged differences of the confirmatory family; no entry where a group is not flagged."""
    weights = redraws.weigh(test.unit_count, redraws=size.redraws, seed=seed)
    cutoffs = {key: {"youden": 0.5} for key in test.scored}
    measured = estimate(test, weights, cutoffs=cutoffs, rule="youden", minimum_cell=size.minimum_cell)
    rows = fairness.gaps(test, measured, confidence=CONFIDENCE, minimum_cell=size.minimum_cell)
    return {
        (row["group_by"], row["group"]): 1 if row["value"] > 0 else -1
        for row in rows
        if row["finding"] == MEAN and row["metric"] == "accuracy_difference" and row["flagged"]
    }


def audit(cohorts: int, *, size: Size, difference: float, seed: int, everywhere: bool = False) -> dict[str, Any]:
    """The share of cohorts with a false alarm, and the share in which the smallest group is found to be the worse.

    `everywhere` plants the difference in each group by turns; `power` is then that of the group found least.
    """
    groups = sorted(size.groups, key=lambda group: COLUMNS[group[0]][group[1]])[: None if everywhere else 1]
    alarms, found = 0, dict.fromkeys(groups, 0)
    for number in progress.track(range(cohorts), what="cohorts", total=cohorts):
        alarms += bool(flagged(draw(size, np.random.default_rng([seed, number])), size, seed=number))
        for place, group in enumerate(groups):
            rng = np.random.default_rng([seed, number, place])
            test = draw(size, rng, planted=group, difference=difference)
            found[group] += flagged(test, size, seed=number).get(group) == -1
    power = {f"{column} {name}": _share(count, cohorts) for (column, name), count in found.items()}
    error = _share(alarms, cohorts)
    return (
        {"power": min(each["share"] for each in power.values()), "fwer": error["share"], "cohorts": cohorts}
        | {"difference": difference, "patients": size.patients, "redraws": size.redraws, "seed": seed}
        | {"false_alarms": error, "found": power}
    )


def _share(count: int, of: int) -> dict[str, float]:
    """A share of cohorts with its exact (Clopper and Pearson) 95 % interval."""
    interval = stats.binomtest(count, of).proportion_ci(confidence_level=0.95, method="exact")
    return {"share": count / of, "low": round(float(interval.low), 4), "high": round(float(interval.high), 4)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=500, help="without a difference, and as many with one")
    parser.add_argument("--patients", type=int, default=Size.patients)
    parser.add_argument("--difference", type=float, default=Evaluation().fairness_difference)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--everywhere", action="store_true", help="in each group by turns, not the smallest alone")
    options = parser.parse_args()
    began = time.monotonic()
    size = Size(patients=options.patients)
    told = audit(
        options.cohorts, size=size, difference=options.difference, seed=options.seed, everywhere=options.everywhere
    )
    print(json.dumps({**told, "seconds": round(time.monotonic() - began, 1)}))
    return int(told["power"] < POWER or told["fwer"] > FALSE_ALARMS)


if __name__ == "__main__":
    sys.exit(main())
