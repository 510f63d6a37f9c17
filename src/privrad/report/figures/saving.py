"""Writes every figure of every experiment, as SVG, PDF and CSV."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from multiprocessing import get_context
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
Job = tuple[Figured, Measurements, Path, str]
_taken: list[Job] = []


def run(
    measured: Mapping[str, Measurements],
    *,
    out: Mapping[str, Path],
    further: Mapping[str, Sequence[Figured]] | None = None,
    units: str = "images",
    threads: int = 1,
) -> None:
    """Write `<key>.svg`, `<key>.pdf` and `<key>.csv` of each figure into each experiment's folder `out`.

    A figure that is no table is drawn for a telephone too, as `<key>-narrow.svg`; the page takes both drawings.
    `further` are an experiment's own figures beyond FIGURES, `units` is what the images are called, such as scans. A
    figure for which there is nothing says why in words, over a CSV with a head alone, or with its rows where the page
    has these as a table. What must not leave has to be hidden in `measured` before.
    `threads` is how many are drawn at once.
    """
    jobs: list[Job] = []
    for name, tables in measured.items():
        mark = mark_of(tables)
        listed = (*called(FIGURES, units=units), *(further or {}).get(name, ()))
        jobs += [(figured, tables, out[name], mark) for figured in listed]
    pool = ProcessPoolExecutor(threads, mp_context=get_context("fork"), initializer=_take, initargs=(jobs,))
    with pool:
        list(pool.map(_write, range(len(jobs))))


def _take(jobs: list[Job]) -> None:
    """Have what is to be drawn in a process of its own, into which nothing can be sent that holds functions."""
    _taken[:] = jobs


def _write(place: int) -> None:
    figured, tables, out, mark = _taken[place]
    write(figured, tables, out=out, mark=mark)


def write(figured: Figured, tables: Measurements, *, out: Path, mark: str | None = None) -> None:
    """Write one figure's files into `out`; its drawings carry the `mark` of the tables, a notice does not."""
    drawn, data = figured.draw(tables, width=WIDE), figured.data(tables)
    if drawn is None:
        drawn, mark = notice(figured.missing, width=WIDE), None
        data = data if figured.tabled else data.iloc[:0]
    files_of(drawn, data, out=out, key=figured.key, mark=mark)
    if figured.kind == "figure":
        small = figured.draw(tables, width=SMALL) or notice(figured.missing, width=SMALL)
        save(small, place(out, key=figured.key, width=SMALL), mark=mark)


def files_of(figure: Figure, data: pd.DataFrame, *, out: Path, key: str, mark: str | None = None) -> None:
    """Write one figure's three files into `out`: the drawing twice, and the numbers that it shows."""
    save(figure, place(out, key=key, width=WIDE), mark=mark)
    save(figure, out / f"{key}.pdf")
    spreadsheet.write(handed_on(data), out / f"{key}.csv")


def place(folder: Path, *, key: str, width: float) -> Path:
    """Where the SVG of a figure lies."""
    return folder / (f"{key}.svg" if width == WIDE else f"{key}-narrow.svg")


def mark_of(tables: Measurements) -> str:
    """A hash of all numbers that a figure can show, for drawings of tables that may leave: they have each number."""
    found = hashlib.sha256()
    for field in fields(tables):
        table: pd.DataFrame = getattr(tables, field.name)
        found.update(f"{field.name} {' '.join(table.columns)} {len(table)}\n".encode())
        found.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return found.hexdigest()
