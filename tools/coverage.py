"""How often 95 % intervals contain the truth, over simulated test sets of patients with 1 to 8 images.

    python -m tools.coverage --simulations 10000

A patient's images share half of the variance of their scores. Truths are exact: the scores are normal, rounded normal
(ties), or normal with a wider spread of the positives. Prints one line a scenario and at the end one JSON line; the
same seed gives the same figures. docs/coverage.md has the table.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, owens_t, stdtrit

from privrad.evaluation import delong, limits, redraws, roc
from privrad.evaluation.intervals import Kind, Method, Support, interval

Floats = NDArray[np.float64]
CONFIDENCE, SHARED, STEP, WIDER = 0.95, 0.5, 0.5, 1.5
AREAS = (0.6, 0.75, 0.85, 0.9, 0.95, 0.98, 0.995)
POSITIVES = (10, 15, 20, 30, 50, 100, 300)
PREVALENCES = (0.05, 0.2, 0.5)
SCORES = ("normal", "rounded", "wider")


@dataclass(frozen=True)
class Scenario:
    """One line: what is measured, on what, and how often the interval missed on either side."""

    kind: str
    method: str
    patients: int
    prevalence: float
    about: str
    truth: float
    simulations: int
    above: float
    below: float
    without: float

    @property
    def coverage(self) -> float:
        return 1 - self.above - self.below

    def __str__(self) -> str:
        missed = f"{100 * self.coverage:6.2f} % (too high {100 * self.above:.2f}, too low {100 * self.below:.2f})"
        return (
            f"{self.kind:11} {self.method:10} {self.patients:4} of {self.patients / self.prevalence:5.0f} patients  "
            f"{self.about:24} {self.truth:6.3f} {missed} of {self.simulations}"
        )


def area_of(shift: float, scores: str) -> float:
    """The area of scores of which the positives' are shifted, from the scores' distribution."""
    if scores == "rounded":
        edges = (np.arange(-60, 62) - 0.5) * STEP
        negative, positive = np.diff(ndtr(edges)), np.diff(ndtr(edges - shift))
        return float((positive * (np.cumsum(negative) - negative / 2)).sum())
    return float(ndtr(shift / math.hypot(1, WIDER if scores == "wider" else 1)))


def shift_of(area: float, scores: str) -> float:
    """By how much the positives' scores are shifted to have an area."""
    return float(brentq(lambda shift: area_of(shift, scores) - area, 0, 12, xtol=1e-12))


@njit(cache=True)
def draw(positives: int, patients: int, mixed: bool):  # type: ignore[no-untyped-def]
    """Latent scores and patients of positive and of negative images, each in ascending order of score.

    The first `positives` patients have a finding: on each of their images, or, `mixed`, on half of them.
    """
    scores, units = np.empty((2, 8 * patients)), np.empty((2, 8 * patients), np.int32)
    count = np.zeros(2, np.int64)
    for unit in range(patients):
        images = np.random.randint(1, 9)
        sure = np.random.randint(0, images)
        own = math.sqrt(SHARED) * np.random.normal()
        for image in range(images):
            has = unit < positives and (not mixed or image == sure or np.random.random() < 0.5)
            label = 1 if has else 0
            scores[label, count[label]] = own + math.sqrt(1 - SHARED) * np.random.normal()
            units[label, count[label]] = unit
            count[label] += 1
    up, un = np.argsort(scores[1, : count[1]]), np.argsort(scores[0, : count[0]])
    return scores[1, up], units[1, up], scores[0, un], units[0, un]


