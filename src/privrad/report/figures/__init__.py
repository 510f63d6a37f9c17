"""The figures and tables of a study: pure functions from its measurements, listed in FIGURES; drawn without a display.

Epsilon stands on a logarithmic axis; 0 (not fine-tuned) and infinity (no privacy) have no place on it and stand apart
at its ends.
"""

from privrad.report.figures.axis import first_seeds, places
from privrad.report.figures.declared import FIGURES, Figured
from privrad.report.figures.saving import FORMATS, SMALL, WIDE, mark_of, place, run, write
from privrad.report.figures.style import (
    BUDGET,
    GRID,
    INK,
    MARKERS,
    MATCHED,
    MUTED,
    NARROW,
    PAPER,
    PLAIN,
    SERIES,
    STYLE,
    UNTRAINED,
    ZONE,
    as_svg,
    marked,
    notice,
    save,
)

__all__ = [
    "BUDGET",
    "FIGURES",
    "FORMATS",
    "GRID",
    "INK",
    "MARKERS",
    "MATCHED",
    "MUTED",
    "NARROW",
    "PAPER",
    "PLAIN",
    "SERIES",
    "SMALL",
    "STYLE",
    "UNTRAINED",
    "WIDE",
    "ZONE",
    "Figured",
    "as_svg",
    "first_seeds",
    "mark_of",
    "marked",
    "notice",
    "place",
    "places",
    "run",
    "save",
    "write",
]
