"""CSV files that people open in a spreadsheet, in which no cell of text can be taken for a formula."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from privrad import files


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the table as UTF-8 CSV, atomically, each cell and head as `files.cell` has it; what is missing is empty."""
    with files.atomic(path) as temporary:
        safe = table.map(files.cell).rename(columns=files.cell)
        safe.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8", errors="backslashreplace")
