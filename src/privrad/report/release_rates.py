"""Rates at a cut-off: which may be shown, so that no count of called or missed images below the minimum follows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from privrad.report.release_counts import ALL, ANY, BOTH, MEAN, Counts, of_metrics
from privrad.report.release_linked import SHOWN, SMALL, Cell, Linked, hidden

Side = Literal["positive", "negative"]
Place = tuple[str, str, str]  # finding, group_by, group
SIDES: Mapping[str, tuple[Side, ...]] = {
    **dict.fromkeys(("sensitivity", "underdiagnosis"), ("positive",)),
    **dict.fromkeys(("specificity", "fpr", "overdiagnosis"), ("negative",)),
    **dict.fromkeys(("accuracy", "balanced_accuracy", "ppv", "npv", "selection_rate"), ("positive", "negative")),
}
CALLED: Mapping[Side, tuple[str, str]] = {
    "positive": ("sensitivity", "underdiagnosis"),
    "negative": ("fpr", "overdiagnosis"),
}
MEANS = ("accuracy", "selection_rate")
AT_ONCE = 16
"""Bounds in one linear program: models have none of their rates in common."""


@dataclass(frozen=True)
class Called:
    """The images of one side of a cell: `called` of `images` lie at or above the cut-off; `dark` where `images`, or
    the people among them, are hidden; `size` is that of the group, with both sides."""

    called: float
    images: float
    dark: str
    size: float = 0.0


@dataclass(frozen=True)
class Rates:
    """What becomes of the rates of one model at one cut-off: SHOWN, SMALL or WITHHELD for each side of each place."""

    sides: Mapping[tuple[Side, Place], Called]
    states: Mapping[object, str] = field(default_factory=dict)

    def text(self, place: Place, metric: str, *, minimum: int) -> str:
        """The text to show for a rate, empty for the rate itself."""
        if place[0] == MEAN:
            return self._mean(place, metric, minimum=minimum)
        held = [(side, self.sides.get((side, place))) for side in SIDES[metric]]
        dark = [one.dark for _, one in held if one is not None and one.dark]
        if dark:
            return "too few" if SMALL in dark else "withheld"
        states = [self.states.get((side, place), SHOWN) for side, one in held if one is not None]
        if not any(states):
            return ""
        one = held[0][1]
        if place[1] != ALL or len(held) > 1 or states != [SMALL] or one is None or one.images < 2 * minimum - 1:
            return "withheld"
        high = one.called > one.images / 2
        return _bound(one.images, high=high != (metric in ("specificity", "underdiagnosis")), minimum=minimum)

    def _mean(self, place: Place, metric: str, *, minimum: int) -> str:
        by, group = place[1:]
        findings = {key[1][0] for key in self.sides} - {ANY}
        if len(findings) == 1:
            return self.text((next(iter(findings)), by, group), metric, minimum=minimum)
        own = [key for key in self.sides if key[0] in SIDES[metric] and key[1][1:] == (by, group) and key[1][0] != ANY]
        if any(self.sides[key].dark for key in own):
            return "too few" if any(self.sides[key].dark == SMALL for key in own) else "withheld"
        if metric in ("ppv", "npv"):
            return "withheld" if any(self.states.get(key) for key in own) else ""
        names = [metric] if metric in MEANS else list(SIDES[metric])
        return "withheld" if any(self.states.get(("mean", name, by, group)) for name in names) else ""


def _bound(images: float, *, high: bool, minimum: int) -> str:
    """The bound of a rate that fewer than `minimum` of `images` keep from 0 or 1, rounded outwards to two decimals."""
    reach = math.ceil(100 * minimum / images - 1e-9) / 100
    return f"> {1 - reach:.2f}" if high else f"< {reach:.2f}"


def decide(metrics: pd.DataFrame, counts: Counts, *, minimum: int) -> dict[tuple[str, int, str], Rates]:
    """What becomes of the rates of each (arm, seed, rule).

    For each finding and side the called images of the groups of a column add up to those of all, and the means over
    findings are weighted sums: a rate below `minimum` images from 0 or 1 is hidden, and so are others until all numbers
    of images from 1 to `minimum` - 1 remain possible. Numbers made of two sides or of several groups are shown only
    where all that they are made of are, so that they add nothing.
    """
    rates = metrics[metrics["rule"] != ""]
    sides, linked_of, together = {}, {}, Linked()
    for (arm, seed, rule), rows in rates.groupby(["arm", "seed", "rule"], sort=False):
        run = str(arm), int(str(seed)), str(rule)
        sides[run] = _sides(rows, counts)
        linked_of[run] = _linked(sides[run], minimum=minimum)
        together.join(linked_of[run], name=run)
    decided = hidden(together, at_once=AT_ONCE)
    states = {run: {key: decided[run, key] for key in linked_of[run].cells} for run in sides}
    return {run: Rates(sides[run], states[run]) for run in sides}


def _sides(rows: pd.DataFrame, counts: Counts) -> dict[tuple[Side, Place], Called]:
    sides: dict[tuple[Side, Place], Called] = {}
    chosen = rows[
        (rows["finding"] != MEAN) & rows["metric"].isin([name for names in CALLED.values() for name in names])
    ]
    for row in chosen.to_dict("records"):
        place = (row["finding"], row["group_by"], row["group"])
        images, positives = float(row["images"]), float(row["positives"])
        side: Side = "negative" if row["metric"] in CALLED["negative"] else "positive"
        of = positives if side == "positive" else images - positives
        if (side, place) in sides:
            continue
        share = 1 - row["value"] if row["metric"] == "underdiagnosis" else row["value"]
        key = of_metrics(row, "positives")
        known = counts.state(key, positives) if side == "positive" else counts.negatives(key, images, positives)
        few = [counts.state(of_metrics(row, name), float(row[name])) for name in ("images", "patients")]
        few += [counts.state(of_metrics(row, "positive_patients"), float(row["positive_patients"]))] * (of == positives)
        dark = SMALL if SMALL in (known, *few) else known
        if dark or math.isfinite(share):
            sides[side, place] = Called(float(round(share * of)) if math.isfinite(share) else 0.0, of, dark, images)
    return sides


def _linked(sides: Mapping[tuple[Side, Place], Called], *, minimum: int) -> Linked:
    linked = Linked()
    for key, held in sides.items():
        linked.cells[key] = _cell(key[1], held, minimum=minimum)
    _add_up(linked, sides)
    _means(linked, sides)
    _at_all(linked, sides)
    return linked


def _cell(place: Place, held: Called, *, minimum: int) -> Cell:
    """A side of a cell. Of all images a hidden rate is said to be near 0 or 1, or not; of a group only to be hidden."""
    called, images = held.called, held.images
    least = min(called, images - called)
    near = (1.0, minimum - 1.0) if called < minimum else (images - minimum + 1, images - 1)
    if images < 2 * minimum - 1:
        near = (1.0, images - 1)
    if held.dark == SMALL:
        return Cell(called, (0, images), (0, max(images - 1, 0)))
    if held.dark:
        open_to = (max(called - 1, 0), min(called + 1, images))
        if 0 < least < minimum:
            open_to = (min(open_to[0], near[0]), max(open_to[1], near[1]))
        return Cell(called, (0, images), open_to)
    if least == 0:
        return Cell(called, (called, called))
    bounded = place[1] == ALL
    if least < minimum:
        return Cell(called, near if bounded else (1, images - 1), near)
    free = (minimum, images - minimum) if bounded else (1, images - 1)
    return Cell(called, free, cost=_tier(place[1]) * 1e9 + held.size)


def _tier(by: str) -> int:
    return 0 if BOTH in by else 1 if by != ALL else 3


def _add_up(linked: Linked, sides: Mapping[tuple[Side, Place], Called]) -> None:
    """Called images of the groups of a column are those of all, those of crossed groups those of each."""
    columns: dict[tuple[tuple[Side, Place], str], list[tuple[Side, Place]]] = defaultdict(list)
    for side, (finding, by, group) in sides:
        if by == ALL:
            continue
        columns[(side, (finding, ALL, ALL)), by].append((side, (finding, by, group)))
        if BOTH in by:
            for one, value in zip(by.split(BOTH), group.split(BOTH), strict=False):
                columns[(side, (finding, one, value)), by].append((side, (finding, by, group)))
    for (whole, _), parts in columns.items():
        if whole not in sides:
            continue
        left = sum(sides[part].images for part in parts) - sides[whole].images
        called = sum(sides[part].called for part in parts) - sides[whole].called
        low, high = (-math.inf if left < 0 else 0.0), (math.inf if left > 0 else 0.0)
        if left == 0 or low <= called <= high:
            coefficients = {**dict.fromkeys(parts, 1.0), whole: -1.0}
            linked.know(coefficients, low=called if left == 0 else low, high=called if left == 0 else high)


def _means(linked: Linked, sides: Mapping[tuple[Side, Place], Called]) -> None:
    """The means over findings are known as if they were shown to the last digit, and so is all that follows of them.

    A mean that a hidden count bears on is not shown.
    """
    groups: dict[tuple[str, str], dict[Side, list[Place]]] = defaultdict(lambda: defaultdict(list))
    for side, place in sides:
        if place[0] != ANY:
            groups[place[1:]][side].append(place)
    if len({place[0] for _, place in sides} - {ANY}) < 2:
        return  # the mean over one finding is that finding's number
    for (by, group), held in groups.items():
        sums: dict[str, dict[tuple[Side, Place], float]] = {}
        for side in CALLED:
            own = [place for place in held[side] if sides[side, place].images]
            sums[side] = {(side, place): 1 / (len(own) * sides[side, place].images) for place in own}
        places = [place for place in dict.fromkeys([*held["positive"], *held["negative"]]) if _images(sides, place)]
        for name, sign in (("accuracy", -1.0), ("selection_rate", 1.0)):
            sums[name] = {}
            for place in places:
                share = 1 / (len(places) * _images(sides, place))
                both: dict[tuple[Side, Place], float] = {("positive", place): share, ("negative", place): sign * share}
                sums[name] |= {key: factor for key, factor in both.items() if key in sides}
        for name, terms in sums.items():
            if not terms or any(sides[key].dark for key in terms):
                continue
            value = sum(factor * sides[key].called for key, factor in terms.items())
            mean = ("mean", name, by, group)
            linked.cells[mean] = Cell(value, (-math.inf, math.inf), cost=(_tier(by) + 0.5) * 1e9)
            linked.know(dict[Any, float](terms) | {mean: -1.0})


def _images(sides: Mapping[tuple[Side, Place], Called], place: Place) -> float:
    """The images of both sides of a place; a side that is nobody has no entry."""
    return sum(sides[side, place].images for side in CALLED if (side, place) in sides)


def _at_all(linked: Linked, sides: Mapping[tuple[Side, Place], Called]) -> None:
    """An image with findings that is called free of all is missed for one; one without that is called, for one too."""
    for side, place in sides:
        if place[0] != ANY:
            continue
        own = [key for key in sides if key[0] == side and key[1][1:] == place[1:] and key[1][0] != ANY]
        if side == "negative":
            terms, low = {**dict.fromkeys(own, 1.0), (side, place): -1.0}, 0.0
        else:
            terms = {**dict.fromkeys(own, -1.0), (side, place): 1.0}
            low = sides[side, place].images - sum(sides[key].images for key in own)
        if sum(factor * sides[key].called for key, factor in terms.items()) >= low:
            linked.know(terms, low=low, high=math.inf)
