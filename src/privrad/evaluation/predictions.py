"""Reading predictions, anybody's, and refusing those that cannot be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from privrad.evaluation.columns import OF_RUN, SHOWN, checked, in_order, read
from privrad.evaluation.columns import REQUIRED as REQUIRED
from privrad.evaluation.columns import PredictionsError as PredictionsError

Codes = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Predictions:
    """Predictions by split, one row an image, a finding and a model; `validation` may be empty."""

    test: pd.DataFrame
    validation: pd.DataFrame


def load(paths: Sequence[Path]) -> Predictions:
    """Read long predictions and give the rows of the test and validation split, with every column of a run filled in.

    One row is an image, a finding and a model. Columns: image_id, patient_id, finding, label (0/1), score in [0, 1];
    where given split (train, validation, or test, the default), arm, epsilon, seed (default 0); every further column is
    one to group by. An arm that has no name is named after its epsilon ("eps-7.89"), and without that "model". Texts
    come back as categoricals whose categories are in ascending order.
    Raises PredictionsError on a missing column or value, a score or label out of range, an image with two labels for
    one finding, two patients or two groups of one column, a patient in two splits, an arm with two epsilons, repeated
    rows, a name that the results need (MEANINGS, RESERVED), and when no test row is left.
    """
    everything = _joined([checked(read(path), path) for path in paths])
    test, validation = (_of_split(everything, split) for split in ("test", "validation"))
    if test.empty:
        found = ", ".join(sorted(everything["split"].unique())) or "an empty table"
        raise PredictionsError(f"no prediction is of the test split, only {found}; accuracy is measured on test images")
    _check_agreement(_of_split(everything, "validation", "test"))
    _check_splits(everything)
    return Predictions(test=test, validation=validation)


def grouping_columns(table: pd.DataFrame) -> list[str]:
    """The columns that the images can be grouped by, in the order of the table."""
    return [str(column) for column in table.columns if column not in (*REQUIRED, *OF_RUN)]


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All files one below the other, texts as one categorical each."""
    names = list(dict.fromkeys(name for table in tables for name in table.columns))
    columns: dict[str, Any] = {}
    for name in names:
        parts = [table[name] if name in table else pd.Series([None] * len(table), dtype=object) for table in tables]
        if all(isinstance(part.dtype, pd.CategoricalDtype) for part in parts):
            columns[name] = in_order(pd.api.types.union_categoricals([part.array for part in parts]))
        else:
            columns[name] = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    return pd.DataFrame(columns)


def _of_split(table: pd.DataFrame, *splits: str) -> pd.DataFrame:
    kept = table[table["split"].isin(splits)].reset_index(drop=True)
    for column in kept.columns:
        if isinstance(kept[column].dtype, pd.CategoricalDtype):
            kept[column] = kept[column].cat.remove_unused_categories()
    return kept


def _check_splits(table: pd.DataFrame) -> None:
    places = table[["patient_id", "split"]].drop_duplicates()
    twice = places[places["patient_id"].duplicated(keep=False)]
    if len(twice):
        patients = list(dict.fromkeys(twice["patient_id"]))
        first = sorted(twice.loc[twice["patient_id"] == patients[0], "split"])
        named, more = ", ".join(map(repr, patients[:SHOWN])), len(patients) - SHOWN
        raise PredictionsError(
            f"predictions: in two splits ({' and '.join(first)}): patient {named}{f' and {more} more' * (more > 0)}; "
            "a model or threshold must not know the patients that it is measured on; give each patient one split"
        )


def _check_agreement(table: pd.DataFrame) -> None:
    epsilons = table.groupby("arm", observed=True)["epsilon"].nunique(dropna=False)
    if (epsilons > 1).any():
        arm = epsilons.idxmax()
        raise PredictionsError(f"predictions: arm {arm!r} has {epsilons.max()} epsilons; name one arm for each of them")
    images = table["image_id"].cat.codes.to_numpy(dtype=np.int64)
    cells = images * len(table["finding"].cat.categories) + table["finding"].cat.codes.to_numpy(dtype=np.int64)
    two_labels = _differing(table["label"].to_numpy(), of=cells)
    if two_labels.any():
        at_fault = table[np.isin(cells, cells[two_labels])]
        raise PredictionsError(f"predictions: two labels for one image and finding: {_some(at_fault)}; keep one")
    runs = table["arm"].cat.codes.to_numpy(dtype=np.int64), pd.factorize(table["seed"])[0]
    repeated = pd.Series((cells * (runs[0].max() + 1) + runs[0]) * (runs[1].max() + 1) + runs[1]).duplicated(keep=False)
    if repeated.any():
        at_fault = table[repeated.to_numpy()]
        raise PredictionsError(f"predictions: an arm and seed scores an image twice: {_some(at_fault)}; keep one")
    _check_images(table, images)


def _check_images(table: pd.DataFrame, images: Codes) -> None:
    columns = ["patient_id", *grouping_columns(table)]
    codes = {column: pd.factorize(table[column])[0] for column in columns}
    differing = {column: np.unique(images[_differing(of_column, of=images)]) for column, of_column in codes.items()}
    twice = np.unique(np.concatenate(list(differing.values())))
    if len(twice):
        first = table["image_id"].cat.categories[twice[0]]
        named = ", ".join(column for column in columns if twice[0] in differing[column])
        raise PredictionsError(
            f"predictions: image {first!r} has two values of {named}"
            f"{f', as have {len(twice) - 1} others' * (len(twice) > 1)}; give each image one"
        )


def _differing(values: NDArray[Any], *, of: Codes) -> NDArray[np.bool_]:
    """The rows whose value is another than that of the first row of the same code `of`."""
    _, first, place = np.unique(of, return_index=True, return_inverse=True)
    return np.asarray(values != values[first][place])


def _some(rows: pd.DataFrame) -> str:
    named = rows[["image_id", "finding"]].drop_duplicates()
    listed = ", ".join(f"image {image!r}, finding {finding!r}" for image, finding in named.head(SHOWN).to_numpy())
    return listed + (f" and {len(named) - SHOWN} more" if len(named) > SHOWN else "")
