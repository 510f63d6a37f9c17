"""A table of results, as text, held against the same numbers computed again."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privrad.verify.check import Check
from privrad.verify.read import VerifyError

NEAR = 1e-9
"""How far a number may lie from the same number computed again."""
Key = tuple[str, ...]
Rows = Mapping[Key, Mapping[str, Any]]
NOTHING: Mapping[str, float] = {}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A CSV file: the name that it is told by, and its rows as text by the values of the columns `keys`."""

    name: str
    keys: tuple[str, ...]
    rows: Mapping[Key, Mapping[str, str]]
    repeated: tuple[Key, ...] = ()


def read(path: Path, *, name: str, keys: Sequence[str]) -> Table:
    """Read a table; VerifyError where it cannot be read or lacks a key."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            held = list(reader)
            columns = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise VerifyError(f"{name} cannot be read ({error})") from None
    missing = [key for key in keys if key not in columns]
    if missing:
        raise VerifyError(f"{name} has no column {', '.join(missing)}")
    rows: dict[Key, dict[str, str]] = {}
    repeated = []
    for row in held:
        if None in row or None in row.values():
            raise VerifyError(f"{name} has a row of another length than its head")
        key = tuple(row[column] for column in keys)
        repeated += [key] * (key in rows)
        rows[key] = row
    return Table(name=name, keys=tuple(keys), rows=rows, repeated=tuple(repeated))


def held(table: Table, found: Rows, *, sought: Mapping[str, float] = NOTHING) -> Iterator[Check]:
    """Compare a table with what is found: every column that a row of `found` has; None in it is not compared.

    Both must have the same rows. `sought` says by how much more than rounding a column may differ. One check speaks for
    all rows that hold, and each other row has its own.
    """
    holding = 0
    for key in table.repeated:
        yield _row(table, key, "once", "twice")
    for key, expected in found.items():
        row = table.rows.get(key)
        if row is None:
            yield _row(table, key, "no such row", "a row")
            continue
        wrong = [
            column
            for column, value in expected.items()
            if value is not None and not same(row.get(column), value, near=sought.get(column, NEAR))
        ]
        if wrong:
            said, told = (
                {column: row.get(column) for column in wrong},
                {column: _plain(expected[column]) for column in wrong},
            )
            yield _row(table, key, said, told)
        else:
            holding += 1
    for key in table.rows.keys() - found.keys():
        yield _row(table, key, "a row", "no such row")
    if holding:
        yield Check(what="rows", file=table.name, said=holding, found=holding, holds=True, count=holding)


def same(said: str | None, found: Any, *, near: float = NEAR) -> bool:
    """Whether a cell says what was found: numbers to `near`, nothing for NaN, anything else exactly."""
    if said is None:
        return False
    if isinstance(found, bool) or not isinstance(found, int | float):
        return said == str(found)
    if math.isnan(found):
        return said == ""
    try:
        return math.isclose(float(said), found, rel_tol=near, abs_tol=near) if said else False
    except ValueError:
        return False


def number(text: str) -> float:
    """A cell as a number, NaN where it is empty; ValueError where it is neither."""
    return float(text) if text else math.nan


def joined(parts: Iterable[Rows]) -> dict[Key, Mapping[str, Any]]:
    """Several findings on the same rows as one."""
    together: dict[Key, dict[str, Any]] = {}
    for part in parts:
        for key, values in part.items():
            together.setdefault(key, {}).update(values)
    return dict(together)


def _row(table: Table, key: Key, said: Any, found: Any) -> Check:
    what = ";".join(f"{column}={value}" for column, value in zip(table.keys, key, strict=True))
    return Check(what=what, file=table.name, said=said, found=found, holds=False)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
