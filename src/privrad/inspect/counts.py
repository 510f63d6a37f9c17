"""What a cohort holds, counted: refusals, images per patient, findings, groups, and what is not known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pandas as pd

from privrad.cohorts import manifest as manifests
from privrad.cohorts.split import AGES
from privrad.inspect.table import Cell, Table, count, counted, share
from privrad.report import words

PER_PATIENT = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 9), (10, 19), (20, 49), (50, math.inf))
UNKNOWN_TOLD = 0.2
"""The share of images that lack a field from which it is told."""


def refused(rows: pd.DataFrame) -> Table:
    """How many rows are refused, by reason, and what to do about each."""
    counts = manifests.refused(rows).sort_values("count", ascending=False, kind="stable")
    lines = [
        (Cell(reason), Cell(count(number)), Cell(manifests.REMEDIES.get(reason, "")))
        for reason, number in counts.itertuples(index=False)
    ]
    return Table("Rows that are not taken", ("reason", "rows", "what to do"), lines, numeric=False)


def per_patient(taken: pd.DataFrame) -> Table:
    """How many patients have how many images."""
    each = taken["patient"].value_counts()
    lines = []
    for low, high in PER_PATIENT:
        number = int(each.between(low, high).sum())
        said = f"{low}" if low == high else f"{low} or more" if math.isinf(high) else f"{low} to {high:g}"
        if number:
            lines.append((Cell(said), share(number, len(each))))
    least, middle, most = each.min(), each.median(), each.max()
    remark = f"Median {middle:g}, from {least} to {most}."
    return Table("Images of a patient", ("images", "patients"), lines, remark=remark)


def findings(taken: pd.DataFrame, names: Sequence[str]) -> Table:
    """Positive images and patients of each finding; a patient is positive with one positive image."""
    people = taken["patient"].nunique()
    lines = []
    for name in names:
        positive = taken[name] == 1
        patients = taken.loc[positive, "patient"].nunique()
        lines.append((Cell(words.finding(name)), share(int(positive.sum()), len(taken)), share(patients, people)))
    return Table("How frequent each finding is", ("finding", "positive images", "positive patients"), lines)


def named(column: str, value: str) -> str:
    """A group by sex or age in words: "female", "30 to 59 years", "age unknown"."""
    return f"{column} unknown" if value in words.UNNAMED else words.group(column, value)


def groups(taken: pd.DataFrame) -> dict[str, pd.Series]:
    """Which images are of each group by sex and age that has any, by its name in words."""
    found = {named("sex", sex): taken["sex"] == sex for sex in manifests.SEXES}
    for low, high in itertools.pairwise(AGES):
        found[named("age", f"[{low},{high})")] = taken["age"].between(low, high, inclusive="left")
    found[named("age", "unknown")] = taken["age"].isna()
    return {name: member for name, member in found.items() if member.any()}


def by_group(taken: pd.DataFrame, names: Sequence[str]) -> Table:
    """The share of positive images of each finding within each group."""
    members = groups(taken)
    sizes = [int(member.sum()) for member in members.values()]
    lines = [(Cell("all images"), *[Cell(count(size)) for size in sizes])]
    for name in names:
        positives = [int(taken.loc[member, name].sum()) for member in members.values()]
        lines.append((Cell(words.finding(name)), *map(share, positives, sizes)))
    return Table("Positive images by sex and age", ("finding", *members), lines)


def together(taken: pd.DataFrame, names: Sequence[str]) -> Table:
    """Of the images with one finding, how many have each other one too."""
    held = taken[list(names)].to_numpy(dtype="int64")
    both = (held.T @ held).tolist()
    lines = []
    for place, name in enumerate(names):
        having = both[place][place]
        lines.append((Cell(words.finding(name), count(having)), *[share(number, having) for number in both[place]]))
    head = ("of the images with", *[words.inside(name) for name in names])
    return Table("Findings that stand together", head, lines)


def missing(taken: pd.DataFrame, *, scans: bool) -> Table:
    """How many images lack age or sex, and how many radiographs view or bedside."""
    lacking = unknown(taken, scans=scans)
    lines = [(Cell(field), share(int(each.sum()), len(taken))) for field, each in lacking.items()]
    return Table("What is not known", ("field", "images without it"), lines)


def gaps(taken: pd.DataFrame, *, scans: bool) -> list[str]:
    """A sentence for each field that is unknown for many images, though not for all."""
    told = []
    for field, lacking in unknown(taken, scans=scans).items():
        if UNKNOWN_TOLD <= lacking.mean() < 1:
            lost = words.percent(float(lacking.mean()))
            told.append(f"{field} is not known for {lost} of the images, which no comparison by {field} can count.")
    return told


def unknown(taken: pd.DataFrame, *, scans: bool) -> dict[str, pd.Series]:
    """Which images lack each field; view and bedside are of radiographs alone."""
    of_all = {"age": taken["age"].isna(), "sex": taken["sex"] == "U"}
    return of_all if scans else of_all | {"view": taken["view"] == "", "bedside": taken["bedside"].isna()}


def refusals(rows: pd.DataFrame, units: str) -> list[str]:
    """A sentence where rows are refused for a fault; views that are not frontal and rows left out are none."""
    faults = int((~rows["reason"].isin(["", *manifests.NO_FAULT])).sum())
    said = [f"{counted(faults, 'rows')} of {count(len(rows))} cannot be used; “Rows that are not taken” says why."]
    nothing = [f"No row is left, so there are no {units} to use."] if (rows["reason"] != "").all() else []
    return (said if faults else []) + nothing
