"""Every number of an evaluation on the test set and on all its redraws: a model, a group and a finding at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from privrad import progress
from privrad.evaluation import groups, roc
from privrad.evaluation.predictions import grouping_columns

MEAN = "mean"
Run = tuple[str, int]
Group = tuple[str, str]
Cell = tuple[Run, Group, str]


@dataclass(frozen=True)
class TestSet:
    """The test images of all models.

    `images` has one row an image; `scored` gives, per run and finding, rows of `images`, scores and labels; `members`
    masks the rows of each group. A run is (arm, seed), a group (column, value).
    """

    images: pd.DataFrame
    findings: tuple[str, ...]
    epsilons: dict[Run, float]
    scored: dict[tuple[Run, str], tuple[NDArray[np.intp], roc.Floats, NDArray[np.bool_]]]
    members: dict[Group, NDArray[np.bool_]]


@dataclass(frozen=True)
class Estimate:
    """One number: its value on the test set, its redraws, and what it rests on."""

    value: float
    draws: roc.Floats
    images: int
    patients: int
    positives: int
    pooled_sd: float = math.nan
    note: str = ""


def arrange(table: pd.DataFrame, *, age_bands: Sequence[float]) -> TestSet:
    """Give the predictions of one table (see `predictions.load`) a common order of images, and their groups."""
    columns = grouping_columns(table)
    images = table.drop_duplicates("image_id").sort_values("image_id")[["image_id", "patient_id", *columns]]
    images = images.reset_index(drop=True)
    rows = pd.Index(images["image_id"]).get_indexer(table["image_id"])
    findings = tuple(dict.fromkeys(table["finding"]))
    scored, epsilons = {}, {}
    for _, part in table.groupby(["arm", "seed", "finding"], sort=False):
        first = part.iloc[0]
        one, finding = (str(first["arm"]), int(first["seed"])), str(first["finding"])
        places = rows[part.index]
        order = np.argsort(places)
        scores = part["score"].to_numpy()[order]
        scored[one, finding] = (places[order], scores, part["label"].to_numpy()[order] == 1)
        epsilons[one] = float(first["epsilon"])
    members = groups.of_images(images, columns=columns, age_bands=age_bands)
    ordered = sorted(epsilons, key=lambda run: (np.nan_to_num(epsilons[run], nan=math.inf), *run))
    return TestSet(images, findings, {run: epsilons[run] for run in ordered}, scored, members)


def estimate(test: TestSet, *, redraws: int, resample: str, seed: int, minimum_cell: int) -> dict[Cell, Estimate]:
    """Every cell's value and redraws, and their mean over findings under "mean": one pass, with redraws shared by all.

    The mean is over the estimable findings; its pooled_sd is the spread of redraws and findings in one array, as
    Tayebi Arasteh, Ziller et al. (2024) print it: mostly the spread between findings.
    """
    rankings = {cell: _rank(test, cell) for cell in _cells(test)}
    units, unit_of = np.unique(test.images["patient_id" if resample == "patient" else "image_id"], return_inverse=True)
    ones = np.ones((len(test.images), 1))
    values = {cell: float(roc.auroc(ranking, weights=ones)[0]) for cell, ranking in rankings.items()}
    draws = {cell: np.empty(redraws) for cell in rankings}
    done, chunk = 0, roc.chunk_for(len(test.images))
    weighted = roc.redraws(np.random.default_rng(seed), units=len(units), count=redraws, chunk=chunk)
    for of_units in progress.track(weighted, what="bootstrap redraws", total=math.ceil(redraws / chunk)):
        weights = of_units[unit_of]
        upto = done + weights.shape[1]
        for cell, ranking in rankings.items():
            draws[cell][done:upto] = roc.auroc(ranking, weights=weights)
        done = upto
    estimates = {}
    for one in test.epsilons:
        for group in test.members:
            of_findings = {}
            for finding in test.findings:
                cell = (one, group, finding)
                if cell in rankings:
                    of_findings[finding] = _single(test, rankings[cell], values[cell], draws[cell], minimum_cell)
                    estimates[cell] = of_findings[finding]
            estimates[one, group, MEAN] = _mean(test, rankings, one, group, of_findings)
    return estimates


def _cells(test: TestSet) -> Iterable[Cell]:
    for one, finding in test.scored:
        for group in test.members:
            yield one, group, finding


def _rank(test: TestSet, cell: Cell) -> roc.Ranking:
    one, group, finding = cell
    rows, scores, labels = test.scored[one, finding]
    within = test.members[group][rows]
    return roc.rank(scores[within], labels=labels[within], rows=rows[within])


def _patients(test: TestSet, rows: NDArray[np.intp]) -> int:
    return int(test.images["patient_id"].iloc[rows].nunique())


def _single(test: TestSet, ranking: roc.Ranking, value: float, draws: roc.Floats, minimum_cell: int) -> Estimate:
    positives, negatives = len(ranking.positives), len(ranking.negatives)
    rows = np.concatenate([ranking.positives, ranking.negatives])
    note = ""
    if math.isnan(value):
        lacking = "images" if not rows.size else "positive images" if not positives else "negative images"
        note = f"not estimable: no {lacking}"
    elif min(positives, negatives) < minimum_cell:
        few = "positive" if positives <= negatives else "negative"
        note = f"uncertain: fewer than {minimum_cell} {few} images"
    return Estimate(value, draws, len(rows), _patients(test, rows), positives, note=note)


def _mean(
    test: TestSet, rankings: dict[Cell, roc.Ranking], one: Run, group: Group, of_findings: dict[str, Estimate]
) -> Estimate:
    """The mean over the estimable findings; a redraw in which one of them is not estimable counts as degenerate."""
    estimable = {finding: part for finding, part in of_findings.items() if math.isfinite(part.value)}
    rankings_here = [rankings[one, group, finding] for finding in of_findings]
    rows = np.unique(np.concatenate([np.concatenate([r.positives, r.negatives]) for r in rankings_here]))
    positives = sum(part.positives for part in of_findings.values())
    counts = {"images": len(rows), "patients": _patients(test, rows), "positives": positives}
    if not estimable:
        size = next(iter(of_findings.values())).draws.size
        return Estimate(math.nan, np.full(size, np.nan), **counts, note="not estimable: no finding is")
    drawn = np.stack([part.draws for part in estimable.values()])
    pooled = drawn[np.isfinite(drawn)]
    left_out = [finding for finding in test.findings if finding not in estimable]
    uncertain = [finding for finding, part in estimable.items() if part.note]
    notes = [f"over {len(estimable)} of {len(test.findings)} findings, without {', '.join(left_out)}"] * bool(left_out)
    notes += [f"uncertain: few images for {', '.join(uncertain)}"] * bool(uncertain)
    return Estimate(
        float(np.mean([part.value for part in estimable.values()])),
        drawn.mean(axis=0),
        **counts,
        pooled_sd=float(pooled.std()) if pooled.size else math.nan,
        note="; ".join(notes),
    )
