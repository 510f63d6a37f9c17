"""The columns of one file of predictions, with every value checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

REQUIRED = ("image_id", "patient_id", "finding", "label", "score")
OF_RUN = ("split", "arm", "epsilon", "seed")
TEXTS = ("image_id", "patient_id", "finding", "split", "arm")
SPLITS = ("train", "validation", "test")
MEANINGS = {"mean": "the mean over findings", "any": "any finding at all"}
RESERVED = {"all": "the whole", "findings": "the number of findings"}
SHOWN = 5
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


class PredictionsError(ValueError):
    """Predictions that cannot be measured; the message names the file and the rows at fault."""


def read(path: Path) -> pa.Table:
    """A Parquet file that has the columns of predictions; PredictionsError for any other."""
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise PredictionsError(
            f"predictions {path}: {error}; give a Parquet file that can be read (a CSV file becomes one by "
            "pandas.read_csv(file).to_parquet(other, index=False))"
        ) from None
    names = [name for name in table.column_names if not name.startswith("__index_level_")]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise PredictionsError(f"predictions {path}: two columns are named {', '.join(repeated)}; keep one of each")
    missing = [column for column in REQUIRED if column not in names]
    if missing:
        raise PredictionsError(
            f"predictions {path}: no column {', '.join(missing)}; it has {', '.join(names)}; "
            f"needed are {', '.join(REQUIRED)}"
        )
    return table.select(names)


def checked(table: pa.Table, path: Path) -> pd.DataFrame:
    """One file as a data frame whose every value can be used, with the columns of a run; PredictionsError otherwise.

    Texts become categoricals with their categories in ascending order.
    """
    size = len(table)
    columns: dict[str, Any] = {name: _texts(table, name, path) for name in TEXTS if name in table.column_names}
    columns.setdefault("split", _constant("test", size))
    _refuse_named(columns["split"], path, "split", lambda name: name not in SPLITS, f"is none of {', '.join(SPLITS)}")
    for name, meaning in MEANINGS.items():
        _refuse_named(columns["finding"], path, "finding", name.__eq__, f"has the name of {meaning}")
    columns["score"], columns["label"] = _scores(table, path), _labels(table, path)
    columns["epsilon"], columns["seed"] = _epsilons(table, path), _seeds(table, path)
    if "arm" not in columns:
        columns["arm"] = _named_after(columns["epsilon"])
    for name in table.column_names:
        if name not in (*REQUIRED, *OF_RUN):
            columns[name] = _grouping(table, name, path)
    return pd.DataFrame({name: columns[name] for name in (*REQUIRED, *OF_RUN)} | columns)


def _kind(table: pa.Table, column: str) -> pa.DataType:
    kind = table.schema.field(column).type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _texts(table: pa.Table, column: str, path: Path) -> pd.Categorical[Any]:
    kind, remedy = _kind(table, column), "give every row one"
    if column not in REQUIRED:
        remedy += ", or leave the column out"
    values = table.column(column)
    _refuse(values.is_null().to_numpy(), values, path, column, "is missing", remedy)
    if not (pa.types.is_integer(kind) or _is_text(kind)):
        raise PredictionsError(f"predictions {path}: column {column} is {kind}; it must hold text or whole numbers")
    coded = _coded(values, kind)
    blank = [not name.strip() for name in coded.categories]
    _refuse(np.array([*blank, False])[coded.codes], values, path, column, "is blank", remedy)
    return coded


def _is_text(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _coded(values: pa.ChunkedArray, kind: pa.DataType) -> pd.Categorical[Any]:
    coded = values.cast(kind).cast(pa.large_string()).combine_chunks().dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return in_order(pd.Categorical.from_codes(codes, categories=coded.dictionary.to_pylist()))


def in_order(values: pd.Categorical[Any]) -> pd.Categorical[Any]:
    """The categories as Python orders text, so that every order taken from them is the same everywhere."""
    return values.set_categories(sorted(map(str, values.categories)))


def _constant(name: str, size: int) -> pd.Categorical[Any]:
    return in_order(pd.Categorical([name]).take(np.zeros(size, dtype=np.intp)))


def _named_after(epsilons: Floats) -> pd.Categorical[Any]:
    distinct, place = np.unique(epsilons, return_inverse=True)
    names = ["model" if np.isnan(value) else f"eps-{value:g}" for value in distinct]
    return in_order(pd.Categorical(names).take(place))


def _numbers(table: pa.Table, column: str, path: Path, *, truths: bool = False) -> Floats:
    """A column of numbers, NaN where there is none; of true and false only where they can stand for 1 and 0."""
    kind = _kind(table, column)
    allowed = pa.types.is_integer(kind) or pa.types.is_floating(kind) or (truths and pa.types.is_boolean(kind))
    if not (allowed or pa.types.is_null(kind)):
        raise PredictionsError(f"predictions {path}: column {column} is {kind}; it must hold numbers")
    values = table.column(column).cast(kind)
    values = values.cast(pa.uint8()) if pa.types.is_boolean(kind) else values
    return np.array(values.cast(pa.float64(), safe=False).to_numpy(), dtype=float)


def _scores(table: pa.Table, path: Path) -> Floats:
    scores, given = _numbers(table, "score", path), table.column("score")
    _refuse(np.isnan(scores), given, path, "score", "is not a number", "score every image or leave its rows out")
    outside = (scores < 0) | (scores > 1)
    _refuse(outside, given, path, "score", "is outside [0, 1]", "give probabilities, not logits")
    return scores


def _labels(table: pa.Table, path: Path) -> NDArray[np.int8]:
    labels, given = _numbers(table, "label", path, truths=True), table.column("label")
    at_fault = ~np.isin(labels, (0, 1))
    _refuse(at_fault, given, path, "label", "is neither 0 nor 1", "leave unlabelled images out")
    return labels.astype(np.int8)


def _epsilons(table: pa.Table, path: Path) -> Floats:
    if "epsilon" not in table.column_names:
        return np.full(len(table), np.nan)
    epsilons = _numbers(table, "epsilon", path)
    remedy = "give the budget, inf without privacy, or nothing where it is not known"
    _refuse(epsilons < 0, table.column("epsilon"), path, "epsilon", "is below 0", remedy)
    return epsilons


def _seeds(table: pa.Table, path: Path) -> NDArray[np.int64]:
    if "seed" not in table.column_names:
        return np.zeros(len(table), dtype=np.int64)
    given, kind = table.column("seed"), _kind(table, "seed")
    seeds = np.full(len(table), np.nan)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        seeds = _numbers(table, "seed", path)
    whole = (np.floor(seeds) == seeds) & (np.abs(seeds) < 2**53)
    _refuse(~whole, given, path, "seed", "is no whole number", "number the trainings from 0")
    return seeds.astype(np.int64)


def _grouping(table: pa.Table, column: str, path: Path) -> Any:
    kind = _kind(table, column)
    if column in RESERVED:
        raise PredictionsError(f"predictions {path}: column {column} has the name of {RESERVED[column]}; rename it")
    if " & " in column:
        raise PredictionsError(f"predictions {path}: column {column} is named like a pair of columns; rename it")
    if pa.types.is_nested(kind):
        raise PredictionsError(f"predictions {path}: column {column} holds lists; give each row one value")
    return _coded(table.column(column), kind) if _is_text(kind) else table.column(column).to_pandas().to_numpy()


def _refuse_named(
    values: pd.Categorical[Any], path: Path, column: str, at_fault: Callable[[str], bool], what: str
) -> None:
    wrong = np.array([*map(at_fault, values.categories), False], dtype=bool)[values.codes]
    _refuse(wrong, values, path, column, what, "rename it")


def _refuse(at_fault: Mask, values: Any, path: Path, column: str, what: str, remedy: str) -> None:
    if at_fault.any():
        rows = np.flatnonzero(at_fault)
        shown = ", ".join(f"row {row}: {_plain(values[int(row)])}" for row in rows[:SHOWN])
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        raise PredictionsError(f"predictions {path}: {column} {what} ({shown}{more}); {remedy}")


def _plain(value: Any) -> str:
    value = value.as_py() if isinstance(value, pa.Scalar) else value
    return "nan" if value is None else str(value)
