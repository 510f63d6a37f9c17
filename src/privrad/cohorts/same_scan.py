"""CT scans that stand in a table twice under two names, which only the disk tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import progress
from privrad.cohorts import rows as source
from privrad.imaging.slices import read_header
from privrad.imaging.unreadable import Unreadable


def refused(rows: pd.DataFrame, *, root: Path) -> pd.DataFrame:
    """The rows, a scan that an earlier one has already refused as a duplicate; rows with a fault do not count.

    Two rows have one scan when links lead both to one file or folder, or when both name DICOM files of one series in
    one folder, for any slice stands for its whole series. Headers are read only where rows name several files of one
    folder; a file whose header says no series is left to the reader of scans.
    """
    usable = rows.index[rows["reason"] == ""]
    places = [(root / file).resolve() for file in rows.loc[usable, "file"]]
    scan = pd.Series(_scans(places), index=usable, dtype="object")
    again = scan.duplicated().reindex(rows.index, fill_value=False)
    return source.refuse(rows, again, "duplicate_image")


def _scans(places: Sequence[Path]) -> list[tuple[str, str]]:
    """What tells each scan from the others: where it lies, or its folder and series."""
    parents = pd.Series([str(place.parent) for place in places], dtype="str")
    shared = parents.duplicated(keep=False)
    scans = []
    for place, several in progress.track(list(zip(places, shared, strict=True)), what="scans told apart"):
        series = _series(place) if several and place.is_file() else None
        scans.append((str(place), "") if series is None else (str(place.parent), f"series {series}"))
    return scans


def _series(file: Path) -> str | None:
    """The series that a file says it is of, or None."""
    try:
        return read_header(file).series
    except Unreadable:
        return None
