"""A computer-drawn cohort of abdominal CT: who the patients are, what they have, and the files and table of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from privrad import config, progress
from privrad.cohorts import abdomen, patients, phantom_ct_files
from privrad.cohorts.abdomen import Body, Scanner
from privrad.cohorts.phantom_ct_files import Header

FINDING = "pdac"
TABLE = "pdac.csv"
LAYOUT = "pdac"
SEXES = {"M": 552, "F": 423}  # Tayebi Arasteh et al. 2024: training patients; and test patients with a tumour
PREVALENCE = 173 / 325
_AGES = {False: (59.0, 14.0), True: (66.0, 11.0)}  # mean and deviation without and with a tumour, years
_YOUNGEST, _OLDEST = 30, 90
_SPLITS = ("train", "train", "train", "validation", "test")  # by turns: 975, 325 and 325 of 1,625
_PHASES = (0.2, 0.35, 0.45)  # shares of abdomen.PHASES
_NIFTI = 0.5  # share of the scans
_DOUBLES = 132.0  # days in which a tumour's volume doubles: about the mean of untreated patients


@dataclass(frozen=True)
class Examination:
    """One scan of a patient: `ill` is what is there, `written` what the reader says."""

    study: int
    day: date
    age: int
    scanner: Scanner
    phase: str
    nifti: bool
    ill: bool
    written: bool
    difficulty: float


@dataclass(frozen=True)
class Patient:
    number: int
    sex: str
    age: int
    split: str
    examinations: tuple[Examination, ...]


def check(phantom: config.Phantom) -> None:
    """Refuse a prevalence or difficulty of something that is not drawn, and images_per_patient from high to low."""
    patients.check(phantom, findings=(FINDING,))


def each(phantom: config.Phantom, *, seed: int) -> Iterator[tuple[Patient, np.random.Generator]]:
    """Each patient in turn, with the generator to draw their scans from; one more patient changes none before."""
    check(phantom)
    style = 2 + ("public", "private").index(phantom.style)
    for number in range(phantom.patients):
        rng = np.random.default_rng([seed, style, number])
        yield draw_patient(phantom, number=number, rng=rng), rng


def draw_patient(phantom: config.Phantom, *, number: int, rng: np.random.Generator) -> Patient:
    """Draw patient `number`; only age depends on the tumour, and nothing else than the pictures on both."""
    sex = "M" if rng.random() < SEXES["M"] / sum(SEXES.values()) else "F"
    ill = bool(rng.random() < phantom.prevalence.get(FINDING, PREVALENCE))
    age = _age(ill, rng)
    day = date(2012, 1, 1) + timedelta(days=int(rng.integers(0, 3650)))
    born = day.year - age
    examinations = []
    for study in range(int(rng.integers(phantom.images_per_patient[0], phantom.images_per_patient[1] + 1))):
        if study:
            day += timedelta(days=int(rng.exponential(60)) + 1)
        examinations.append(
            Examination(
                study=study,
                day=day,
                age=day.year - born,
                scanner=abdomen.draw_scanner(rng),
                phase=str(rng.choice(abdomen.PHASES, p=_PHASES)),
                nifti=bool(rng.random() < _NIFTI),
                ill=ill,
                written=ill != bool(rng.random() < phantom.reader_noise),
                difficulty=patients.difficulty(phantom.difficulty, sex=sex, age=day.year - born),
            )
        )
    split = _SPLITS[number % len(_SPLITS)]
    return Patient(number=number, sex=sex, age=age, split=split, examinations=tuple(examinations))


def _age(ill: bool, rng: np.random.Generator) -> int:
    """Age in years, within the limits, older with a tumour."""
    mean, deviation = _AGES[ill]
    while not _YOUNGEST <= (age := round(rng.normal(mean, deviation))) <= _OLDEST:
        pass
    return age


def write(phantom: config.Phantom, *, seed: int, folder: Path) -> None:
    """Draw a cohort into `folder`, which exists: scans/, pdac.csv and truth.parquet.

    A scan is a NIfTI file `scans/P0000001.nii.gz` or a folder `scans/P0000001/` of DICOM slices. truth.parquet holds
    per image 0 or 1 before any reader's error, and the difficulty it was drawn with.
    """
    table, truth = [], []
    for patient, rng in progress.track(each(phantom, seed=seed), what="patients drawn", total=phantom.patients):
        body = abdomen.draw_body(rng, sex=patient.sex, age=patient.age)
        for examination in patient.examinations:
            path = _write_scan(phantom, patient, examination, body, seed=seed, folder=folder, rng=rng)
            table.append(_row(patient, examination, path))
            truth.append({"image": path, FINDING: int(examination.ill), "difficulty": examination.difficulty})
    pd.DataFrame(table).to_csv(folder / TABLE, index=False, lineterminator="\n")
    pd.DataFrame(truth).astype({FINDING: "int8"}).to_parquet(folder / "truth.parquet", index=False)


def _name(patient: Patient) -> str:
    return f"P{patient.number + 1:07d}"


def _study(patient: Patient, examination: Examination) -> str:
    return f"S{patient.number + 1:07d}{examination.study:02d}"


def _write_scan(
    phantom: config.Phantom,
    patient: Patient,
    examination: Examination,
    body: Body,
    *,
    seed: int,
    folder: Path,
    rng: np.random.Generator,
) -> str:
    """Write one scan; gives its path, relative to `folder`."""
    drawn = abdomen.draw(
        body,
        tumour=examination.ill,
        scanner=examination.scanner,
        phase=examination.phase,
        difficulty=examination.difficulty,
        grown=2 ** ((examination.day - patient.examinations[0].day).days / (3 * _DOUBLES)),
        size=phantom.size,
        rng=rng,
    )
    header = Header(
        patient=_name(patient),
        study=_study(patient, examination),
        sex=patient.sex,
        age=examination.age,
        day=examination.day,
        scanner=examination.scanner,
        phase=examination.phase,
        entropy=(str(seed), phantom.style),
    )
    stem = f"scans/{_name(patient)}" + (f"_{examination.study + 1}" if examination.study else "")
    if examination.nifti:
        path = f"{stem}.nii.gz"
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(phantom_ct_files.nifti(drawn, header=header))
        return path
    target = folder / stem
    target.mkdir(parents=True)
    for name, content in phantom_ct_files.series(drawn, header=header, rng=rng):
        (target / name).write_bytes(content)
    return stem


def _row(patient: Patient, examination: Examination, path: str) -> dict[str, object]:
    return {
        "scan": path,
        "patient_id": _name(patient),
        "study_id": _study(patient, examination),
        "study_date": examination.day.isoformat(),
        "age": examination.age,
        "sex": patient.sex,
        "scanner": examination.scanner.name,
        "phase": examination.phase,
        "split": patient.split,
        FINDING: "yes" if examination.written else "no",
    }
