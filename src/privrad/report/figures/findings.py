"""Figure 3 of the paper: the AUROC of each finding against epsilon."""

from __future__ import annotations

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from privrad.report import words
from privrad.report.figures import axis
from privrad.report.figures.layout import finish, legend, panels_of
from privrad.report.figures.style import NARROW, STYLE
from privrad.report.measurements import Measurements


def rows(tables: Measurements) -> pd.DataFrame:
    """The rows of metrics that are drawn."""
    metrics = tables.metrics
    return metrics[(metrics["group_by"] == "all") & (metrics["finding"] != "mean") & (metrics["metric"] == "auroc")]


def draw(tables: Measurements, *, width: float) -> Figure | None:
    """A panel a finding; None when no finding was estimable."""
    chosen = rows(tables)
    if not chosen["value"].notna().any():
        return None
    findings = list(dict.fromkeys(chosen["finding"]))
    wide = width > NARROW
    height, columns, taller = panels_of(len(findings), width=width)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 0.9 + 1.8 * height * taller), layout="constrained")
        panels = list(figure.subplots(height, columns, sharex=True, sharey=True, squeeze=False).ravel())
        at = axis.places(chosen)
        for axes, finding in zip(panels, findings, strict=False):
            axis.frame(axes, at, inches=width / columns - 0.4)
            axis.share_of_one(axes, chosen)
            axis.curve(axes, at, rows=chosen[chosen["finding"] == finding])
            axes.set_title(words.finding(finding), fontsize=9.5 if wide else 8.5)
        finish(figure, panels, used=len(findings), x=axis.SAID, y="AUROC")
        legend(figure, panels, columns=4 if wide else 2)
    return figure
