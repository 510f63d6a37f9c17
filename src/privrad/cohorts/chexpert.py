"""CheXpert: its tables of images with the labels mined from reports, and those that radiologists labelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import rows, tables

TRAIN = "train.csv"
VALID = "valid.csv"
TEST = "test_labels.csv"
FOLDERS = ("", "CheXpert-v1.0-small/", "CheXpert-v1.0/", "CheXpert-v1.0 batch 1 (validate & csv)/")
BATCHES = "CheXpert-v1.0 batch *"
COLUMNS = {"path": "Path", "sex": "Sex", "age": "Age", "side": "Frontal/Lateral", "view": "AP/PA"}
LABELS = {"1.0": 1, "1": 1, "0.0": 0, "0": 0, "-1.0": 0, "-1": 0, "": 0}


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of `train.csv`, `valid.csv` and, where it lies beside them, `test_labels.csv`; one an image.

    `cohort.labels` names the column of each finding: 1 is positive; 0, -1 (uncertain) and blank (not mentioned) are
    not. The labels of `train.csv`, or of `columns.table` in its place, are mined from the report's text. Patient and
    study stand in the path alone. What radiologists labelled is never trained on: `valid.csv` is the test part, or the
    validation part beside `test_labels.csv`, which is the test part then. `root` is the folder with the tables, the one
    above it, or the one with the four batches of the original size.
    """
    tables.mapped(cohort, defaults={}, required=())
    train = cohort.columns.get("table", TRAIN)
    home = next((folder for folder in FOLDERS if (root / folder / VALID).is_file()), "")
    last = (root / home / TEST).is_file()
    parts = {
        train if (root / train).is_file() else home + train: "train",
        home + VALID: "validation" if last else "test",
    }
    parts |= {home + TEST: "test"} if last else {}
    batches = _batches(root)
    named = {finding: cohort.labels[finding] for finding in findings}
    read_each = [
        _part(root, name, split=split, home=home, batches=batches, named=named) for name, split in parts.items()
    ]
    return pd.concat(read_each, ignore_index=True)


def _part(
    root: Path, name: str, *, split: str, home: str, batches: dict[str, str], named: dict[str, str]
) -> pd.DataFrame:
    columns = COLUMNS | {f"label:{finding}": column for finding, column in named.items()}
    optional = set(COLUMNS) - {"path"} if name.endswith(TEST) else ()
    table = tables.read(root, name, columns=columns, optional=optional, hint=" (labels of the cohort)")
    path = table["path"].str.replace(r"^CheXpert-v1\.0[^/]*/", "", regex=True)
    ids = path.str.extract(r"(?:^|/)(patient\d+)/(study\d+)/").fillna("")
    file = [_place(tail, home=home, batch=batches.get(who)) for tail, who in zip(path, ids[0], strict=True)]
    parts: dict[str, object] = {
        "image": path,
        "patient": ids[0],
        "study": (ids[0] + "/" + ids[1]).mask(ids[1] == "", ""),
        "file": rows.tidy_path(pd.Series(file, index=table.index, dtype="str")),
        "source_split": pd.Series(split, index=table.index),
    }
    parts |= {column: table[column] for column in ("age", "sex") if column in table}
    found = rows.frontal(rows.assemble(parts, table=name), _view(table), blank=True)
    return labelled(found, numbers(table, findings=named))


def numbers(table: pd.DataFrame, *, findings: Iterable[str]) -> pd.DataFrame:
    """What the words in each `label:<finding>` column say, a column a finding: 1, 0, or NaN for an unknown word."""
    return pd.DataFrame({name: table[f"label:{name}"].map(LABELS).astype("float64") for name in findings})


def labelled(found: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """The rows with an int8 column for each finding of `labels`; one with a NaN is refused as unknown_label."""
    found = rows.refuse(found, labels.isna().any(axis=1), "unknown_label")
    return found.assign(**{str(finding): values.fillna(0).astype("int8") for finding, values in labels.items()})


def _place(path: str, *, home: str, batch: str | None) -> str:
    """Where an image lies: in the folder that its path names, or in the batch of its patient; blank for no path."""
    if batch and path.startswith("train/"):
        return f"{batch}/{path.removeprefix('train/')}"
    return home + path if path else ""


def _view(table: pd.DataFrame) -> pd.Series:
    """The view of each frontal image, blank where only that it is frontal is known, and LATERAL of all others."""
    side = table["side"] if "side" in table else table["path"].str.extract(r"_([a-z]+)\.\w+$")[0].fillna("")
    view = table["view"] if "view" in table else pd.Series("", index=table.index, dtype="str")
    return view.where(side.str.lower() == "frontal", "LATERAL")


def _batches(root: Path) -> dict[str, str]:
    """In which batch the folder of each patient lies, where they were unpacked side by side."""
    folders = [folder for folder in sorted(root.glob(BATCHES)) if folder.is_dir()]
    return {entry.name: folder.name for folder in folders for entry in folder.iterdir()}
