"""The summary's table, in which each arm's interval is a strip."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from privrad.report import number, tables, words
from privrad.report.account import Account
from privrad.report.shown import (
    Line,
    averaged,
    confidence,
    estimate,
    mean_auroc,
    measured,
    named,
    over_trainings,
)
from privrad.report.tables import Cell, Given, Table, Text


def of_arms(account: Account, chosen: Sequence[Line]) -> Table:
    """Each arm's mean AUROC with its interval as a strip, what it loses, and the group that it serves worst."""
    floor = lowest(chosen)
    repeated = any(over_trainings(account, line.arm.name) for line in chosen)
    rows: list[list[Given]] = []
    for line in chosen:
        worst = Cell((words.DASH,))
        if line.worst:
            worst = Cell((measured(account, "metrics.csv", line.worst, "value"),), (named(line.worst),))
        mean, cost = estimate(account, "metrics.csv", line.mean), estimate(account, "differences.csv", line.cost)
        trained = [_trained(account, line)] * repeated
        rows.append([line.name, mean, _strip(line, floor=floor), *trained, cost, worst])
    ends = Markup('<span class="ends" data-said><span>{:g}</span><span>1</span></span>').format(floor)
    auroc = mean_auroc(account)
    auroc = auroc[:1].upper() + auroc[1:]
    over = ["Mean over trainings"] * repeated
    head: list[Given] = ["Model", auroc, ends, *over, "Lost to no privacy", "Worst group"]
    said = f"{auroc}{' over findings' * averaged(account)} at each epsilon"
    said += ", of the first training" * repeated
    caption: Text = (f"{said}, ", confidence(account), " intervals; ")
    caption += (number.Said("0.5 is chance, 1 is perfect"),)
    source = f"{account.evaluate}/metrics.csv, differences.csv" + ", seeds.csv" * repeated
    return tables.table(caption, head, rows, source=source)


def _trained(account: Account, line: Line) -> Cell:
    """The mean over an arm's trainings, over their standard deviation."""
    row = over_trainings(account, line.arm.name)
    if row is None:
        return Cell((words.DASH,))
    spread = measured(account, "seeds.csv", row, "sd")
    return Cell((measured(account, "seeds.csv", row, "mean"),), ("sd ", spread))


def lowest(chosen: Sequence[Line]) -> float:
    """Where the axis of the strips begins: at chance, or below."""
    lows = [line.bounds[0] for line in chosen if math.isfinite(line.bounds[0])]
    return min([0.5, *(math.floor(20 * low) / 20 for low in lows)])


def _strip(line: Line, *, floor: float) -> Markup:
    """An interval and its value on an axis from `floor` to 1."""
    if not math.isfinite(line.value):
        return Markup("")
    low, value, high = (
        f"{(at - floor) * 100 / (1 - floor):.2f}" for at in (line.bounds[0], line.value, line.bounds[1])
    )
    drawn = Markup('<line class="axis" x1="0" y1="7" x2="100" y2="7"/>')
    if math.isfinite(line.bounds[0]):
        drawn += Markup('<line class="range {}" x1="{}" y1="7" x2="{}" y2="7"/>').format(line.arm.recipe, low, high)
    drawn += Markup('<line class="point {}" x1="{}" y1="1.5" x2="{}" y2="12.5"/>').format(line.arm.recipe, value, value)
    frame = '<svg class="strip" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    return Markup(frame).format(drawn)
