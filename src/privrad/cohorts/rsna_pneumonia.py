"""RSNA Pneumonia Detection Challenge 2018: radiographs of NIH ChestX-ray14, read anew by radiologists, as DICOM."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import rows, small_files, tables

BOXES = "stage_2_train_labels.csv"
CLASSES = "stage_2_detailed_class_info.csv"
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
PICTURES = "stage_2_train_images"
TARGET = "Target"
CLASS = ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")
LONGEST = 67_108_864  # bytes of the mapping; it has 30,000 entries
NIH = re.compile(r"0*(\d+)_0*(\d+)\.png")
log = logging.getLogger("privrad")


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of the training images, one each, however many boxes `stage_2_train_labels.csv` draws in it.

    `cohort.labels` names "Target", 1 where a radiologist drew an opacity that may be pneumonia, or one of the three
    classes of `stage_2_detailed_class_info.csv`. An image whose lines disagree has an unknown label. Age, sex and view
    are in the DICOM headers only and stay unknown. The challenge's "patientId" tells images apart, not people: with
    the RSNA's mapping to NIH ChestX-ray14 beside the tables, patient and study are that cohort's; without it each
    image is taken for a patient, and a warning logged.
    """
    tables.mapped(cohort, defaults={}, required=())
    for finding in findings:
        if cohort.labels[finding] not in (TARGET, *CLASS):
            raise tables.CohortError(
                f"cohort {cohort.id}: labels.{finding} = {cohort.labels[finding]!r} is no label of this cohort; "
                f"it has {', '.join((TARGET, *CLASS))}"
            )
    told = {TARGET: _agreed(root, BOXES, TARGET)}
    if any(cohort.labels[finding] in CLASS for finding in findings):
        told["class"] = _agreed(root, CLASSES, "class")
    image = told[TARGET].index.to_series().reset_index(drop=True)
    parts: dict[str, object] = {"image": image, "file": rows.tidy_path(f"{PICTURES}/" + image + ".dcm")}
    found = rows.assemble(parts | _people(root, image), table=BOXES)
    for finding in findings:
        label = cohort.labels[finding]
        words = image.map(told[TARGET if label == TARGET else "class"]).fillna("")
        values = {"0": 0, "1": 1} if label == TARGET else {name.lower(): int(name == label) for name in CLASS}
        found = rows.labelled(found, words.to_frame(finding), values=values)
    return found


def _agreed(root: Path, name: str, column: str) -> pd.Series:
    """What a table's lines of each image say in a column; "contradiction" where they differ."""
    table = tables.read(root, name, columns={"image": "patientId", "says": column})
    says = table.groupby("image", sort=False)["says"]
    return says.first().mask(says.nunique() > 1, "contradiction")


def _people(root: Path, image: pd.Series) -> dict[str, object]:
    """Patient and study of each image; of one that the mapping lacks they are blank."""
    if not (root / MAPPING).exists():
        log.warning("rsna_pneumonia: %s is not there; each image counts as a patient, which many are not", MAPPING)
        return {"patient": image}
    numbers = {key: NIH.fullmatch(name) for key, name in _mapping(root).items()}
    names = {key: (number[1], f"{number[1]}_{number[2]}") for key, number in numbers.items() if number}
    each = image.map(lambda key: names.get(key, ("", "")))
    return {"patient": each.str[0], "study": each.str[1]}


def _mapping(root: Path) -> dict[str, str]:
    """The NIH file name of each image of the challenge."""
    content = small_files.read(root / MAPPING, within=root, most=LONGEST)
    try:
        entries = json.loads(content or b"")
        return {str(entry["subset_img_id"]): str(entry["img_id"]) for entry in entries}
    except (ValueError, RecursionError, KeyError, TypeError):
        raise tables.CohortError(
            f"{MAPPING} is not the list of entries with subset_img_id and img_id that the RSNA gives; "
            "get it again, or remove it"
        ) from None
