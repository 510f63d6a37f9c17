"""Writes every figure of every experiment, as SVG, PDF and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from privrad.report import spreadsheet
from privrad.report.figures.declared import FIGURES, Figured, called
from privrad.report.figures.rows import handed_on
from privrad.report.figures.style import notice, save
from privrad.report.measurements import Measurements

WIDE, SMALL = 10.0, 4.3
"""The two widths of a figure, in inches: for a page and for a telephone."""
FORMATS = ("svg", "pdf", "csv")


def run(
    measured: Mapping[str, Measurements],
    *,
    out: Mapping[str, Path],
    further: Mapping[str, Sequence[Figured]] | None = None,
    units: str = "images",
) -> None:
    """Write `<key>.svg`, `<key>.pdf` and `<key>.csv` of each figure into each experiment's folder `out`.

    `further` are an experiment's own figures beyond FIGURES, `units` is what the images are called, such as scans. A
    figure for which there is nothing says why in words, over a CSV with a head alone, or with its rows where the page
    has these as a table. What must not leave has to be hidden in `measured` before.
    """
    for name, tables in measured.items():
        for figured in (*called(FIGURES, units=units), *(further or {}).get(name, ())):
            write(figured, tables, out=out[name])


def write(figured: Figured, tables: Measurements, *, out: Path) -> None:
    """Write one figure's three files into `out`."""
    drawn, data = figured.draw(tables, width=WIDE), figured.data(tables)
    if drawn is None:
        drawn = notice(figured.missing, width=WIDE)
        data = data if figured.tabled else data.iloc[:0]
    files_of(drawn, data, out=out, key=figured.key)


def files_of(figure: Figure, data: pd.DataFrame, *, out: Path, key: str) -> None:
    """Write one figure's three files into `out`: the drawing twice, and the numbers that it shows."""
    for suffix in ("svg", "pdf"):
        save(figure, out / f"{key}.{suffix}")
    spreadsheet.write(handed_on(data), out / f"{key}.csv")
