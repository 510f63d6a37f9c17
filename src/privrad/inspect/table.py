"""A table of the page, and the numbers in it, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from privrad.report import words


@dataclass(frozen=True)
class Cell:
    """One cell: a text, a smaller one below it, and a share from 0 to 1 where a bar is drawn."""

    text: str
    small: str = ""
    share: float | None = None


@dataclass(frozen=True)
class Table:
    """A caption, a head and rows; the first cell of each row names it. `remark` stands below."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: bool = True
    remark: str = ""


def count(value: object) -> str:
    """A whole number with thin spaces."""
    return words.number(int(str(value)))


def counted(value: int, unit: str) -> str:
    """A number and what it counts, in the singular where it is one: "1 patient"."""
    return f"{count(value)} {unit.removesuffix('s') if value == 1 else unit}"


def share(part: int, whole: int) -> Cell:
    """A part of a whole in percent, its count below; a dash where the whole is empty."""
    if not whole:
        return Cell(words.DASH)
    return Cell(words.percent(part / whole), count(part), part / whole)
