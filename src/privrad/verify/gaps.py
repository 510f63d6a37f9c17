"""What fairness.csv says of one model: each group less the others, the worst group, the range; docs/fairness.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import beta, norm
from scipy.stats import t as student

from privrad.verify.cells import ANY, MEAN, Cell
from privrad.verify.predicted import ALL, Group
from privrad.verify.redraws import Floats, Name, Weights
from privrad.verify.tables import Key

KEYS = ("finding", "group_by", "group", "metric", "rule")
CALLED = {
    **{name: name for name in ("accuracy", "sensitivity", "fpr", "selection_rate", "underdiagnosis", "auroc")},
    "ece": "calibration",
}
CONFIRMATORY = ("sex", "age")
CERTAINTY = 0.99
NUMBERS = ("value", "low", "high", "simultaneous_low", "simultaneous_high", "p_simultaneous")
Cells = Mapping[tuple[Group, str], Cell]
Row = dict[str, Any]
Found = Iterator[tuple[Key, Row]]


@dataclass(frozen=True)
class Compared:
    """The groups of one column that are compared in one metric, in order, and why the others are not."""

    column: str
    groups: tuple[Group, ...]
    left_out: Mapping[Group, str]
    values: Floats
    draws: Floats | None
    patients: Floats
    images: Floats
    biased: bool

    @property
    def not_compared(self) -> list[str]:
        """How many groups are not compared, where some are not."""
        count = len(self.left_out)
        return [f"{count} of {count + len(self.groups)} groups not compared"] * bool(count)


@dataclass(frozen=True)
class Band:
    """Bounds of some comparisons alone and together, p together, and the redraws that served or did not."""

    alone: tuple[Floats, Floats]
    together: tuple[Floats, Floats]
    p: Floats
    redraws: int
    degenerate: int


def of_run(cells: Cells, *, findings: Sequence[str], weights: Weights, confidence: float, minimum: int) -> Found:
    """The key (finding, column, group, metric, rule) and columns of every row of one model."""
    groups = list(dict.fromkeys(group for group, _ in cells if group != ALL))
    for finding in (*findings, MEAN, ANY):
        own = [group for group in groups if (group, finding) in cells]
        if not own:
            continue
        for name in cells[own[0], finding].values:
            if name[0] in CALLED:
                held = [
                    _compared(
                        cells,
                        column,
                        [group for group in own if group[0] == column],
                        finding,
                        name,
                        findings,
                        weights,
                        minimum,
                    )
                    for column in dict.fromkeys(group[0] for group in own)
                ]
                joint = name[0] == "accuracy" and (finding == MEAN or len(findings) == 1)
                yield from _rows(cells, held, finding, name, confidence=confidence, joint=joint)


def _compared(
    cells: Cells,
    column: str,
    groups: Sequence[Group],
    finding: str,
    name: Name,
    findings: Sequence[str],
    weights: Weights,
    minimum: int,
) -> Compared:
    parts = [finding]
    if finding == MEAN and len(findings) > 1:
        whole = {each: cells.get((ALL, each)) for each in findings}
        parts = [
            each for each, cell in whole.items() if cell is not None and math.isfinite(cell.values.get(name, math.nan))
        ]
    reasons = {group: _why_not(cells, group, parts, name, max(minimum, 2)) for group in groups}
    kept = [group for group in groups if not reasons[group]]
    if len(kept) == 1:
        reasons[kept.pop()] = "not estimable: no other group to compare with"
    own = [cells[group, finding] for group in kept]
    redrawn = bool(own) and all(name in cell.draws for cell in own)
    return Compared(
        column=column,
        groups=tuple(kept),
        left_out={group: reason for group, reason in reasons.items() if reason},
        values=np.array([cell.values[name] for cell in own]),
        draws=np.array([cell.draws[name][weights.drawn] for cell in own]) if redrawn else None,
        patients=np.array(
            [
                min(_bearing(cells[group, part], name[0])[0] for part in parts if (group, part) in cells)
                for group in kept
            ],
            dtype=float,
        ),
        images=np.array([cell.images for cell in own], dtype=float),
        biased=name[0] == "ece",
    )


def _bearing(cell: Cell, metric: str) -> tuple[int, str]:
    """How many patients bear on a number, and who they are."""
    of = {"positive": cell.positive_patients, "negative": cell.negative_patients}
    kinds = {
        "sensitivity": ("positive",),
        "underdiagnosis": ("positive",),
        "fpr": ("negative",),
        "auroc": ("negative", "positive"),
    }
    asked = kinds.get(metric)
    if asked is None:
        return cell.patients, ""
    kind = min(asked, key=lambda each: of[each])
    return of[kind], f" with a {kind} image"


def _why_not(cells: Cells, group: Group, parts: Sequence[str], name: Name, minimum: int) -> str:
    """Why a group is not compared; nothing where it is."""
    for part in parts:
        cell = cells.get((group, part))
        of = f" for {part}" if len(parts) > 1 else ""
        if cell is None:
            return f"not estimable: no images{of}"
        half = max(math.ceil(minimum / 2), 2) if len(parts) > 1 else minimum
        bearing, which = _bearing(cell, name[0])
        for patients, who, needed in ((cell.patients, "", minimum), (bearing, which + of, half)):
            if patients < needed:
                return f"too few: {patients} patient{'s' * (patients != 1)}{who}, {needed} needed"
        if not math.isfinite(cell.values.get(name, math.nan)):
            return "not estimable" + (": no threshold" if name[1] else "") + of
    return "" if parts else "not estimable: no finding is"


def _rows(cells: Cells, held: Sequence[Compared], finding: str, name: Name, *, confidence: float, joint: bool) -> Found:
    metric = CALLED[name[0]]
    together = [each for each in held if joint and each.column in CONFIRMATORY]
    families = [together, *([each] for each in held if each not in together)]
    told: dict[Group, Row] = {}
    for family in families:
        told |= _less_the_others([each for each in family if each.groups], confidence)
    for each in held:
        for group in (*each.groups, *each.left_out):
            cell = cells[group, finding]
            row = told.get(group) or _nothing(each.left_out[group])
            size = {"images": cell.images, "patients": cell.patients}
            yield (finding, *group, f"{metric}_difference", name[1]), row | size
        if metric == "auroc":
            yield (finding, each.column, "(worst)", metric, name[1]), _worst(cells, each, finding, confidence)
        yield (finding, each.column, "(range)", f"{metric}_range", name[1]), _range(cells, each, finding, confidence)


def _less_the_others(family: Sequence[Compared], confidence: float) -> dict[Group, Row]:
    """Each group less the mean of the others of its column, weighted by their images; together over the family."""
    total = sum(len(each.groups) for each in family)
    contrasts = np.zeros((total, total))
    start = 0
    for each in family:
        for place in range(len(each.groups)):
            others = np.where(np.arange(len(each.groups)) == place, 0, each.images)
            own = slice(start, start + len(each.groups))
            contrasts[start + place, own] = -others / others.sum()
            contrasts[start + place, start + place] = 1
        start += len(each.groups)
    if not total:
        return {}
    groups = [group for each in family for group in each.groups]
    values = contrasts @ np.concatenate([each.values for each in family])
    made = _banded(family, contrasts, confidence, bounds=(-1, 1))
    return {group: _told(values, made, place) for place, group in enumerate(groups)}


def _worst(cells: Cells, held: Compared, finding: str, confidence: float) -> Row:
    """The lowest group; its bounds are the lowest of the bounds that hold for all groups together."""
    if not held.groups:
        return _nothing("not estimable: fewer than two groups to compare") | {"images": 0, "patients": 0}
    place = int(np.argmin(held.values))
    made = _banded([held], np.eye(len(held.groups)), confidence, bounds=(0, 1))
    row = _told(held.values, made, place, said=[f"group {held.groups[place][1]}", *held.not_compared])
    cell = cells[held.groups[place], finding]
    return _spanning(row, made, np.min) | {
        "p_simultaneous": math.nan,
        "flagged": False,
        "images": cell.images,
        "patients": cell.patients,
    }


def _range(cells: Cells, held: Compared, finding: str, confidence: float) -> Row:
    """The largest less the smallest; its bounds are of the distances of all pairs, which hold together."""
    if not held.groups:
        return _nothing("not estimable: fewer than two groups to compare") | {"images": 0, "patients": 0}
    unit = np.eye(len(held.groups))
    contrasts = np.array([unit[one] - unit[other] for one, other in combinations(range(len(unit)), 2)])
    values = contrasts @ held.values
    made = _banded([held], contrasts, confidence, bounds=(-1, 1))
    ends = held.groups[int(np.argmax(held.values))], held.groups[int(np.argmin(held.values))]
    row = _told(
        values,
        made,
        int(np.argmax(abs(values))),
        said=[f"largest {ends[0][1]}, smallest {ends[1][1]}", *held.not_compared],
    )
    few = min((cells[group, finding] for group in ends), key=lambda cell: cell.patients)
    row |= {"value": float(held.values.max() - held.values.min()), "images": few.images, "patients": few.patients}
    if made is None:
        return row
    low, high = made.together
    least, most = np.maximum(np.maximum(low, -high), 0).max(), np.maximum(abs(low), abs(high)).max()
    bounds = {
        "low": float(least),
        "high": float(most),
        "simultaneous_low": float(least),
        "simultaneous_high": float(most),
    }
    return row | bounds | {"p_simultaneous": float(made.p.min()), "flagged": bool(least > 0)}


def _spanning(row: Row, made: Band | None, reduce: Any) -> Row:
    if made is None:
        return row
    low, high = (float(reduce(bound)) for bound in made.together)
    return row | {"low": low, "high": high, "simultaneous_low": low, "simultaneous_high": high}


def _banded(
    family: Sequence[Compared], contrasts: Floats, confidence: float, *, bounds: tuple[float, float]
) -> Band | None:
    """The bounds of some comparisons of the groups of a family; None where they were not redrawn."""
    if any(each.draws is None for each in family):
        return None
    draws = np.concatenate([each.draws for each in family if each.draws is not None])
    values, patients = (np.concatenate([getattr(each, name) for each in family]) for name in ("values", "patients"))
    kept = draws[:, np.isfinite(draws).all(axis=0)]
    count, lost = kept.shape[1], draws.shape[1] - kept.shape[1]
    if count < 2:
        nothing = np.full(len(contrasts), math.nan)
        return Band((nothing, nothing), (nothing, nothing), nothing, count, lost)
    own = kept.var(axis=1, ddof=1)
    honest = np.array([_honest(*each) for each in zip(values, own, patients, strict=True)])
    middle = kept.mean(axis=1, keepdims=True)
    apart = contrasts @ (kept - middle)
    spread = apart.std(axis=1, ddof=1)
    error = np.sqrt(spread**2 + contrasts**2 @ (honest - own))
    freedom = (contrasts**2 @ honest) ** 2 / (contrasts**4 @ (honest**2 / (patients - 1)))
    studentised = np.divide(abs(apart), spread[:, None], out=np.zeros_like(apart), where=spread[:, None] > 0)
    furthest = np.sort(studentised.max(axis=0))
    centre = contrasts @ values
    bias = abs(contrasts @ (middle[:, 0] - values)) / (math.sqrt(2) - 1) if family[0].biased else np.zeros(len(centre))
    least = float(norm.ppf((1 + confidence) / 2))
    pairs = []
    for quantile in (least, max(least, _critical(furthest, confidence))):
        reach = bias + error * student.isf(norm.sf(quantile), freedom)
        reach[~np.isfinite(reach)] = math.nan
        pairs.append((np.clip(centre - reach, *bounds), np.clip(centre + reach, *bounds)))
    observed = norm.isf(student.sf(np.maximum(abs(centre) - bias, 0) / error, freedom))
    beyond = (furthest >= observed[:, None]).sum(axis=1)
    p = np.maximum([_at_most(int(each), count) for each in beyond], 2 * norm.sf(observed))
    return Band(pairs[0], pairs[1], p, count, lost)


def _at_most(beyond: int, redraws: int) -> float:
    """The share of all redraws that goes as far as `beyond` of these, at most: Clopper and Pearson, at 99 %."""
    return float(beta.ppf(CERTAINTY, beyond + 1, redraws - beyond)) if beyond < redraws else 1.0


def _critical(furthest: Floats, confidence: float) -> float:
    """The deviation that for certain no more than 1 - confidence of all redraws exceed; infinite if these are few."""
    count = len(furthest)
    shares = beta.ppf(CERTAINTY, np.arange(count) + 1, count - np.arange(count))
    allowed = int((shares <= 1 - confidence).sum())
    return float(furthest[count - allowed]) if allowed else math.inf


def _honest(value: float, variance: float, patients: float) -> float:
    """The variance of a number in [0, 1] of so many patients: that of its redraws times n/(n - 1), but at least that of
    a proportion as sure with two successes and two failures added (Agresti and Coull 1998)."""
    plain = variance * patients / (patients - 1)
    size = max(patients, value * (1 - value) / plain) if plain > 0 else patients
    share = (value * size + 2) / (size + 4)
    return max(plain, share * (1 - share) / (size + 4))


def _told(values: Floats, made: Band | None, place: int, *, said: Sequence[str] = ()) -> Row:
    row: Row = {"value": float(values[place])}
    if made is None:
        return row
    low, high = (float(bound[place]) for bound in made.together)
    notes = list(said)
    if math.isnan(low):
        notes.append(f"no simultaneous interval: {made.redraws} redraws are too few")
    elif made.degenerate:
        notes.append(f"not estimable in {made.degenerate} of {made.degenerate + made.redraws} redraws")
    row |= {"low": float(made.alone[0][place]), "high": float(made.alone[1][place])}
    row |= {"simultaneous_low": low, "simultaneous_high": high, "p_simultaneous": float(made.p[place])}
    return row | {"flagged": low > 0 or high < 0, "note": "; ".join(notes)}


def _nothing(note: str) -> Row:
    return dict.fromkeys(NUMBERS, math.nan) | {"flagged": False, "note": note}
