"""The figures of the page, each at two widths and in the colours of its theme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from privrad.report import figures, inline
from privrad.report.account import Account
from privrad.report.figures import Figured

WIDTHS = (figures.WIDE, figures.SMALL)


@dataclass(frozen=True)
class Plate:
    """One figure at two widths, of which the page shows the fitting one; `data` is the file with its numbers."""

    wide: Markup
    narrow: Markup
    title: str
    caption: str
    data: str


def of(account: Account, *, further: Sequence[Figured] = (), drawn: Path | None = None) -> dict[str, Plate]:
    """The figures of an experiment, `further` ones too, where there is something to draw; tables are not drawn.

    Drawings of the same numbers are taken from the folder `drawn`; others, such as exact ones, are made.
    """
    mark = figures.mark_of(account.measured) if drawn else ""
    made = {}
    for each in (*figures.FIGURES, *further):
        if each.kind == "figure":
            drawings = [_drawing(each, account, width=width, drawn=drawn, mark=mark) for width in WIDTHS]
            if all(drawings):
                made[each.key] = _plate(account, each, *map(str, drawings))
    return made


def _drawing(figured: Figured, account: Account, *, width: float, drawn: Path | None, mark: str) -> str | None:
    """The SVG of a figure, from the folder `drawn` where the one there carries `mark`; None if nothing is to draw."""
    file = figures.place(drawn, key=figured.key, width=width) if drawn else None
    if file and file.is_file():
        held = file.read_text(encoding="utf-8", errors="replace")
        if figures.marked(held, mark):
            return held
    figure = figured.draw(account.measured, width=width)
    return figures.as_svg(figure) if figure else None


def _plate(account: Account, figured: Figured, wide: str, narrow: str) -> Plate:
    label = f"{account.name}-{figured.key}"
    title = figured.titled(account.measured)
    described = f"{title}; the file named below has the same numbers."
    return Plate(
        wide=inline.svg(wide, name=f"{label}-wide", described=described),
        narrow=inline.svg(narrow, name=f"{label}-narrow", described=described),
        title=title,
        caption=figured.caption(account.measured),
        data=f"{account.name}/figures/{figured.key}.csv",
    )
