"""Every number of an evaluation on the test set and on all its redraws: a model, a group and a finding at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from privrad import progress
from privrad.evaluation import delong, groups, roc
from privrad.evaluation.predictions import grouping_columns
from privrad.evaluation.redraws import Drawn, Floats, Weights

MEAN, ANY = "mean", "any"
NOWHERE = "not estimable: "
ALL = ("all", "all")
Run = tuple[str, int]
Group = tuple[str, str]
Key = tuple[Run, Group, str]
Scored = tuple[NDArray[np.intp], Floats, NDArray[np.bool_]]


@dataclass(frozen=True)
class TestSet:
    """The images that all models are measured on.

    `images` has one row an image, `units` the unit of each that is redrawn, `patients` its patient; `scored` gives, per
    run and finding, rows of `images`, scores and labels; `members` masks the rows of each group. A run is (arm, seed),
    a group (column, value). `age_edges` are those of its bands of age, none where no ages are known.
    """

    images: pd.DataFrame
    findings: tuple[str, ...]
    epsilons: dict[Run, float]
    scored: dict[tuple[Run, str], Scored]
    members: dict[Group, NDArray[np.bool_]]
    units: NDArray[np.int32]
    patients: NDArray[np.intp]
    age_edges: tuple[float, ...] = ()

    @property
    def unit_count(self) -> int:
        return int(self.units.max()) + 1

    def averages(self, finding: str) -> bool:
        """Whether what goes by this name is a mean over findings; the mean of a single one is that finding itself."""
        return finding == MEAN and len(self.findings) > 1


@dataclass(frozen=True)
class Measured:
    """What is known of one cell: its numbers by metric and by rule of the threshold ("" without), and its images.

    `positive_patients` and `negative_patients` have at least one such image. `components` is how much each unit bears
    on the AUROC, None where that is not estimable. `called_patients` gives, by rule, the patients with an image called
    positive and with one called negative; `pooled_sd` is the spread of redraws and findings in one array.
    """

    metrics: Mapping[tuple[str, str], Drawn]
    images: int
    patients: int
    positives: int
    positive_patients: int
    negative_patients: int
    components: delong.Components | None = None
    called_patients: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    pooled_sd: Mapping[tuple[str, str], float] = field(default_factory=dict)
    note: str = ""

    def __getitem__(self, metric: str | tuple[str, str]) -> Drawn:
        """The number of a metric, or of (metric, rule)."""
        return self.metrics[metric if isinstance(metric, tuple) else (metric, "")]


Estimates = dict[Key, Measured]
Cutoffs = Mapping[tuple[Run, str], Mapping[str, float]]
"""The threshold of each run and finding by rule; NaN where none could be chosen."""


def arrange(
    table: pd.DataFrame,
    *,
    resample: str,
    age_bands: groups.Bands = (),
    minimum_cell: int = 1,
    intersections: Sequence[tuple[str, str]] = (),
    grouped: bool = True,
) -> TestSet:
    """Give the predictions of one table (see `predictions.load`) a common order of images, their units and groups.

    Quartiles of age are of the patients of the whole table; `minimum_cell` is the least that a band of them holds.
    """
    columns = grouping_columns(table)
    images = table.drop_duplicates("image_id").sort_values("image_id")[["image_id", "patient_id", *columns]]
    images = images.astype({"image_id": object, "patient_id": object}).reset_index(drop=True)
    codes, names = pd.factorize(table["image_id"])
    rows = pd.Index(images["image_id"]).get_indexer(pd.Index(names).astype(object))[codes]
    findings = tuple(str(finding) for finding in dict.fromkeys(table["finding"]))
    scored: dict[tuple[Run, str], Scored] = {}
    epsilons: dict[Run, float] = {}
    for _, part in table.groupby(["arm", "seed", "finding"], sort=False, observed=True):
        first = part.iloc[0]
        one, finding = (str(first["arm"]), int(first["seed"])), str(first["finding"])
        places = rows[part.index]
        order = np.argsort(places)
        scored[one, finding] = (
            places[order],
            part["score"].to_numpy(dtype=float)[order],
            part["label"].to_numpy()[order] == 1,
        )
        epsilons[one] = float(first["epsilon"])
    everyone = {ALL: np.ones(len(images), dtype=bool)}
    age_edges = groups.edges_of(images, age_bands=age_bands, minimum=minimum_cell) if grouped else ()
    members = (
        groups.of_images(
            images,
            columns=columns,
            age_bands=age_edges,
            intersections=intersections,
            labels=_labels(scored, findings, len(images)),
        )
        if grouped
        else everyone
    )
    ordered = sorted(epsilons, key=lambda run: (np.nan_to_num(epsilons[run], nan=math.inf), *run))
    patients = np.unique(images["patient_id"].to_numpy(str), return_inverse=True)[1]
    units = patients if resample == "patient" else np.arange(len(images))
    return TestSet(
        images=images,
        findings=findings,
        epsilons={run: epsilons[run] for run in ordered},
        scored={
            (run, finding): scored[run, finding] for run in ordered for finding in findings if (run, finding) in scored
        },
        members=members,
        units=units.astype(np.int32),
        patients=patients,
        age_edges=age_edges,
    )


def _labels(scored: Mapping[tuple[Run, str], Scored], findings: Sequence[str], images: int) -> NDArray[np.float64]:
    """The label of every image and finding, NaN where no model was asked."""
    labels = np.full((images, len(findings)), np.nan)
    for (_, finding), (rows, _, positive) in scored.items():
        labels[rows, findings.index(finding)] = positive
    return labels


def estimate(test: TestSet, weights: Weights, *, cutoffs: Cutoffs, rule: str, minimum_cell: int) -> Estimates:
    """Every cell's numbers, their mean over findings under "mean", and what is called at all under "any".

    Groups are measured at the threshold of `rule` alone, the whole test set at each of the `cutoffs`. A mean is over
    the estimable findings; its pooled spread is of redraws and findings in one array, as Tayebi Arasteh, Ziller et al.
    (2024) print it: mostly the spread between findings. A single finding's own cell stands under "mean", too.
    """
    estimates: Estimates = {}
    for one in progress.track(test.epsilons, what="evaluation: models", total=len(test.epsilons)):
        own: dict[Group, dict[str, Measured]] = {group: {} for group in test.members}
        for finding in test.findings:
            if (one, finding) not in test.scored:
                continue
            rows, scores, labels = test.scored[one, finding]
            ranking, order = roc.rank(scores, labels=labels, units=test.units[rows])
            for group, member in test.members.items():
                chosen = cutoffs.get((one, finding), {})
                if group != ALL:
                    chosen = {name: value for name, value in chosen.items() if name == rule}
                cell = ranking.within(member[rows[order]])
                own[group][finding] = _cell(test, rows[order][member[rows[order]]], cell, weights, chosen, minimum_cell)
        for group, measured in own.items():
            estimates |= {(one, group, finding): cell for finding, cell in measured.items()}
            several = test.averages(MEAN)
            estimates[one, group, MEAN] = _mean(test, one, group, measured) if several else measured[test.findings[0]]
            called = _called(test, one, group, weights, cutoffs, rule)
            if called is not None:
                estimates[one, group, ANY] = called
    return estimates


def _cell(
    test: TestSet,
    rows: NDArray[np.intp],
    ranking: roc.Ranking,
    weights: Weights,
    cutoffs: Mapping[str, float],
    minimum_cell: int,
) -> Measured:
    known = {rule: value for rule, value in cutoffs.items() if math.isfinite(value)}
    ranked, at = roc.measure(ranking, weights, thresholds=list(known.values()))
    metrics = {(metric, ""): weights.drawn(values) for metric, values in ranked.items()}
    for rule in cutoffs:
        empty = np.full(weights.rows, np.nan)
        found = at[list(known).index(rule)] if rule in known else dict.fromkeys(roc.AT_THRESHOLD, empty)
        metrics |= {(metric, rule): weights.drawn(values) for metric, values in found.items()}
    positive = ranking.positive == 1
    lacking = "images" if not len(rows) else "" if positive.any() else "positive images"
    lacking = lacking or ("" if not positive.all() else "negative images")
    few = min(positive.sum(), (~positive).sum())
    if lacking:
        metrics["average_precision", ""] = weights.drawn(np.full(weights.rows, np.nan))
    components = None
    note = f"{NOWHERE}no {lacking}" if lacking else ""
    if not lacking:
        components = delong.components(ranking.scores, labels=positive, units=ranking.units, count=test.unit_count)
        if few < minimum_cell:
            note = f"uncertain: {few} {'positive' if positive.sum() == few else 'negative'} images"
    called = {rule: ranking.above(threshold) for rule, threshold in known.items()}
    called_patients = {rule: (_patients(test, rows[:cut]), _patients(test, rows[cut:])) for rule, cut in called.items()}
    return Measured(
        metrics,
        images=len(rows),
        patients=_patients(test, rows),
        positives=int(positive.sum()),
        positive_patients=_patients(test, rows[positive]),
        negative_patients=_patients(test, rows[~positive]),
        components=components,
        called_patients=called_patients,
        note=note,
    )


def _patients(test: TestSet, rows: NDArray[np.intp]) -> int:
    return len(np.unique(test.patients[rows]))


def _mean(test: TestSet, one: Run, group: Group, of_findings: Mapping[str, Measured]) -> Measured:
    """The mean over the estimable findings; a redraw in which one of them is not estimable is degenerate."""
    metrics: dict[tuple[str, str], Drawn] = {}
    pooled: dict[tuple[str, str], float] = {}
    for name in dict.fromkeys(name for part in of_findings.values() for name in part.metrics):
        parts = [part.metrics[name] for part in of_findings.values() if name in part.metrics]
        parts = [part for part in parts if math.isfinite(part.value)]
        if parts:
            draws = np.stack([part.draws for part in parts])
            left_out = np.stack([part.left_out for part in parts]).mean(axis=0)
            metrics[name] = Drawn(float(np.mean([part.value for part in parts])), draws.mean(axis=0), left_out)
            finite = draws[np.isfinite(draws)]
            pooled[name] = float(finite.std()) if finite.size else math.nan
        else:
            metrics[name] = _nowhere(of_findings, name)
    estimable = {finding: part for finding, part in of_findings.items() if part.components is not None}
    rows = np.unique(np.concatenate([test.scored[one, finding][0] for finding in of_findings]))
    rows = rows[test.members[group][rows]]
    return Measured(
        metrics,
        images=len(rows),
        patients=_patients(test, rows),
        positives=sum(part.positives for part in of_findings.values()),
        positive_patients=min((part.positive_patients for part in estimable.values()), default=0),
        negative_patients=min((part.negative_patients for part in estimable.values()), default=0),
        components=delong.mean([part.components for part in estimable.values() if part.components]),
        called_patients=_fewest_called(of_findings),
        pooled_sd=pooled,
        note=over(test, of_findings, ("auroc", "")),
    )


def _nowhere(of_findings: Mapping[str, Measured], name: tuple[str, str]) -> Drawn:
    first = next(part.metrics[name] for part in of_findings.values() if name in part.metrics)
    return Drawn(math.nan, np.full_like(first.draws, np.nan), np.full_like(first.left_out, np.nan))


def _fewest_called(of_findings: Mapping[str, Measured]) -> dict[str, tuple[int, int]]:
    """By rule, the patients with an image called positive, and with one called negative, of the finding with fewest.

    A finding with none has no predictive value, and is not in its mean.
    """
    held = [part.called_patients for part in of_findings.values()]
    fewest: dict[str, tuple[int, int]] = {}
    for rule in dict.fromkeys(rule for called in held for rule in called):
        sides = zip(*(called[rule] for called in held if rule in called), strict=True)
        positive, negative = (min(filter(None, side), default=0) for side in sides)
        fewest[rule] = positive, negative
    return fewest


def over(test: TestSet, of_findings: Mapping[str, Measured], name: tuple[str, str]) -> str:
    """Of which findings a mean of one number is, where not of all, and which of them rest on few images."""
    held = {each: part for each, part in of_findings.items() if name in part.metrics}
    estimable = {finding: part for finding, part in held.items() if math.isfinite(part[name].value)}
    if not estimable:
        return f"{NOWHERE}no finding is"
    left_out = [finding for finding in test.findings if finding not in estimable]
    uncertain = [finding for finding, part in estimable.items() if part.note]
    notes = [f"over {len(estimable)} of {len(test.findings)} findings, without {', '.join(left_out)}"] * bool(left_out)
    notes += [f"uncertain: few images for {', '.join(uncertain)}"] * bool(uncertain)
    return "; ".join(notes)


def _called(test: TestSet, one: Run, group: Group, weights: Weights, cutoffs: Cutoffs, rule: str) -> Measured | None:
    """Whether an image with a finding is called free of all, and one without is called anything.

    None for a single finding, for images that lack a score of some finding, and without a threshold for each.
    """
    parts = [test.scored.get((one, finding)) for finding in test.findings]
    chosen = [cutoffs.get((one, finding), {}).get(rule, math.nan) for finding in test.findings]
    if len(parts) < 2 or any(part is None for part in parts) or not all(map(math.isfinite, chosen)):
        return None
    held = [part for part in parts if part is not None]
    if any(not np.array_equal(held[0][0], rows) for rows, _, _ in held):
        return None
    called = np.any([scores >= cut for (_, scores, _), cut in zip(held, chosen, strict=True)], axis=0)
    present = np.any([labels for _, _, labels in held], axis=0)
    rows = held[0][0]
    within = test.members[group][rows]
    rows, called, present = rows[within], called[within], present[within]
    ranking, _ = roc.rank(called.astype(float), labels=present, units=test.units[rows])
    _, (found,) = roc.measure(ranking, weights, thresholds=[0.5])
    return Measured(
        {
            ("underdiagnosis", rule): weights.drawn(found["underdiagnosis"]),
            ("overdiagnosis", rule): weights.drawn(found["fpr"]),
        },
        images=len(rows),
        patients=_patients(test, rows),
        positives=int(present.sum()),
        positive_patients=_patients(test, rows[present]),
        negative_patients=_patients(test, rows[~present]),
    )
