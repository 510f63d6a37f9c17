"""VinDr-CXR: postero-anterior radiographs, of which three radiologists read each to train on, and five each to test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import rows, tables

TABLES = {"train": "annotations/image_labels_train.csv", "test": "annotations/image_labels_test.csv"}
SPELLINGS = ("Other diseases", "Other disease")
VALUES = {"1": 1.0, "1.0": 1.0, "0": 0.0, "0.0": 0.0}


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of both tables in `annotations`, one an image.

    `cohort.labels` names the column of each finding. A training image has it when more than half of its readers say
    so; where they are even it is refused, as no label is known. A test image has one row, the readers' consensus. No
    patient is published: each image stands for a patient of its own, so that a patient with two images counts as two.
    All views are PA. Sex and age stand in the DICOM files alone, which are not opened here, and stay unknown.
    """
    tables.mapped(cohort, defaults={}, required=())
    named = {finding: cohort.labels[finding] for finding in findings}
    return pd.concat([_part(root, split, named=named) for split in TABLES], ignore_index=True)


def _part(root: Path, split: str, *, named: dict[str, str]) -> pd.DataFrame:
    table = _table(root, split, named=named)
    image = table["image_id"]
    votes = table[list(named)].apply(lambda words: words.map(VALUES))
    share = votes.groupby(image).transform("mean").mask(votes.isna().groupby(image).transform("any"))
    parts: dict[str, object] = {
        "image": image,
        "patient": image,
        "file": rows.tidy_path((f"{split}/" + image + ".dicom").mask(image == "", "")),
        "view": pd.Series("PA", index=table.index),
        "source_split": pd.Series(split, index=table.index),
    }
    found = rows.assemble(parts, table=TABLES[split])
    blank = (table[list(named)] == "").any(axis=1).groupby(image).transform("any")
    found = rows.refuse(found, blank, "missing_value")
    for finding in named:
        found = rows.refuse(found, share[finding].isna() | (share[finding] == 0.5), "unknown_label")
        found = found.assign(**{finding: (share[finding] > 0.5).astype("int8")})
    return found[~image.duplicated() | (image == "")]


def _table(root: Path, split: str, *, named: dict[str, str]) -> pd.DataFrame:
    """The words of each reader about each image: image_id, rad_id (of training images), and a column a finding."""
    name = TABLES[split]
    keys = ["image_id", "rad_id"] if split == "train" else ["image_id"]
    spelled = {f"{ours}:{word}": word for ours, theirs in named.items() if theirs in SPELLINGS for word in SPELLINGS}
    columns = {key: key for key in keys} | {ours: word for ours, word in named.items() if word not in SPELLINGS}
    table = tables.read(root, name, columns=columns | spelled, optional=spelled, hint=" (labels of the cohort)")
    for finding in {ours.rpartition(":")[0] for ours in spelled}:
        there = [f"{finding}:{word}" for word in SPELLINGS if f"{finding}:{word}" in table]
        if not there:
            raise tables.CohortError(f"table {name} lacks column {' or '.join(SPELLINGS)}; correct the table")
        table[finding] = table[there[0]]
    tables.once(table[table["image_id"] != ""], by=keys, name=name)
    return table
