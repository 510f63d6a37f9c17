"""CSV files that people open in a spreadsheet, in which no cell of text can be taken for a formula."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from privrad import files

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def neutralised(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before each text, heads too, that a spreadsheet would take for a formula.

    Numbers stay numbers, negative ones too. A carriage return, which some programs take for the end of a row, becomes
    a space. Source: OWASP, "CSV injection".
    """
    return table.map(_cell).rename(columns=_cell)


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the table as UTF-8 CSV, neutralised, atomically; what is missing is an empty cell."""
    with files.atomic(path) as temporary:
        neutralised(table).to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    return ("'" * value.startswith(FORMULA) + value).replace("\r", " ")
