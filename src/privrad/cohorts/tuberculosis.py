"""Shenzhen and Montgomery, the tuberculosis radiographs of the National Library of Medicine: pictures and readings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import rows, small_files, tables

PICTURES, READINGS = "CXR_png", "ClinicalReadings"
LABEL = "tuberculosis"
LONGEST = 65_536  # bytes of a reading; the published ones have a few lines
TOLD = re.compile(r"patient.?s\s+(sex|age)\s*:[ \t]*(\w*)", re.ASCII | re.IGNORECASE)
FIRST = re.compile(r"\s*([a-z]*)[\s,.;:]*(\d*)\s*([a-z]*)", re.ASCII | re.IGNORECASE)
SAME = re.compile(r"same\s+(?:pt|patient)\s+as\s+(\w+_\d+_[01])", re.ASCII | re.IGNORECASE)
NAME = re.compile(r"[A-Z]+_[0-9]+_([01])")


@dataclass(frozen=True)
class Reading:
    """What a reading says: sex, age, and which picture is of the same patient; blank where it says nothing."""

    sex: str = ""
    age: str = ""
    same: str = ""
    readable: bool = True


def shenzhen(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of the Shenzhen set, `CHNCXR_0001_0.png` in `CXR_png`, in the root or in `ChinaSet_AllFiles`."""
    return _read(cohort, findings=findings, root=root, prefix="CHNCXR", folder="ChinaSet_AllFiles")


def montgomery(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of the Montgomery set, `MCUCXR_0001_0.png` in `CXR_png`, in the root or in `MontgomerySet`."""
    return _read(cohort, findings=findings, root=root, prefix="MCUCXR", folder="MontgomerySet")


def _read(cohort: config.Cohort, *, findings: Sequence[str], root: Path, prefix: str, folder: str) -> pd.DataFrame:
    """One row for each picture, and for each reading without one.

    The last digit of the name is the label, 1 for tuberculosis, and "tuberculosis" the one label that
    `cohort.labels` can name. All are PA (Jaeger et al. 2014, doi 10.3978/j.issn.2223-4292.2014.11.20). Sex and age are
    in the readings; without one they are unknown. A picture is a patient, but for those whose reading calls another
    the same patient's. A reading of more than 64 KiB, or one that leads out of the root, is not read.
    """
    tables.mapped(cohort, defaults={}, required=())
    for finding in findings:
        if cohort.labels[finding] != LABEL:
            raise tables.CohortError(
                f"cohort {cohort.id}: labels.{finding} = {cohort.labels[finding]!r} is no label of this cohort; "
                f"it has {LABEL}"
            )
    home = _home(root, folder)
    stems = _stems(root, home, prefix)
    readings = {stem: _reading(root / home / READINGS / f"{stem}.txt", root=root) for stem in stems}
    same = {stem: reading.same for stem, reading in readings.items() if reading.same}
    parts: dict[str, object] = {
        "image": stems,
        "patient": [_patient(stem, same) for stem in stems],
        "file": [f"{home}{PICTURES}/{stem}.png" for stem in stems],
        "sex": [readings[stem].sex for stem in stems],
        "age": [readings[stem].age for stem in stems],
        "view": ["PA"] * len(stems),
    }
    found = rows.assemble(parts, table=PICTURES)
    readable = pd.Series([readings[stem].readable for stem in stems], index=found.index)
    found = rows.refuse(found, ~readable, "unreadable_report")
    matches = [NAME.fullmatch(stem) for stem in stems]
    digit = pd.Series([match[1] if match else "?" for match in matches], index=found.index)
    return rows.labelled(found, pd.DataFrame(dict.fromkeys(findings, digit)), values={"0": 0, "1": 1})


def _home(root: Path, folder: str) -> str:
    for home in ("", f"{folder}/"):
        if (root / home / PICTURES).is_dir():
            return home
    raise tables.CohortError(
        f"{root} has no folder {PICTURES} with pictures, nor has {folder} in it; unpack the set there with "
        f"{PICTURES} and {READINGS}"
    )


def _stems(root: Path, home: str, prefix: str) -> list[str]:
    """The names of the set's pictures and readings without their endings; other files are of no concern."""
    pictures = small_files.places(root, (home + PICTURES,), endings=(".png",))
    readings = small_files.places(root, (home + READINGS,), endings=(".txt",))
    stems = {Path(file).stem for file in [*pictures, *readings] if Path(file).name.startswith(prefix)}
    if not stems:
        raise tables.CohortError(f"{root / home / PICTURES} has no picture {prefix}_0001_0.png or the like; unpack it")
    return sorted(stems)


def _reading(path: Path, *, root: Path) -> Reading:
    if not path.is_symlink() and not path.exists():
        return Reading()
    content = small_files.read(path, within=root, most=LONGEST)
    if content is None:
        return Reading(readable=False)
    return parse(content.decode("utf-8-sig", errors="replace"))


def parse(text: str) -> Reading:
    """A reading in either form: "Patient's Sex: F" and "Patient's Age: 040Y", or a first line as "male 45yrs".

    Of the second form it takes what the set holds: "Female, 28yrs", "femal 32yrs", "female24yrs", "16month",
    "64days", "male 42". A word that is neither sex nor unit is handed on as it stands, to be refused.
    """
    told = {key.lower(): value for key, value in TOLD.findall(text)}
    other = SAME.search(text)
    same = other[1].upper() if other else ""
    if told:
        return Reading(told.get("sex", ""), told.get("age", ""), same)
    first = FIRST.match(text.strip())
    word, number, unit = first.groups() if first else ("", "", "")
    sex = {"f": "F", "m": "M"}.get(word[:1].lower(), word)
    letter = unit[:1].upper() if unit[:1].lower() in "ymwd" else unit
    return Reading(sex, f"{number}{letter}" if number else "", same)


def _patient(stem: str, same: Mapping[str, str]) -> str:
    """The picture by which the patient of a picture goes: the last one that readings refer to."""
    seen = [stem]
    while other := same.get(seen[-1]):
        if other in seen:
            return min(seen[seen.index(other) :])
        seen.append(other)
    return seen[-1]
