"""The curves of one arm as small panels, one a finding, that the page arranges by its width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from privrad.report import words
from privrad.report.account import Account
from privrad.report.shown import first_seeds

SIDE, LEFT, BELOW = 120, 22, 16
CURVES = (
    ("roc", "ROC curves", "false-positive rate", "sensitivity"),
    ("pr", "Precision-recall curves", "recall", "precision"),
)
FRAME = (
    f'<svg viewBox="0 0 {LEFT + SIDE + 6} {SIDE + BELOW + 4}" aria-hidden="true">'
    f'<path class="frame" d="M{LEFT} 4h{SIDE}v{SIDE}h-{SIDE}z"/>'
    f'<text x="{LEFT - 4}" y="12" text-anchor="end">1</text>'
    f'<text x="{LEFT - 4}" y="{SIDE + 4}" text-anchor="end">0</text>'
    f'<text x="{LEFT}" y="{SIDE + BELOW}" text-anchor="middle">0</text>'
    f'<text x="{LEFT + SIDE}" y="{SIDE + BELOW}" text-anchor="middle">1</text>'
)


@dataclass(frozen=True)
class Panel:
    """One finding's curve over its band."""

    finding: str
    drawn: Markup


@dataclass(frozen=True)
class Panels:
    """The curves of one kind, and what stands on their axes."""

    title: str
    across: str
    upward: str
    panels: Sequence[Panel]


def of_arm(account: Account, arm: str) -> list[Panels]:
    """The ROC and precision-recall curves of an arm, first seed, where there are any that may be shown."""
    mine = first_seeds(account.measured.curves)
    mine = mine[(mine["arm"] == arm) & mine["y"].notna()]
    made = []
    for curve, title, across, upward in CURVES:
        held = mine[mine["curve"] == curve]
        findings = [finding for finding in account.experiment.findings if finding in set(held["finding"])]
        panels = [
            Panel(words.finding(finding), _drawn(held[held["finding"] == finding], chance=curve == "roc"))
            for finding in findings
        ]
        made += [Panels(title, across, upward, panels)] if panels else []
    return made


def _drawn(rows: pd.DataFrame, *, chance: bool) -> Markup:
    rows = rows.sort_values("x", kind="stable")
    band = rows[rows["low"].notna() & rows["high"].notna()]
    parts = [FRAME]
    if chance:
        parts.append(f'<path class="chance" d="M{LEFT} {SIDE + 4}l{SIDE} -{SIDE}"/>')
    if len(band):
        edge = [*zip(band["x"], band["high"], strict=True), *zip(band["x"][::-1], band["low"][::-1], strict=True)]
        parts.append(f'<path class="band" d="M{_points(edge)}z"/>')
    parts.append(f'<path class="curve" d="M{_points(zip(rows["x"], rows["y"], strict=True))}"/></svg>')
    return Markup("".join(parts))


def _points(points: Iterable[tuple[float, float]]) -> str:
    return "L".join(f"{LEFT + SIDE * x:.4g} {4 + SIDE * (1 - y):.4g}" for x, y in points)
