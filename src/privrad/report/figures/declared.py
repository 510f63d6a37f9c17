"""The figures and tables of a study: what each is called, what it says, and from which numbers it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Protocol

import pandas as pd
from matplotlib.figure import Figure

from privrad.report.figures import averages, curves, findings, scatter, tables, tradeoffs
from privrad.report.figures.rows import several
from privrad.report.measurements import Measurements


class Draw(Protocol):
    """Draws a figure `width` inches wide; None when the study has nothing for it."""

    def __call__(self, measured: Measurements, /, *, width: float) -> Figure | None: ...


@dataclass(frozen=True)
class Figured:
    """One figure or drawn table; no digit stands in `title`, `caption` and `missing`.

    `key` names its files, `paper` is what it repeats of the paper ("" for what is not in it), `missing` says why it
    would be empty, `data` gives the rows that it is drawn from. `titled` is the title that a study sees, of whose one
    finding nothing is averaged. `tabled` is whether the page has its rows as a table, too: they stay in its file where
    nothing can be drawn, as those that are hidden.
    """

    key: str
    title: str
    paper: str
    kind: Literal["figure", "table"]
    caption: Callable[[Measurements], str]
    draw: Draw
    data: Callable[[Measurements], pd.DataFrame]
    missing: str
    tabled: bool = False

    def titled(self, measured: Measurements) -> str:
        """The title, in which results of one finding are not called an average."""
        return self.title if several(measured) else self.title.replace("Average results", "Results")


AVERAGES = (
    " on the test set against the privacy budget; bars and band are intervals. "
    "Dashed: without privacy; open and dotted: too few patients to be sure of. Cut-offs are Youden's and the same for "
    "all groups; "
)
CHOSEN = "The most and the least private training and the one without privacy; "


def called(figured: Sequence[Figured], *, units: str) -> list[Figured]:
    """The same figures, in which images are called `units`, such as scans."""
    drawn = partial(tables.draw_groups, units=units)
    return [replace(each, draw=drawn) if each.draw is tables.draw_groups else each for each in figured]


def _cut(measured: Measurements) -> str:
    """Which patients the cut-offs come from."""
    rules = set(measured.metrics["rule"])
    where = "validation" if "youden" in rules or "youden_test" not in rules else "the test set itself"
    return f"they were chosen on {where}."


def _averages(measured: Measurements, *, by_group: bool = False) -> str:
    of_first = " All is of the first training." * bool(_trainings(measured))
    return (
        ("Averages over the findings" if several(measured) else "Results")
        + AVERAGES
        + _cut(measured)
        + " The trainings were tuned for AUROC, so that the other three vary more."
        + (of_first if by_group else _trainings(measured))
    )


def _trainings(measured: Measurements) -> str:
    """How several trainings are drawn."""
    several_of = measured.metrics.groupby("arm")["seed"].nunique().gt(1).any()
    return " The line is of the first training, open dots are further ones." * bool(several_of)


def _of_groups(measured: Measurements) -> str:
    averaged = several(measured)
    said = f"Cases in the test set, AUROC{' averaged over findings' * averaged}, and accuracy difference (the "
    said += "paper's “statistical parity difference”: a group less the weighted mean of the others), by group and "
    said += "privacy budget. Sampling σ is the spread over redraws of patients"
    said += "; pooled σ, the paper's, also holds the spread between findings." if averaged else "."
    trained = " Where an arm has several trainings, their mean and the σ between them stand below, the paper's of CT."
    return said + trained * bool(_trainings(measured))


def _say(words: str) -> Callable[[Measurements], str]:
    return lambda measured: words


def _of_column(key: str, column: str, *, paper: str) -> Figured:
    return Figured(
        key=key,
        title=f"Average results by {column}",
        paper=paper,
        kind="figure",
        caption=partial(_averages, by_group=True),
        draw=partial(averages.by_group, column=column),
        data=partial(averages.rows, column=column),
        missing=f"No numbers by {column}: the test set does not have it, or its groups are too small.",
    )


FIGURES: tuple[Figured, ...] = (
    Figured(
        key="figure-2",
        title="Average results",
        paper="Figure 2",
        kind="figure",
        caption=_averages,
        draw=averages.overall,
        data=partial(averages.rows, column="all"),
        missing="No average over the findings was estimable.",
    ),
    Figured(
        key="figure-3",
        title="AUROC of each finding",
        paper="Figure 3",
        kind="figure",
        caption=lambda measured: (
            "AUROC of each finding on the test set against the privacy budget, with intervals; all panels share "
            "their axes. Dashed: without privacy." + _trainings(measured)
        ),
        draw=findings.draw,
        data=findings.rows,
        missing="No AUROC of a finding was estimable.",
    ),
    _of_column("figure-4", "age", paper="Figure 4"),
    _of_column("figure-5", "sex", paper="Figure 5"),
    Figured(
        key="figure-s9",
        title="AUROC, its drop, and the number of cases",
        paper="Supplementary Figure 9",
        kind="figure",
        caption=_say(
            "Each point is a finding: its AUROC without privacy and with the largest finite budget, the drop between "
            "them, and its cases in the test set. An interval says what other test patients would give for "
            "these findings; from so few points nothing follows for other findings."
        ),
        draw=scatter.draw,
        data=scatter.rows,
        missing="No finding has an AUROC both with and without privacy, or there is only one.",
    ),
    Figured(
        key="trade-offs",
        title="Privacy, accuracy and fairness",
        paper="",
        kind="figure",
        caption=lambda measured: (
            f"What a smaller privacy budget costs, on one axis: above, the {'mean ' * several(measured)}AUROC"
            f"{' over findings' * several(measured)} and that of the worst group; below, how far the best group lies "
            "above the worst. A range is never below zero, and chance alone makes it larger than zero. Dashed: without "
            "privacy." + _trainings(measured)
        ),
        draw=tradeoffs.draw,
        data=tradeoffs.rows,
        missing="No average over the findings was estimable.",
    ),
    Figured(
        key="roc",
        title="ROC curves",
        paper="",
        kind="figure",
        caption=_say(CHOSEN + "bands are pointwise intervals, dotted is chance."),
        draw=curves.roc,
        data=partial(curves.of_curve, curve="roc"),
        missing="No ROC curve was estimable, or its steps are hidden.",
    ),
    Figured(
        key="precision-recall",
        title="Precision-recall curves",
        paper="",
        kind="figure",
        caption=_say(CHOSEN + "bands are pointwise intervals. Precision depends on how frequent a finding is."),
        draw=curves.precision_recall,
        data=partial(curves.of_curve, curve="pr"),
        missing="No precision-recall curve was estimable, or its steps are hidden.",
    ),
    Figured(
        key="reliability",
        title="Reliability of the scores",
        paper="",
        kind="figure",
        caption=_say(
            CHOSEN + "a point is a bin of the score; on the dotted line, scores are as high as findings are frequent."
        ),
        draw=curves.reliability,
        data=lambda measured: curves.of_bins(measured.reliability),
        missing="No bin of the scores can be shown.",
    ),
    Figured(
        key="score-distributions",
        title="Distribution of the scores",
        paper="",
        kind="figure",
        caption=_say(
            "How the scores with and without each finding are spread: filled, the least private training; "
            "outlined, the one without privacy."
        ),
        draw=curves.scores,
        data=lambda measured: curves.of_bins(measured.scores),
        missing="No distribution of the scores can be shown.",
    ),
    Figured(
        key="table-1",
        title="Cases and results by group",
        paper="Table 1",
        kind="table",
        caption=_of_groups,
        draw=tables.draw_groups,
        data=tables.of_groups,
        missing="Nothing was measured.",
    ),
    Figured(
        key="tables-s2-to-s8",
        title="Results of each finding",
        paper="Supplementary Tables 2 to 8",
        kind="table",
        caption=lambda measured: (
            "AUROC, accuracy, specificity and sensitivity of each finding with intervals, a table a training; "
            "cut-offs are Youden's, " + _cut(measured)
        ),
        draw=tables.draw_findings,
        data=tables.of_findings,
        missing="Nothing was measured.",
    ),
)
