"""The figures of the page, each at two widths and in the colours of its theme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from privrad.report import figures, inline
from privrad.report.account import Account
from privrad.report.figures import Figured
from privrad.report.measurements import Measurements


@dataclass(frozen=True)
class Plate:
    """One figure at two widths, of which the page shows the fitting one; `data` is the file with its numbers."""

    wide: Markup
    narrow: Markup
    title: str
    caption: str
    data: str


def of(account: Account, *, further: Sequence[Figured] = ()) -> dict[str, Plate]:
    """The figures of an experiment, `further` ones too, where there is something to draw; tables are not drawn."""
    made = {
        each.key: _plate(account, each, account.measured)
        for each in (*figures.FIGURES, *further)
        if each.kind == "figure"
    }
    return {key: plate for key, plate in made.items() if plate}


def _plate(account: Account, figured: Figured, measured: Measurements) -> Plate | None:
    wide, narrow = (figured.draw(measured, width=width) for width in (figures.WIDE, figures.SMALL))
    if wide is None or narrow is None:
        return None
    label = f"{account.name}-{figured.key}"
    title = figured.titled(measured)
    described = f"{title}; the file named below has the same numbers."
    return Plate(
        wide=inline.svg(wide, name=f"{label}-wide", described=described),
        narrow=inline.svg(narrow, name=f"{label}-narrow", described=described),
        title=title,
        caption=figured.caption(measured),
        data=f"{account.name}/figures/{figured.key}.csv",
    )
