"""Split: each patient to training, validation or test, and how the parts are made up."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import identity
from privrad.cohorts import manifest as manifests
from privrad.cohorts.tables import CohortError

PARTS = ("train", "validation", "test")
USES = {"train": "to train on", "validation": "to validate on", "test": "to test on"}
AGES = (0, 30, 60, 70, 80, float("inf"))
log = logging.getLogger("privrad")


def run(
    split: config.Split,
    *,
    findings: Sequence[str],
    manifest: Path,
    key: bytes,
    assignment: Path,
    balance: Path,
    needed: Sequence[str] = ("train",),
) -> None:
    """Write the part of each patient of a manifest, and the balance of the parts.

    Nothing is moved for the sake of balance. Raises CohortError, and writes nothing, when the cohort's own split is
    incomplete or takes a patient apart, or when no patient is left for one of the `needed` parts.
    """
    images = manifests.read(manifest, findings=findings)
    fractions = _fractions(images["patient_id"], key=key)
    parts = by_hash(fractions, split) if split.by == "hash" else by_table(images, fractions, split)
    counts = parts.value_counts()
    lacking = [part for part in needed if part not in counts]
    if lacking:
        raise CohortError(
            f"split: none of {len(parts)} patients is left {USES[lacking[0]]}; "
            "give more patients, or other shares of validation and test"
        )
    for part in PARTS:
        if part not in counts:
            log.warning("split: no patient is in %s", part)
    table = parts.rename("split").rename_axis("patient_id").sort_index().reset_index()
    manifests.write_parquet(assignment, table)
    manifests.write_csv(balance, balance_of(images, parts, findings=findings))
    log.info("split: %s", ", ".join(f"{counts.get(part, 0)} patients in {part}" for part in PARTS))


def by_hash(fractions: pd.Series, split: config.Split) -> pd.Series:
    """The part of each patient by its fraction: below `test` it is test, below `validation` more it is validation.

    A patient's part depends on the key, its id and the two shares alone: one patient more or less moves nobody else.
    """
    parts = pd.Series("train", index=fractions.index, dtype="str")
    parts = parts.mask(fractions < split.test + split.validation, "validation")
    return parts.mask(fractions < split.test, "test")


def by_table(images: pd.DataFrame, fractions: pd.Series, split: config.Split) -> pd.Series:
    """The part of each patient as the cohort's own table has it.

    A table with training and test only has its validation part taken out of the training patients, of whom the share
    `validation` is drawn by hash. Raises CohortError when an image has no split or a patient has two.
    """
    blank = int((images["source_split"] == "").sum())
    if blank:
        raise CohortError(
            f"split by table: {blank} of {len(images)} images have no split; "
            "fill in the cohort's split table, or set by: hash"
        )
    own = images.groupby("patient_id")["source_split"]
    torn = own.nunique().loc[lambda number: number > 1].index
    if len(torn):
        shown = ", ".join(sorted(torn)[:5]) + (", ..." if len(torn) > 5 else "")
        raise CohortError(
            f"split by table: {len(torn)} patients stand in more than one part ({shown}; paths.parquet has their own "
            "ids); put all images of a patient into one part, or set by: hash"
        )
    parts = own.first()
    if (parts == "validation").any():
        return parts
    drawn = fractions.loc[parts.index] < split.validation
    return parts.mask((parts == "train") & drawn, "validation")


def balance_of(images: pd.DataFrame, parts: pd.Series, *, findings: Sequence[str]) -> pd.DataFrame:
    """Images and patients of each part: in all, by sex, by age band, and positive for each finding.

    Columns split, column (all, sex, age or a finding), value, images, patients; a group that is empty has a row of 0.
    """
    part = images["patient_id"].map(parts)
    groups = {("all", "all"): pd.Series(True, index=images.index)}
    groups |= {("sex", sex): images["sex"] == sex for sex in manifests.SEXES}
    for low, high in itertools.pairwise(AGES):
        groups[("age", f"[{low},{high})")] = images["age"].between(low, high, inclusive="left")
    groups[("age", "unknown")] = images["age"].isna()
    groups |= {(finding, "positive"): images[finding] == 1 for finding in findings}
    lines = []
    for name in PARTS:
        for (column, value), member in groups.items():
            patients = images.loc[member & (part == name), "patient_id"]
            lines.append((name, column, value, len(patients), patients.nunique()))
    return pd.DataFrame(lines, columns=["split", "column", "value", "images", "patients"])


def _fractions(patients: pd.Series, *, key: bytes) -> pd.Series:
    distinct = patients.drop_duplicates()
    numbers = [identity.fraction(key, "split", patient) for patient in distinct]
    return pd.Series(numbers, index=distinct, dtype="float64")