@njit(cache=True)
def moments(high, whose, low, others, patients):  # type: ignore[no-untyped-def]
    """Area, clustered variance, scale and lesser number of patients: `delong.components` of scores in order."""
    won, lost = np.zeros(patients), np.zeros(patients)
    seen, unseen = np.zeros(patients, np.bool_), np.zeros(patients, np.bool_)
    m, n = len(high), len(low)
    below, upto, total, squares, rest = 0, 0, 0.0, 0.0, 0.0
    for i in range(m):
        while below < n and low[below] < high[i]:
            below += 1
        upto = max(upto, below)
        while upto < n and low[upto] <= high[i]:
            upto += 1
        share = (below + upto) / (2.0 * n)
        won[whose[i]] += share
        seen[whose[i]] = True
        total += share
        squares += share * share
    area = total / m
    for i in range(m):
        won[whose[i]] -= area
    below, upto = 0, 0
    for j in range(n):
        while below < m and high[below] < low[j]:
            below += 1
        upto = max(upto, below)
        while upto < m and high[upto] <= low[j]:
            upto += 1
        share = 1 - (below + upto) / (2.0 * m) - area
        lost[others[j]] += share
        unseen[others[j]] = True
        rest += share * share
    p, q = seen.sum(), unseen.sum()
    influence = won * (math.sqrt(p / (p - 1)) / m) + lost * (math.sqrt(q / (q - 1)) / n)
    variance = (influence * influence).sum()
    independent = (squares - m * area * area) / (m - 1) / m + rest / (n - 1) / n
    scale = (1 / m + 1 / n) * max(1.0, variance / independent) if independent > 1e-15 else 1 / p + 1 / q
    return area, variance, scale, min(p, q)


@njit(cache=True)
def simulate(seed, simulations, positives, patients, mixed, shifts, stretches, steps):  # type: ignore[no-untyped-def]
    """The moments [simulations, scores, shifts, 4] of every area, on the same patients."""
    np.random.seed(seed)
    found = np.empty((simulations, *shifts.shape, 4))
    for simulation in range(simulations):
        latent, whose, low, others = draw(positives, patients, mixed)
        for kind in range(len(shifts)):
            step = steps[kind]
            negative = np.floor(low / step + 0.5) if step > 0 else low
            for place in range(shifts.shape[1]):
                high = latent * stretches[kind] + shifts[kind, place]
                if step > 0:
                    high = np.floor(high / step + 0.5)
                area, variance, scale, fewer = moments(high, whose, negative, others, patients)
                found[simulation, kind, place, 0], found[simulation, kind, place, 1] = area, variance
                found[simulation, kind, place, 2], found[simulation, kind, place, 3] = scale, fewer
    return found


def areas(
    simulations: int, *, positives: Sequence[int] = POSITIVES, prevalences: Sequence[float] = PREVALENCES
) -> Iterator[Scenario]:
    """The law of one area; whether the truth is inside is asked of the inequality that its limits solve."""
    shifts = np.array([[shift_of(area, scores) for area in AREAS] for scores in SCORES])
    stretches, steps = np.array([1.0, 1.0, WIDER]), np.array([0.0, STEP, 0.0])
    for held, prevalence, mixed in itertools.product(positives, prevalences, (False, True)):
        patients = round(held / prevalence)
        drawn = simulations
        seed = zlib.crc32(f"{held} {prevalence} {mixed}".encode())
        found = simulate(seed, drawn, held, patients, mixed, shifts, stretches, steps)
        for kind, scores in enumerate(SCORES):
            for place, truth in enumerate(AREAS):
                about = f"{scores}, labels {'mixed' if mixed else 'constant'}"
                missed = _missed(found[:, kind, place], truth)
                too_high, too_low = (float(np.mean(missed & side)) for side in _sides(found[:, kind, place, 0], truth))
                yield _line("area", "score", held, prevalence, about, truth, drawn, too_high, too_low)


