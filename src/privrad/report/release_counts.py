"""Counts of people and images: one universe of cells over all tables, and one decision on which of them are hidden."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import pandas as pd

from privrad.report.measurements import Measurements
from privrad.report.release_linked import SHOWN, SMALL, Cell, Linked, hidden

ALL = "all"
BOTH = " & "
MEAN, ANY = "mean", "any"
COUNTED = {"images": "", "patients": "", "positives": "positive", "positive_patients": "positive"}
UNKNOWN = "(no band of the evaluation)"
HELD_OUT, TESTED = "validated", "tested"


class Key(NamedTuple):
    """A count: `part` of the split (train, validation, test as accepted; validated, tested as predicted; flow), group,
    finding ("" for all images whatever they show) and `unit` (images, patients, negatives, lost, or a step)."""

    part: str
    by: str
    group: str
    finding: str
    unit: str


class Reader(NamedTuple):
    """What a reader makes of what is not shown: `unshown`, whether they know which negatives and lost images are below
    the minimum ("too few" stands beside "withheld"); `nobody`, where they think that a small count may be 0: in small
    groups as documented ("small"), in all crossed groups too ("crossed"), or anywhere."""

    unshown: bool
    nobody: Literal["small", "crossed", "anywhere"]


READERS = tuple(Reader(unshown, nobody) for unshown in (True, False) for nobody in ("small", "crossed", "anywhere"))
"""Who knows more bounds a count more tightly, but much of it by the texts alone, which cannot be helped; who knows less
needs shown numbers for a bound that the texts give the other. So the counts are kept from each of them."""


@dataclass(frozen=True)
class Counts:
    """The true counts, and what becomes of each: SHOWN, SMALL or WITHHELD.

    A count that two tables give differently stands as two, which are linked to nothing in common.
    """

    values: Mapping[Key, tuple[float, ...]]
    states: Mapping[tuple[Key, float], str]

    def state(self, key: Key, value: float) -> str:
        """What becomes of a count; one that is of no known cell stays hidden."""
        return SHOWN if math.isnan(value) else self.states.get((key, value), "withheld")

    def negatives(self, key: Key, images: float, positives: float) -> str:
        """What is known of the negatives: SHOWN when images and positives are, else SMALL or WITHHELD."""
        if self.states.get((key._replace(unit="negatives"), images - positives)) == SMALL:
            return SMALL
        known = self.state(key._replace(finding="", unit="images"), images) or self.state(key, positives)
        return "withheld" if known else SHOWN


def of_metrics(row: Mapping[Any, Any], column: str, *, part: str = TESTED) -> Key:
    """The count in a column of metrics.csv, fairness.csv or thresholds.csv."""
    finding = str(row["finding"]) if COUNTED[column] else ""
    unit = "patients" if column.endswith("patients") else "images"
    return Key(part, str(row.get("group_by", ALL)), str(row.get("group", ALL)), finding, unit)


def of_balance(split: str, column: str, value: str, unit: str) -> Key:
    """The count in a column of a balance."""
    if column in (ALL, "sex", "age"):
        return Key(split, column, value, "", unit)
    return Key(split, ALL, ALL, column, unit)


def of_flow(step: str, reason: str) -> Key:
    """A count of the flow of images."""
    return Key("flow", step, reason, "", "images")


def aligned(balance: pd.DataFrame, measured: Measurements) -> pd.DataFrame:
    """The balance with the test part's age bands named as the evaluation names them.

    A band that the evaluation does not have is no known cell, and stays hidden: with bands of other edges beside each
    other, their differences would count the patients between two edges. Where no age is beyond the evaluation's last
    band, that and the balance's open one are the same. Empty bands stay, as every zero.
    """
    groups = [str(group) for group in measured.metrics.loc[measured.metrics["group_by"] == "age", "group"].unique()]
    lows = {_low(band): band for band in groups if band.startswith("[")}
    last = "" if "outside" in groups or not lows else lows[max(lows)]

    def named(band: str) -> str:
        same = lows.get(_low(band), "")
        return same if band == same or (band.endswith(",inf)") and same == last) else UNKNOWN

    tested = (balance["split"] == "test") & (balance["column"] == "age") & balance["value"].str.startswith("[")
    tested &= (balance["images"] > 0) & bool(lows)
    return balance.assign(
        value=[named(band) if own else band for band, own in zip(balance["value"], tested, strict=True)]
    )


def _low(band: str) -> float:
    """The lower edge of a band of age such as "[30,60)"."""
    return float(band[1:].split(",")[0])


def decide(measured: Measurements, balance: pd.DataFrame, flow: pd.DataFrame, *, minimum: int) -> Counts:
    """Hide every count from 1 to `minimum` - 1, negatives of a group below `minimum`, and what gives one away."""
    values = _collected(measured, balance, flow)
    if not minimum:
        return Counts(values, {(key, value): SHOWN for key, held in values.items() for value in held})
    states: dict[Hashable, str] = {}
    for reader in READERS:
        states |= hidden(_linked(values, minimum=minimum, reader=reader).without(states))
    return Counts(values, states)  # type: ignore[arg-type]


def _linked(values: Mapping[Key, tuple[float, ...]], *, minimum: int, reader: Reader) -> Linked:
    """The counts, and what a reader knows of them and of their sums."""
    linked = Linked()
    for key, held in values.items():
        within = min((each for whole in _around(key) for each in values.get(whole, ())), default=math.inf)
        size = values.get(key._replace(finding="", unit="images"), held)
        for value in held:
            cell = _cell(key, value, within=within, size=max(size), minimum=minimum)
            if cell.target and (reader.nobody == "anywhere" or (reader.nobody == "crossed" and BOTH in key.by)):
                cell = replace(cell, free=(0, minimum - 1))
            linked.cells[key, value] = cell
    _Links(linked, values, minimum=minimum, reader=reader).add()
    return linked


def _collected(measured: Measurements, balance: pd.DataFrame, flow: pd.DataFrame) -> dict[Key, tuple[float, ...]]:
    found: dict[Key, dict[float, None]] = defaultdict(dict)
    metrics = measured.metrics[measured.metrics["finding"] != MEAN]
    held = ["finding", "group_by", "group", *COUNTED]
    for row in metrics[held].drop_duplicates().to_dict("records"):
        for column in COUNTED:
            found[of_metrics(row, column)][float(row[column])] = None
    for row in measured.thresholds[["finding", "rule", "images", "positives"]].drop_duplicates().to_dict("records"):
        part = TESTED if row["rule"] == "youden_test" else HELD_OUT
        for column in ("images", "positives"):
            found[of_metrics(row, column, part=part)][float(row[column])] = None
    for row in measured.validation[["images", "patients"]].drop_duplicates().to_dict("records"):
        for column in ("images", "patients"):
            found[Key(HELD_OUT, ALL, ALL, "", column)][float(row[column])] = None
    for row in balance[balance["value"] != UNKNOWN].to_dict("records"):
        for unit in ("images", "patients"):
            found[of_balance(row["split"], row["column"], row["value"], unit)][float(row[unit])] = None
    for row in flow.to_dict("records"):
        found[of_flow(row["step"], row["reason"])][float(row["count"])] = None
    return {key: tuple(value for value in values if not math.isnan(value)) for key, values in found.items()}


def _around(key: Key) -> Iterator[Key]:
    """The groups that a count lies in, but for the whole part."""
    if key.part == "flow" or (key.by == ALL and not key.finding):
        return
    for unit in ("images", "patients"):
        if key.finding:
            yield key._replace(finding="", unit=unit)
        if BOTH in key.by:
            for by, group in zip(key.by.split(BOTH), key.group.split(BOTH), strict=False):
                yield key._replace(by=by, group=group, finding="", unit=unit)
        yield key._replace(by=ALL, group=ALL, finding="", unit=unit)


def _cell(key: Key, value: float, *, within: float, size: float, minimum: int) -> Cell:
    """A count: cheap in a small group, so that findings withhold in the same groups and leave the others whole."""
    if 0 < within < minimum and value < minimum:
        return Cell(value, (0, minimum - 1), (0, minimum - 1))
    if 0 < value < minimum:
        return Cell(value, (1, minimum - 1), (1, minimum - 1))
    if value == 0:
        return Cell(value, (0, 0))
    return Cell(value, (minimum, math.inf), cost=_tier(key) * 1e9 + size)


def _tier(key: Key) -> int:
    """What is withheld first: positives before sizes, of crossed groups before groups before all, totals last."""
    if key.part == "flow":
        return 6 if key.by in ("found", "accepted", "prepared") else 1
    return (0 if BOTH in key.by else 2 if key.by != ALL else 4) + (not key.finding)


class _Links:
    """What anyone knows of the counts: which add up to which, and which cannot exceed which."""

    def __init__(
        self, linked: Linked, values: Mapping[Key, tuple[float, ...]], *, minimum: int, reader: Reader
    ) -> None:
        self.linked, self.minimum, self.reader = linked, minimum, reader
        self.first = {key: (key, held[0]) for key, held in values.items() if held}
        self.values = values

    def add(self) -> None:
        columns: dict[Key, list[Key]] = defaultdict(list)
        for key in list(self.first):
            if key.part == "flow":
                continue
            if key.by != ALL and BOTH not in key.by:
                columns[key._replace(by=ALL, group=ALL), key.by].append(key)  # type: ignore[index]
            if BOTH in key.by and BOTH in key.group:
                for by, group in zip(key.by.split(BOTH), key.group.split(BOTH), strict=False):
                    columns[key._replace(by=by, group=group), key.by].append(key)  # type: ignore[index]
        for (whole, _), parts in columns.items():  # type: ignore[misc]
            if whole in self.first:
                self.linked.total(self.first[whole], [self.first[part] for part in parts])
        self._groups()
        self._accepted()
        self._flow()
        self._findings()

    def _groups(self) -> None:
        """Positives and negatives are the images; no patient has fewer than one image."""
        for key, at in list(self.first.items()):
            if key.part == "flow" or key.unit != "images":
                continue
            whole, people = key._replace(finding=""), key._replace(unit="patients")
            if key.finding and whole in self.first:
                self._positive(key, whole)
            elif not key.finding and people in self.first:
                self._exceeds(at, self.first[people])

    def _positive(self, key: Key, whole: Key) -> None:
        positives, cases = self.first[key], self.first.get(key._replace(unit="patients"))
        images = next(
            (self._at(whole, value) for value in self.values[whole] if value >= positives[1]), self.first[whole]
        )
        negatives = key._replace(unit="negatives"), images[1] - positives[1]
        if negatives[1] < 0:
            return
        small = negatives[1] < self.minimum
        target = (0.0, self.minimum - 1.0) if small else None
        told = target or (float(self.minimum), math.inf)
        free = told if self.reader.unshown else (0.0, math.inf)
        self.linked.cells[negatives] = Cell(negatives[1], free, target, shown=False)
        self.linked.total(images, [positives, negatives])
        people = self.first.get(whole._replace(unit="patients"))
        if cases:
            self._exceeds(positives, cases)
        if cases and people:
            self._exceeds(people, cases)
            self._known({images: 1, people: -1, positives: -1, cases: 1})
            self._known({negatives: 1, people: -1, cases: 1})

    def _accepted(self) -> None:
        """Of the accepted images of a part those are predicted that preparation did not refuse."""
        lost = []
        for key in [key for key in self.first if key.part in (TESTED, HELD_OUT)]:
            before = key._replace(part="test" if key.part == TESTED else "validation")
            if before not in self.first:
                continue
            left = self.first[before][1] - self.first[key][1]
            if left < 0:
                continue
            gone = before._replace(unit=f"lost {key.unit}"), left
            small = 0 < left < self.minimum
            target = (1.0, self.minimum - 1.0) if small else None
            free = target if target and self.reader.unshown else (0.0, math.inf if left else 0.0)
            self.linked.cells[gone] = Cell(left, free, target, shown=False)
            self.linked.total(self.first[before], [self.first[key], gone])
            if before == before._replace(by=ALL, group=ALL, finding="", unit="images"):
                lost.append(gone)
        refused = [self.first[key] for key in self.first if key.part == "flow" and key.by == "prepare"]
        if lost:
            self._known({**dict.fromkeys(refused, 1.0), **dict.fromkeys(lost, -1.0)})

    def _flow(self) -> None:
        """Found images are refused at ingest, taken out as copies or accepted; these are refused in preparation or
        prepared; the parts are accepted.
        """
        steps: dict[str, list[tuple[Key, float]]] = defaultdict(list)
        for key, at in self.first.items():
            if key.part == "flow":
                steps[key.by].append(at)
            elif key.part in ("train", "validation", "test") and key[1:] == (ALL, ALL, "", "images"):
                steps["split"].append(at)
        for whole, parts in (("found", ("accepted", "ingest", "duplicates")), ("accepted", ("prepared", "prepare"))):
            if steps[whole] and steps[parts[0]]:
                self.linked.total(steps[whole][0], [at for part in parts for at in steps[part]])
        if steps["accepted"] and steps["split"]:
            self.linked.total(steps["accepted"][0], steps["split"])

    def _findings(self) -> None:
        """An image that shows k findings is positive for k; one with a finding is positive for at least one."""
        groups: dict[Key, list[tuple[Key, float]]] = defaultdict(list)
        for key, at in self.first.items():
            if key.part != "flow" and key.unit in ("images", "patients") and key.finding not in ("", ANY):
                groups[key._replace(finding="")].append(at)
        for whole, parts in groups.items():
            some = self.first.get(whole._replace(finding=ANY))
            if some:
                self._known({**dict.fromkeys(parts, 1.0), some: -1.0})
                for part in parts:
                    self._exceeds(some, part)
            if whole.by == "findings" and whole.unit == "images" and whole in self.first:
                number = whole.group.removesuffix("+")
                if number.isdigit():
                    self._known(
                        {**dict.fromkeys(parts, 1.0), self.first[whole]: -float(number)}, exact=number == whole.group
                    )

    def _exceeds(self, more: tuple[Key, float], less: tuple[Key, float]) -> None:
        self._known({more: 1, less: -1})

    def _known(self, coefficients: Mapping[tuple[Key, float], float], *, exact: bool = False) -> None:
        """A weighted sum that is never below 0, or exactly 0; left out where the tables say otherwise."""
        value = sum(factor * at[1] for at, factor in coefficients.items())
        if value >= 0:
            self.linked.know(coefficients, low=0.0, high=0.0 if exact and value == 0 else math.inf)

    @staticmethod
    def _at(key: Key, value: float) -> tuple[Key, float]:
        return key, value
