"""NIH ChestX-ray14: one table of images, ages, sexes and the findings that its authors mined from the reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import rows, small_files, tables

COLUMNS = {
    "image": "Image Index",
    "labels": "Finding Labels",
    "follow_up": "Follow-up #",
    "patient_id": "Patient ID",
    "age": "Patient Age",
    "sex": "Patient Gender",
    "view": "View Position",
    "file": "file",
}
NO_FINDING = "No Finding"
LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}
LONGEST = 16_777_216  # bytes of a list; the longer one has 86,524 names of 16 letters
FINDINGS = frozenset(
    {
        "Atelectasis",
        "Cardiomegaly",
        "Consolidation",
        "Edema",
        "Effusion",
        "Emphysema",
        "Fibrosis",
        "Hernia",
        "Infiltration",
        "Mass",
        "Nodule",
        "Pleural_Thickening",
        "Pneumonia",
        "Pneumothorax",
    }
)


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of `metadata.csv`, or `Data_Entry_2017*.csv`, or `columns.table`; one an image.

    `cohort.labels` names one of the 14 findings for each of ours; an image has it when the name stands in its
    pipe-separated "Finding Labels". Images lie where a column `file` says, else by name in `images` or `images_*`.
    Where the official `train_val_list.txt` and `test_list.txt` lie beside the table, they are the cohort's own split.
    The table's later columns, of which the published header splits two by a comma, are not read.
    """
    for finding in findings:
        if cohort.labels[finding] not in {*FINDINGS, NO_FINDING}:
            raise tables.CohortError(
                f"cohort {cohort.id}: labels.{finding} = {cohort.labels[finding]!r} is no finding of this cohort; "
                f"it has {', '.join(sorted(FINDINGS))}, {NO_FINDING}"
            )
    name = cohort.columns.get("table") or _table_in(root)
    columns = tables.mapped(cohort, defaults=COLUMNS, required=("image", "labels", "patient_id"))
    optional = {"file", "follow_up"} - set(cohort.columns)
    table = tables.read(root, name, columns=columns, optional=optional, hint=f" (columns of cohort {cohort.id})")
    parts: dict[str, object] = {
        "image": table["image"],
        "patient": table["patient_id"],
        "file": rows.tidy_path(table["file"] if "file" in table else _found(table["image"], root=root)),
    }
    if "follow_up" in table:
        parts["study"] = table["patient_id"] + "_" + table["follow_up"]
    parts |= {column: table[column] for column in ("age", "sex") if column in table}
    parts |= _split(table["image"], root=root)
    found = rows.assemble(parts, table=name)
    if "view" in table:
        found = rows.frontal(found, table["view"], blank=True)
    return _labelled(found, table["labels"], named={finding: cohort.labels[finding] for finding in findings})


def _table_in(root: Path) -> str:
    if (root / "metadata.csv").is_file():
        return "metadata.csv"
    names = sorted(path.name for path in root.glob("Data_Entry_2017*.csv*"))
    if len(names) > 1:
        raise tables.CohortError(f"{root} has {len(names)} tables ({', '.join(names)}); name one in columns.table")
    return names[0] if names else "Data_Entry_2017.csv"


def _found(images: pd.Series, *, root: Path) -> pd.Series:
    """Where each image lies; one that is nowhere is expected in `images`."""
    folders = [root / "images", *sorted(root.glob("images_*/images")), *sorted(root.glob("images_*"))]
    places: dict[str, str] = {}
    for folder in folders:
        if folder.is_dir():
            for entry in folder.iterdir():
                places.setdefault(entry.name, entry.relative_to(root).as_posix())
    return images.map(lambda name: places.get(name, f"images/{name}") if name else "").astype("str")


def _split(images: pd.Series, *, root: Path) -> dict[str, object]:
    """The part of each image by the official lists, blank for one in neither; nothing where they are not there."""
    there = {part: name for part, name in LISTS.items() if (root / name).exists()}
    if not there:
        return {}
    if len(there) < len(LISTS):
        raise tables.CohortError(
            f"{root} has {' '.join(there.values())}, one of {' and '.join(LISTS.values())}; put both there, or none"
        )
    parts: dict[str, str] = {}
    for part, name in there.items():
        content = small_files.read(root / name, within=root, most=LONGEST)
        if content is None:
            raise tables.CohortError(f"list {name} cannot be read, or is no list of names; download it again")
        listed = dict.fromkeys(content.decode("utf-8", errors="replace").split(), part)
        both = len(parts.keys() & listed.keys())
        if both:
            raise tables.CohortError(f"{both} images stand in both {' and '.join(LISTS.values())}; download them again")
        parts |= listed
    return {"source_split": images.map(lambda name: parts.get(name, "")).astype("str")}


def _labelled(found: pd.DataFrame, labels: pd.Series, *, named: dict[str, str]) -> pd.DataFrame:
    sets = {text: frozenset(part.strip() for part in text.split("|")) for text in labels.unique()}
    known = {text for text, names in sets.items() if names <= FINDINGS or names == {NO_FINDING}}
    found = rows.refuse(found, labels == "", "missing_value")
    found = rows.refuse(found, ~labels.isin(known), "unknown_label")
    for finding, name in named.items():
        positive = {text for text, names in sets.items() if name in names}
        found = found.assign(**{finding: labels.isin(positive).astype("int8")})
    return found