def _sides(area: Floats, truth: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return area > truth, area < truth


def _missed(found: Floats, truth: float) -> NDArray[np.bool_]:
    """Whether each interval misses the truth; some are held against the limits themselves."""
    area, variance, scale, fewer = found.T
    inner = np.clip(area, limits.NEAREST, 1 - limits.NEAREST)
    k = np.where(inner == area, np.maximum(scale, variance / _binormal(inner)), scale)
    reach = stdtrit(fewer - 1, (1 + CONFIDENCE) / 2) ** 2 * k
    missed = np.asarray((area - truth) ** 2 > reach * limits.binormal(truth))
    for row in range(0, len(found), max(1, len(found) // 20)):
        part = delong.Components(area[row], np.empty(0), variance[row], fewer=int(fewer[row]), scale=scale[row])
        low, high = limits.of_area(part, confidence=CONFIDENCE)
        if missed[row] == (low <= truth <= high):
            raise AssertionError(f"area {area[row]}: limits {low}, {high} and the inequality disagree on {truth}")
    return missed


def _binormal(area: Floats) -> Floats:
    """`limits.binormal` of many."""
    return np.asarray(area - 2 * owens_t(ndtri(area), 1 / math.sqrt(3)) - area * area)


def _line(
    kind: str, method: str, patients: int, prevalence: float, about: str, truth: float, simulations: int,
    above: float, below: float, without: float = 0.0,
) -> Scenario:  # fmt: skip
    return Scenario(
        kind, method, patients, prevalence, about, truth, simulations, float(above), float(below), float(without)
    )


def _judged(
    kind: str, method: str, patients: int, prevalence: float, about: str, truth: float, made: Sequence[limits.Limits]
) -> Scenario:
    low, high = np.array(made).T
    without = np.mean(np.isnan(low))
    return _line(
        kind, method, patients, prevalence, about, truth, len(made),
        np.mean(low > truth), np.mean(high < truth), float(without),
    )  # fmt: skip


def _noise(rng: np.random.Generator, units: NDArray[np.int32], patients: int) -> Floats:
    return math.sqrt(SHARED) * rng.normal(size=patients)[units] + math.sqrt(1 - SHARED) * rng.normal(size=len(units))


def _images(rng: np.random.Generator, patients: int) -> NDArray[np.int32]:
    return np.repeat(np.arange(patients), rng.integers(1, 9, patients)).astype(np.int32)


def _scored(
    shared: Floats, own: Floats, labels: NDArray[np.bool_], units: NDArray[np.int32], patients: int, area: float,
    alike: float,
) -> delong.Components:  # fmt: skip
    scores = math.sqrt(2) * ndtri(area) * labels + math.sqrt(alike) * shared + math.sqrt(1 - alike) * own
    return delong.components(scores, labels=labels, units=units, count=patients)


def differences(simulations: int) -> Iterator[Scenario]:
    """Two models on the same images, their scores correlated by 0.6 or 0.95."""
    for positives, prevalence in ((10, 0.2), (20, 0.05), (20, 0.2), (50, 0.05), (50, 0.5), (100, 0.2), (300, 0.2)):
        patients = round(positives / prevalence)
        for one, other in ((0.85, 0.75), (0.85, 0.85), (0.95, 0.9), (0.95, 0.95), (0.98, 0.95)):
            for alike in (0.6, 0.95):
                rng = np.random.default_rng([positives, int(1000 * one), int(1000 * other), int(100 * alike)])
                made = []
                for simulation in range(simulations):
                    units = _images(rng, patients)
                    labels = (units < positives) & ((simulation % 2 == 0) | (rng.random(len(units)) < 0.7))
                    shared = _noise(rng, units, patients)
                    parts = [
                        _scored(shared, _noise(rng, units, patients), labels, units, patients, area, alike)
                        for area in (one, other)
                    ]
                    made.append(limits.of_sum(delong.difference(*parts), confidence=CONFIDENCE))
                about = f"{one} - {other}, r {alike}"
                yield _judged("difference", "student", positives, prevalence, about, one - other, made)


def means(simulations: int) -> Iterator[Scenario]:
    """The mean over eight findings that share patients; the number of patients with each, and its area."""
    for positives, patients in (
        ((10,) * 8, 200), ((20,) * 8, 100), ((50,) * 8, 250), ((3, *(50,) * 7), 300), ((5,) * 4 + (50,) * 4, 300),
        ((10, 20, 30, 50, 50, 100, 100, 100), 400),
    ):  # fmt: skip
        for of_each in ((0.75,) * 8, (0.85,) * 8, (0.95,) * 8, (0.75, 0.8, 0.8, 0.85, 0.9, 0.9, 0.95, 0.98)):
            rng = np.random.default_rng([patients, *positives, *(int(1000 * area) for area in of_each)])
            made = []
            for _ in range(simulations):
                units = _images(rng, patients)
                shared = _noise(rng, units, patients)
                parts = []
                for count, area in zip(positives, of_each, strict=True):
                    labels = (rng.permutation(patients) < count)[units]
                    own = _noise(rng, units, patients)
                    parts.append(_scored(shared, own, labels, units, patients, area, 0.3))
                total = delong.mean(parts)
                assert total is not None
                made.append(limits.of_sum(total, confidence=CONFIDENCE))
            about = ",".join(map(str, dict.fromkeys(positives))) + f" at {of_each[0]}-{of_each[-1]}"
            share = max(positives) / patients
            yield _judged("mean_area", "student", max(positives), share, about, float(np.mean(of_each)), made)


def proportions(simulations: int, *, positives: Sequence[int] = POSITIVES) -> Iterator[Scenario]:
    """Sensitivity at a threshold set beforehand: by the law, and plain quantiles of the same redraws."""
    for held in positives:
        matrix = redraws.weigh(5 * held, redraws=1000, seed=held).matrix[1:1001, :held].astype(float)
        for truth in (0.5, 0.7, 0.8, 0.9, 0.95, 0.98):
            rng = np.random.default_rng([held, int(1000 * truth)])
            images = rng.integers(1, 9, (simulations, held))
            own = math.sqrt(SHARED) * rng.normal(size=images.shape)
            called = rng.binomial(images, ndtr((ndtri(truth) - own) / math.sqrt(1 - SHARED)))
            made: dict[str, list[limits.Limits]] = {"logit": [], "percentile": []}
            for some in np.array_split(np.arange(simulations), max(1, simulations // 500)):
                draws = (matrix @ called[some].T) / (matrix @ images[some].T)
                edges = np.quantile(draws, [0.025, 0.975], axis=0)
                made["percentile"] += [(float(low), float(high)) for low, high in edges.T]
                for row, variance in zip(some, draws.var(axis=0, ddof=1), strict=True):
                    value = float(called[row].sum() / images[row].sum())
                    made["logit"].append(
                        limits.of_proportion(value, variance=float(variance), patients=held, confidence=CONFIDENCE)
                    )
            for method, limits_of in made.items():
                yield _judged("proportion", method, held, 0.2, "sensitivity", truth, limits_of)


def resampled(simulations: int, *, positives: Sequence[int] = (10, 20, 50, 100)) -> Iterator[Scenario]:
    """Plain percentile and BCa intervals of one area, from 1,000 redraws of patients."""
    for held in positives:
        patients = 5 * held
        weights = redraws.weigh(patients, redraws=1000, seed=held)
        for truth in (0.75, 0.9, 0.95, 0.98):
            rng = np.random.default_rng([held, int(1000 * truth), 1])
            made: dict[Method, list[limits.Limits]] = {"percentile": [], "bca": []}
            for _ in range(simulations):
                units = _images(rng, patients)
                labels = (rng.permutation(patients) < held)[units]
                scores = math.sqrt(2) * ndtri(truth) * labels + _noise(rng, units, patients)
                ranking, _ = roc.rank(scores, labels=labels, units=units)
                drawn = weights.drawn(roc.measure(ranking, weights, thresholds=[])[0]["auroc"])
                for method, kept in made.items():
                    kind: Kind = "area"
                    support = Support(held, patients - held)
                    found = interval(drawn, confidence=CONFIDENCE, method=method, kind=kind, support=support)
                    kept.append((found.low, found.high))
            for method, kept in made.items():
                yield _judged("area", method, held, 0.2, "normal, labels constant", truth, kept)


def main() -> None:
    """Run the scenarios of the kinds that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--compared", type=int, default=2_000, help="simulations of the resampled intervals")
    kinds = {"areas": areas, "proportions": proportions, "differences": differences, "means": means}
    parser.add_argument("--only", choices=[*kinds, "resampled"], nargs="*", default=[*kinds, "resampled"])
    chosen = parser.parse_args()
    everything = []
    for name in chosen.only:
        scenarios = resampled(chosen.compared) if name == "resampled" else kinds[name](chosen.simulations)
        for scenario in scenarios:
            print(scenario, flush=True)
            everything.append(asdict(scenario) | {"coverage": scenario.coverage})
    print(json.dumps({"confidence": CONFIDENCE, "scenarios": everything}))


if __name__ == "__main__":
    main()
