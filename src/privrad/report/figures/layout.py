"""How panels share a figure: their rows and columns, one legend, and one label for each direction."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privrad.report.figures.style import NARROW


def panels_of(figures: int, *, width: float) -> tuple[int, int, float]:
    """Rows and columns of so many panels on a figure so wide, and how much higher than usual a single row is."""
    most = 4 if width > NARROW else 2
    columns = min(most, max(figures, most // 2))
    rows = math.ceil(figures / columns)
    return rows, columns, 1.0 if rows > 1 else 1.5


def finish(figure: Figure, panels: Sequence[Axes], *, used: int, x: str, y: str) -> None:
    """Label a figure of which the first `used` panels are drawn, and take the others away."""
    for axes in panels[used:]:
        axes.set_axis_off()
    if used == 1:
        panels[0].set_xlabel(x, fontsize=9.5)
        panels[0].set_ylabel(y, fontsize=9.5)
    else:
        figure.supxlabel(x, fontsize=9.5)
        figure.supylabel(y, fontsize=9.5)


def legend(figure: Figure, panels: Sequence[Axes], *, columns: int) -> None:
    """One legend above all panels, of every series that some panel shows."""
    held: dict[str, Artist] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        held |= dict(zip(labels, handles, strict=True))
    rows = math.ceil(len(held) / columns)
    figure.legend(
        list(held.values()), list(held), loc="outside upper left", ncols=math.ceil(len(held) / rows), handlelength=1.5,
        columnspacing=1.4,
    )  # fmt: skip
