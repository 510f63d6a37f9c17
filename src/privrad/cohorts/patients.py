"""The patients of a computer-drawn cohort: who they are, what they have, and what a reader writes down."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from privrad import config
from privrad.cohorts.drawing.disease import IN_LUNGS

FINDINGS = ("cardiomegaly", *IN_LUNGS)
GRADES = ("negative", "uncertain", "mild", "moderate", "severe")
HEART_GRADES = ("normal", "uncertain", "borderline", "enlarged", "massively enlarged")
FIRST_POSITIVE = GRADES.index("mild")

# Table 1 of Tayebi Arasteh et al. 2024: training images by age band and sex, test images with each finding.
AGE_BANDS = {"[0,30)": 4279, "[30,60)": 42_340, "[60,70)": 36_882, "[70,80)": 48_864, "[80,100)": 21_137}
SEXES = {"M": 100_659, "F": 52_843}
_TEST_IMAGES = 39_809
_TEST_POSITIVES = (18_616, 3275, 3275, 2602, 4847, 3562, 3920, 3166)
PREVALENCE: dict[str, dict[str, float]] = {
    "private": {name: count / _TEST_IMAGES for name, count in zip(FINDINGS, _TEST_POSITIVES, strict=True)},
    "public": dict(zip(FINDINGS, (0.20, 0.11, 0.15, 0.14, 0.06, 0.05, 0.12, 0.12), strict=True)),
}

_YOUNGEST = 18
_STEADY = 0.75  # share of a finding's variance that is the patient's own, not the image's
_STEPS = (0.42, 0.36, 0.22)  # mild, moderate and severe among positives
_UNCERTAIN = 0.05  # among negatives
_TOGETHER = np.array(  # findings by common causes: fluid overload; fluid; disease of the right; of the left
    (
        (0.40, 0.0, 0.0, 0.0),
        (0.60, 0.2, 0.0, 0.0),
        (0.35, 0.5, 0.35, 0.0),
        (0.35, 0.5, 0.0, 0.35),
        (0.0, 0.0, 0.35, 0.0),
        (0.0, 0.0, 0.0, 0.35),
        (0.0, 0.2, 0.4, 0.0),
        (0.0, 0.2, 0.0, 0.4),
    )
)


@dataclass(frozen=True)
class Radiograph:
    """One exposure: `grades` is what is there, `written` what the reader says, both 0 to 4 in the order of FINDINGS."""

    study: int
    day: date
    age: int
    view: str
    bedside: bool
    grades: tuple[int, ...]
    written: tuple[int, ...]
    difficulty: float


@dataclass(frozen=True)
class Patient:
    number: int
    sex: str
    age: int
    radiographs: tuple[Radiograph, ...]


def check(phantom: config.Phantom, *, findings: Sequence[str] = FINDINGS) -> None:
    """Refuse a prevalence or difficulty of something that is not drawn, and images_per_patient from high to low."""
    for key, given, allowed in (
        ("prevalence", phantom.prevalence, findings),
        ("difficulty", phantom.difficulty, (*SEXES, *AGE_BANDS)),
    ):
        unknown = sorted(set(given) - set(allowed))
        if unknown:
            raise ValueError(f"phantom.{key}: unknown {unknown}; correct or remove it. Allowed: {', '.join(allowed)}")
    low, high = phantom.images_per_patient
    if low > high:
        raise ValueError(f"phantom.images_per_patient = [{low}, {high}]: write the smaller number first")


def draw(phantom: config.Phantom, *, number: int, rng: np.random.Generator) -> Patient:
    """Draw patient `number`, with every image's findings, from a generator of their own."""
    sex = _pick(SEXES, rng)
    age = _age(rng)
    own = rng.standard_normal(len(FINDINGS) + _TOGETHER.shape[1])
    bedridden = rng.random()
    radiographs: list[Radiograph] = []
    day = date(2010, 1, 1) + timedelta(days=int(rng.integers(0, 3650)))
    born = day.year - age
    for image in range(int(rng.integers(phantom.images_per_patient[0], phantom.images_per_patient[1] + 1))):
        repeated = image > 0 and rng.random() < 0.1
        bedside = bool(0.6 * bedridden + 0.4 * rng.random() < 0.4)
        if repeated:
            before = radiographs[-1]
            study, grades, written = before.study, before.grades, before.written
        else:
            study = radiographs[-1].study + 1 if radiographs else 0
            day += timedelta(days=int(rng.exponential(12)) + 1 if radiographs else 0)
            grades = _grades(_latent(own, rng), _prevalence(phantom))
            written = _read(grades, phantom.reader_noise, rng)
        age_now = day.year - born
        radiographs.append(
            Radiograph(
                study=study,
                day=day,
                age=age_now,
                view="AP" if bedside else "PA",
                bedside=bedside,
                grades=grades,
                written=written,
                difficulty=difficulty(phantom.difficulty, sex=sex, age=age_now),
            )
        )
    return Patient(number=number, sex=sex, age=age, radiographs=tuple(radiographs))


