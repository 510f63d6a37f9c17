"""AIforCOVID: radiographs of COVID-19 patients of six Italian hospitals at admission, with how severe it became."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from privrad import config
from privrad.cohorts import rows, small_files, tables

COLUMNS = {"image": "ImageFile", "label": "Prognosis", "age": "Age", "sex": "Sex"}
SPLIT = {"trainClinData.csv": "train", "testClinData.csv": "test"}
PROGNOSES = ("SEVERE", "MILD")
CODES = ("0", "1")
FOLDERS = ("", "imgs", "imgs_r2", "imgs_r3", "TrainSet", "TrainSet/TrainSet", "TestSet", "TestSet/TestSet")
ENDINGS = (".dcm", ".png", ".jpg", ".jpeg")


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of `AIforCOVID*.csv`, or of `trainClinData.csv` and `testClinData.csv`, or `columns.table`.

    These are the published spreadsheets, each saved as CSV. `cohort.labels` names the prognosis, SEVERE or MILD, that
    each of ours stands for. Images lie by name, with any ending or none in the table, in the root, in `imgs`,
    `imgs_r2` and `imgs_r3`, or in `TrainSet` and `TestSet`. An image is a patient. The tables have sex as 0 or 1
    without saying which is which: `columns.female` is the code of women, and without it sex is unknown.
    """
    columns = tables.mapped(cohort, defaults=COLUMNS, required=("image", "label"), beside=("female",))
    for finding in findings:
        if cohort.labels[finding] not in PROGNOSES:
            raise tables.CohortError(
                f"cohort {cohort.id}: labels.{finding} = {cohort.labels[finding]!r} is no label of this cohort; "
                f"it has {' and '.join(PROGNOSES)}"
            )
    female = cohort.columns.get("female", "")
    if female not in ("", *CODES):
        raise tables.CohortError(f"cohort {cohort.id}: columns.female = {female!r}; write 0 or 1, the code of women")
    pictures = _pictures(root)
    found, labels = [], []
    for name in _names(cohort, root):
        table = tables.read(root, name, columns=columns, hint=f" (columns of cohort {cohort.id})")
        parts = _parts(table, female=female, pictures=pictures) | {"source_split": SPLIT.get(name, "")}
        found.append(rows.assemble(parts, table=name))
        labels.append(table["label"])
    whole, words = pd.concat(found, ignore_index=True), pd.concat(labels, ignore_index=True)
    for finding in findings:
        values = {prognosis.lower(): int(prognosis == cohort.labels[finding]) for prognosis in PROGNOSES}
        whole = rows.labelled(whole, words.to_frame(finding), values=values)
    return whole


def _names(cohort: config.Cohort, root: Path) -> list[str]:
    if "table" in cohort.columns:
        return [cohort.columns["table"]]
    names = sorted(path.name for path in root.glob("AIforCOVID*.csv")) or [
        name for name in SPLIT if (root / name).is_file()
    ]
    if not names:
        there = ", ".join(sorted(path.name for path in root.glob("*.xls*"))) or "no spreadsheet either"
        raise tables.CohortError(
            f"{root} has neither AIforCOVID.csv nor trainClinData.csv; there is {there}. Save each published "
            "spreadsheet there as comma-separated UTF-8 text under its own name"
        )
    return names


def _parts(table: pd.DataFrame, *, female: str, pictures: dict[str, str]) -> dict[str, object]:
    named = table["image"]
    stem = named.map(_stem)
    lie = [pictures.get(name, f"imgs/{file}") if name else "" for name, file in zip(stem, named, strict=True)]
    file = rows.tidy_path(pd.Series(lie, index=table.index, dtype="str"))
    parts: dict[str, object] = {"image": stem, "patient": stem, "file": file}
    if "age" in table:
        parts["age"] = table["age"]
    if "sex" in table:
        parts["sex"] = _sexes(table["sex"], female=female)
    return parts


def _sexes(written: pd.Series, *, female: str) -> pd.Series:
    """The sexes with their codes told by that of women; without it a code tells nothing."""
    codes = written.str.removesuffix(".0")
    said = {code: ("F" if code == female else "M") if female else "" for code in CODES}
    return written.mask(codes.isin(CODES), codes.map(said))


def _pictures(root: Path) -> dict[str, str]:
    """Where the picture of each name lies, the name without its ending."""
    found: dict[str, str] = {}
    for file in small_files.places(root, FOLDERS, endings=ENDINGS):
        found.setdefault(_stem(PurePosixPath(file).name), file)
    return found


def _stem(name: str) -> str:
    """The name without the ending of a picture; "P_1.5" has none."""
    lower = name.lower()
    return next((name[: -len(ending)] for ending in ENDINGS if lower.endswith(ending)), name)
