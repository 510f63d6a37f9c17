"""Whether how an image was taken gives its finding away: bedside films of the sickest, standing ones of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from privrad.inspect.table import Cell, Table, share
from privrad.report import words

APART = 0.2
"""The difference between the two shares from which it is told."""
FEWEST = 10
"""The images with, and those without, a finding below which a share says nothing."""


@dataclass(frozen=True)
class Shares:
    """Of images with a finding and of those without: how many were taken in one way, of how many whose way is known."""

    finding: str
    way: str
    positive: tuple[int, int]
    negative: tuple[int, int]

    @property
    def difference(self) -> float | None:
        """The share among positives less that among negatives; None where either has too few images."""
        (with_it, positives), (without, negatives) = self.positive, self.negative
        if min(positives, negatives) < FEWEST:
            return None
        return with_it / positives - without / negatives

    @property
    def apart(self) -> bool:
        """Whether the shares differ so much that a network may learn the way instead of the finding."""
        return self.difference is not None and round(abs(self.difference), 9) >= APART


def shares(taken: pd.DataFrame, findings: Sequence[str]) -> list[Shares]:
    """The shares of AP and of bedside images, each where both it and its opposite occur.

    Bedside is left out where it says the same of every image as AP.
    """
    viewed, placed = taken["view"] != "", taken["bedside"].notna()
    ways = {
        "AP": (taken["view"] == "AP")[viewed],
        "bedside": taken["bedside"].fillna(False).astype("bool")[placed],
    }
    if ways["AP"].equals(ways["bedside"]):
        del ways["bedside"]
    found = []
    for way, taken_so in ways.items():
        if taken_so.nunique() < 2:
            continue
        for finding in findings:
            positive = taken.loc[taken_so.index, finding] == 1
            counted = [(int(taken_so[who].sum()), int(who.sum())) for who in (positive, ~positive)]
            found.append(Shares(finding, way, *counted))
    return found


def table(found: Sequence[Shares]) -> Table:
    """Every finding and way, with the difference."""
    lines = []
    for one in found:
        away = words.DASH if one.difference is None else f"{100 * one.difference:+.0f}".replace("-", "\N{MINUS SIGN}")
        name = Cell(words.finding(one.finding), f"{one.way} images")
        lines.append((name, share(*one.positive), share(*one.negative), Cell(away)))
    head = ("finding", "among images with it", "among those without", "difference, points")
    remark = (
        f"Told at {100 * APART:.0f} points or more, with {FEWEST} images or more on either side. AP films are mostly "
        "taken at the bedside, of patients who cannot stand."
    )
    return Table("How the images were taken, with and without each finding", head, lines, remark=remark)


def told(found: Sequence[Shares]) -> list[str]:
    """A sentence for each way of taking images that goes with some findings."""
    apart: dict[str, list[str]] = {}
    for one in found:
        if one.apart:
            among, against = (words.percent(part / whole) for part, whole in (one.positive, one.negative))
            apart.setdefault(one.way, []).append(f"{words.inside(one.finding)} {among} against {against}")
    return [
        f"How an image was taken goes with what it shows. {way} images among those with and those without a finding: "
        f"{'; '.join(numbers)}. A network can score well by telling {way} images from the others, so compare accuracy "
        "within each."
        for way, numbers in apart.items()
    ]