def difficulty(factors: Mapping[str, float], *, sex: str, age: float) -> float:
    """The product of the factors stated for this sex and this age's band; 1 for what is not stated."""
    return factors.get(sex, 1.0) * factors.get(band_of(age), 1.0)


def band_of(age: float) -> str:
    """The label of the age band in which `age` (years) lies; the last band takes all that are older."""
    for label in AGE_BANDS:
        if age < _limits(label)[1]:
            return label
    return label


def grade_name(finding: str, grade: int) -> str:
    """The word that the study's table uses for a grade of 0 to 4."""
    return (HEART_GRADES if finding == "cardiomegaly" else GRADES)[grade]


def positives(grades: tuple[int, ...]) -> dict[str, bool]:
    """Which findings are positive: mild or borderline and above."""
    return {name: grade >= FIRST_POSITIVE for name, grade in zip(FINDINGS, grades, strict=True)}


def _limits(label: str) -> tuple[int, int]:
    low, high = label.strip("[)").split(",")
    return int(low), int(high)


def _pick(shares: Mapping[str, int], rng: np.random.Generator) -> str:
    at = rng.random() * sum(shares.values())
    for name, share in shares.items():
        at -= share
        if at < 0:
            return name
    return name


def _age(rng: np.random.Generator) -> int:
    low, high = _limits(_pick(AGE_BANDS, rng))
    low = max(low, _YOUNGEST)
    within = rng.random()
    lean = {30: math.sqrt(within), 80: within**2}.get(low, within)
    return low + int(lean * (high - low))


def _prevalence(phantom: config.Phantom) -> dict[str, float]:
    return PREVALENCE[phantom.style] | phantom.prevalence


def _latent(own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Standard normal scores [findings], correlated among findings and with the patient's other images."""
    score = math.sqrt(_STEADY) * own + math.sqrt(1 - _STEADY) * rng.standard_normal(len(own))
    alone = np.sqrt(1 - (_TOGETHER**2).sum(axis=1))
    latent: np.ndarray = alone * score[: len(FINDINGS)] + _TOGETHER @ score[len(FINDINGS) :]
    return latent


def _grades(latent: np.ndarray, prevalence: Mapping[str, float]) -> tuple[int, ...]:
    """Grades whose positive share is the prevalence, whatever the correlation."""
    return tuple(_grade(rank, prevalence[name]) for name, rank in zip(FINDINGS, map(_share_below, latent), strict=True))


def _share_below(score: float) -> float:
    return 0.5 * (1 + math.erf(score / math.sqrt(2)))


def _grade(rank: float, positive: float) -> int:
    above = 1 - rank
    mild, moderate, severe = _STEPS
    limits = (severe, severe + moderate, severe + moderate + mild)
    for grade, limit in zip((4, 3, 2), limits, strict=True):
        if above < limit * positive or (grade == 2 and above < positive):
            return grade
    return 1 if above < positive + _UNCERTAIN * (1 - positive) else 0


def _read(grades: tuple[int, ...], noise: float, rng: np.random.Generator) -> tuple[int, ...]:
    """What a reader writes: with probability `noise` one step up or down, within the scale."""
    errs = rng.random(len(grades)) < noise
    step = np.where(rng.random(len(grades)) < 0.5, 1, -1)
    top = len(GRADES) - 1
    step = np.where(np.asarray(grades) == 0, 1, np.where(np.asarray(grades) == top, -1, step))
    return tuple(int(grade) for grade in np.asarray(grades) + errs * step)


def each(phantom: config.Phantom, *, seed: int) -> Iterator[tuple[Patient, np.random.Generator]]:
    """Each patient in turn, with the generator to draw their pictures from; one more patient changes none before."""
    check(phantom)
    style = ("public", "private").index(phantom.style)
    for number in range(phantom.patients):
        rng = np.random.default_rng([seed, style, number])
        yield draw(phantom, number=number, rng=rng), rng
