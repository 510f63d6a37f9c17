"""Reading predictions, anybody's, and refusing those that cannot be measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

REQUIRED = ("image_id", "patient_id", "finding", "label", "score")
OF_RUN = ("split", "arm", "epsilon", "seed")
RESERVED = {"finding": "mean", "column": "all"}
SHOWN = 5


class PredictionsError(ValueError):
    """Predictions that cannot be measured; the message names the file and the rows at fault."""


def load(paths: Sequence[Path]) -> pd.DataFrame:
    """Read long predictions and give the rows of the test split, with every column of a run filled in.

    One row is an image, a finding and a model. Columns: image_id, patient_id, finding, label (0/1), score in [0, 1];
    where given split (default test), arm, epsilon, seed (default 0); every further column is one to group by. An arm
    that has no name is named after its epsilon ("eps-7.89"), and without that "model".
    Raises PredictionsError on a missing column or value, a score or label out of range, an image with two labels for
    one finding, two patients or two groups of one column, an arm with two epsilons, repeated rows, a name that the
    results need ("mean" for a finding, "all" for a column), and when no test row is left.
    """
    read = [_read(path) for path in paths]
    for path, table in zip(paths, read, strict=True):
        _check_values(table, path)
    everything = pd.concat(read, ignore_index=True)
    test = everything[everything["split"] == "test"].reset_index(drop=True)
    if test.empty:
        found = ", ".join(sorted(everything["split"].unique())) or "an empty table"
        raise PredictionsError(f"no prediction is of the test split, only {found}; accuracy is measured on test images")
    _check_agreement(test)
    return test


def grouping_columns(table: pd.DataFrame) -> list[str]:
    """The columns that the images can be grouped by, in the order of the table."""
    return [str(column) for column in table.columns if column not in (*REQUIRED, *OF_RUN)]


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (pa.ArrowException, OSError) as error:
        raise PredictionsError(f"predictions {path}: {error}; give a Parquet file that can be read") from None
    missing = [column for column in REQUIRED if column not in table.columns]
    if missing:
        raise PredictionsError(
            f"predictions {path}: no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}; "
            f"needed are {', '.join(REQUIRED)}"
        )
    for column in ("image_id", "patient_id", "finding"):
        _refuse(table[column].isna(), table, path, column, "is missing", "give every row one")
        table[column] = table[column].astype(str)
    if "epsilon" not in table:
        table["epsilon"] = np.nan
    if "arm" not in table:
        known = table["epsilon"].notna()
        table["arm"] = np.where(known, [f"eps-{value:g}" for value in table["epsilon"]], "model")
    table = table.assign(split=table.get("split", "test"), seed=table.get("seed", 0))
    for column in ("split", "arm"):
        _refuse(table[column].isna(), table, path, column, "is missing", "give every row one, or leave the column out")
        table[column] = table[column].astype(str)
    return table


def _check_values(table: pd.DataFrame, path: Path) -> None:
    _check_names(table, path)
    seed = pd.to_numeric(table["seed"], errors="coerce")
    _refuse(seed.isna() | (seed % 1 != 0), table, path, "seed", "is no whole number", "number the trainings from 0")
    table["seed"] = seed.astype(np.int64)
    for column in ("score", "label", "epsilon"):
        if not pd.api.types.is_numeric_dtype(table[column]):
            kind = table[column].dtype
            raise PredictionsError(f"predictions {path}: column {column} is {kind}; it must hold numbers")
    score, label = table["score"].astype(float), table["label"].astype(float)
    _refuse(score.isna(), table, path, "score", "is not a number", "score every image or leave its rows out")
    _refuse((score < 0) | (score > 1), table, path, "score", "is outside [0, 1]", "give probabilities, not logits")
    _refuse(~label.isin((0, 1)), table, path, "label", "is neither 0 nor 1", "leave unlabelled images out")
    table["score"], table["label"] = score, label.astype(np.int8)


def _check_names(table: pd.DataFrame, path: Path) -> None:
    named = table["finding"] == RESERVED["finding"]
    _refuse(named, table, path, "finding", "has the name of the mean over findings", "rename it")
    for column in grouping_columns(table):
        if column == RESERVED["column"]:
            raise PredictionsError(f"predictions {path}: column {column} has the name of the whole; rename it")
        if not table[column].map(pd.api.types.is_hashable).all():
            raise PredictionsError(f"predictions {path}: column {column} holds lists; give each row one value")


def _check_agreement(test: pd.DataFrame) -> None:
    epsilons = test.groupby("arm")["epsilon"].nunique(dropna=False)
    if (epsilons > 1).any():
        arm = epsilons.idxmax()
        raise PredictionsError(f"predictions: arm {arm!r} has {epsilons.max()} epsilons; name one arm for each of them")
    repeated = test.duplicated(["arm", "seed", "image_id", "finding"], keep=False)
    two_labels = test.groupby(["image_id", "finding"])["label"].transform("nunique") > 1
    if two_labels.any():
        raise PredictionsError(
            f"predictions: two labels for one image and finding: {_some(test[two_labels])}; keep one"
        )
    if repeated.any():
        raise PredictionsError(f"predictions: an arm and seed scores an image twice: {_some(test[repeated])}; keep one")
    columns = ["patient_id", *grouping_columns(test)]
    images = test[["image_id", *columns]].drop_duplicates()
    twice = images["image_id"].duplicated(keep=False)
    if twice.any():
        of_one = images[images["image_id"] == images.loc[twice, "image_id"].iloc[0]]
        differing = [column for column in columns if of_one[column].nunique(dropna=False) > 1]
        raise PredictionsError(
            f"predictions: image {of_one['image_id'].iloc[0]!r} has two values of {', '.join(differing)}, as have "
            f"{images.loc[twice, 'image_id'].nunique() - 1} others; give each image one"
        )


def _refuse(at_fault: pd.Series, table: pd.DataFrame, path: Path, column: str, what: str, remedy: str) -> None:
    if at_fault.any():
        rows = np.flatnonzero(at_fault)
        values = ", ".join(f"row {row}: {table[column].iloc[row]}" for row in rows[:SHOWN])
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        raise PredictionsError(f"predictions {path}: {column} {what} ({values}{more}); {remedy}")


def _some(rows: pd.DataFrame) -> str:
    named = rows[["image_id", "finding"]].drop_duplicates()
    listed = ", ".join(f"image {image!r}, finding {finding!r}" for image, finding in named.head(SHOWN).to_numpy())
    return listed + (f" and {len(named) - SHOWN} more" if len(named) > SHOWN else "")
