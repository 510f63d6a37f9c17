"""Source tables: read as text, with every fault of a whole table told before any work."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from privrad.config import Cohort

UNREADABLE = (OSError, EOFError, zlib.error, csv.Error, pd.errors.ParserError, pd.errors.EmptyDataError)


class CohortError(ValueError):
    """A cohort that cannot be used as a whole; the message names table and column, and how to mend it."""


def mapped(
    cohort: Cohort, *, defaults: Mapping[str, str], required: Collection[str], beside: Collection[str] = ()
) -> dict[str, str]:
    """The source's column of each of ours, after `cohort.columns`; "none" says that a cohort lacks one.

    `beside` are keys of `cohort.columns` that, as "table", name no column. Raises CohortError for a key that the layout
    does not know, and for a required column declared "none".
    """
    allowed = {*defaults, "table", *beside}
    unknown = sorted(set(cohort.columns) - allowed)
    if unknown:
        raise CohortError(
            f"cohort {cohort.id}: columns has {', '.join(unknown)}; "
            f"layout {cohort.layout} takes {', '.join(sorted(allowed))}"
        )
    merged = {**defaults, **{ours: cohort.columns[ours] for ours in defaults if ours in cohort.columns}}
    lacking = sorted(ours for ours in required if merged[ours] == "none")
    if lacking:
        raise CohortError(f"cohort {cohort.id}: columns.{lacking[0]} must name a column; no cohort can do without it")
    return {ours: theirs for ours, theirs in merged.items() if theirs != "none"}


def read(
    root: Path, name: str, *, columns: Mapping[str, str], optional: Collection[str] = (), hint: str = ""
) -> pd.DataFrame:
    """Read chosen columns of one CSV table (plain or .gz) as stripped text, under our names.

    `columns` maps our name to the table's; those in `optional` may be missing from the table. `hint` is added to the
    complaint about a missing column. Raises CohortError when the table is missing, unreadable, not UTF-8, empty, or
    lacks a column.
    """
    path = root / name
    if not path.is_file():
        there = ", ".join(sorted(entry.name for entry in root.glob("*.csv*"))) or "no CSV table"
        raise CohortError(f"table {name} is missing in {root}; there is {there}. Put it there or correct the study")
    try:
        header = _header(path)
        chosen = _chosen(header, name, columns, optional, hint)
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CohortError(f"table {name} is not UTF-8 text; save it as CSV in UTF-8") from None
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise CohortError(
            f"table {name} is no readable CSV ({reason}); save it as comma-separated UTF-8 text"
        ) from None
    if raw.empty:
        raise CohortError(f"table {name} has a header but no row; export it again")
    if not isinstance(raw.index, pd.RangeIndex):
        raise CohortError(f"table {name} has rows with more cells than its header; quote cells that hold commas")
    stripped = {theirs: raw[theirs].fillna("").str.strip() for theirs in dict.fromkeys(chosen.values())}
    for theirs, cells in stripped.items():
        broken = cells.str.contains("[\r\n]", regex=True)
        if broken.any():
            raise CohortError(
                f"table {name} has a line break within column {theirs}, in row {int(broken.argmax()) + 1} below the "
                "header: a quote opened there is closed in a later row, which would be lost; correct the quotes"
            )
    return pd.DataFrame({ours: stripped[theirs] for ours, theirs in chosen.items()}, index=raw.index)


def once(table: pd.DataFrame, *, by: list[str], name: str) -> pd.DataFrame:
    """The table itself, indexed by `by`; CohortError when a key stands in more than one row."""
    repeated = int(table.duplicated(by).sum())
    if repeated:
        raise CohortError(f"table {name} has {repeated} rows that repeat {' and '.join(by)}; keep one row of each")
    return table.set_index(by)


def _header(path: Path) -> list[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, mode="rt", encoding="utf-8-sig", newline="") as stream:
        return next(csv.reader(stream), [])


def _chosen(
    header: list[str], name: str, columns: Mapping[str, str], optional: Collection[str], hint: str
) -> dict[str, str]:
    missing = [theirs for ours, theirs in columns.items() if theirs not in header and ours not in optional]
    if missing:
        there = ", ".join(header) or "nothing"
        separator = " Separate its columns by commas." if len(header) == 1 and (";" in there or "\t" in there) else ""
        raise CohortError(
            f"table {name} lacks column {', '.join(dict.fromkeys(missing))}; it has {there}.{separator} "
            f"Correct the table or the study file{hint}"
        )
    chosen = {ours: theirs for ours, theirs in columns.items() if theirs in header}
    repeated = sorted({theirs for theirs in chosen.values() if header.count(theirs) > 1})
    if repeated:
        raise CohortError(f"table {name} has more than one column {', '.join(repeated)}; rename or remove the others")
    return chosen
