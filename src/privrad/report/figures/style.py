"""How every figure looks, and how one is saved; drawn without a display."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from privrad import files

INK, MUTED, GRID, ZONE, PAPER = "#1c2733", "#5b6875", "#dfe4ea", "#f3f5f8", "#ffffff"
BUDGET, PLAIN, MATCHED, UNTRAINED = "#1f6fb2", "#1c2734", "#c2570c", "#5b6876"
SERIES = ("#1f6fb3", "#c2570d", "#11836f", "#9a3f8f", "#8a6d00", "#4b4fb0", "#a3333d")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
NARROW = 5.0
"""Figures up to this width, in inches, are laid out for a telephone."""

STYLE: Any = {
    "svg.hashsalt": "privrad",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["Liberation Sans", "Arial", "Helvetica", "DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "pdf.fonttype": 42,
}


def drawn_as(order: int) -> tuple[str, str]:
    """The colour and the marker of the series at `order`; the first 49 differ in one of the two."""
    return SERIES[order % len(SERIES)], MARKERS[(order + order // len(SERIES)) % len(MARKERS)]


def notice(words: str, *, width: float) -> Figure:
    """A figure that says in words why there is nothing to draw; `width` in inches."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 0.9))
        figure.text(0.02, 0.5, words, color=MUTED, va="center", wrap=True)
    return figure


def as_svg(figure: Figure, *, mark: str | None = None) -> str:
    """The figure as SVG, with deterministic bytes; it carries the `mark` of the numbers that it shows, where given."""
    _lay_out(figure)
    written, told = io.StringIO(), {"Identifier": mark} if mark else {}
    with matplotlib.rc_context(STYLE):
        figure.savefig(written, format="svg", metadata={"Date": None, **told})
    return written.getvalue()


def marked(drawing: str, mark: str) -> bool:
    """Whether an SVG of `as_svg` carries this mark."""
    return f"<dc:identifier>{mark}</dc:identifier>" in drawing


def save(figure: Figure, path: Path, *, mark: str | None = None) -> None:
    """Write the figure, as SVG or PDF by the suffix of `path`, atomically and with deterministic bytes."""
    if path.suffix == ".svg":
        files.write_text(path, as_svg(figure, mark=mark))
        return
    _lay_out(figure)
    with matplotlib.rc_context(STYLE), files.atomic(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], metadata={"CreationDate": None})


def _lay_out(figure: Figure) -> None:
    """Place the panels once and for all, in points; Matplotlib would do it, and draw all in vain, at each saving."""
    engine = figure.get_layout_engine()
    if engine is None:
        return
    with matplotlib.rc_context(STYLE):
        FigureCanvasSVG(figure)
        figure.dpi = 72
        engine.execute(figure)
        figure.set_layout_engine(None)
