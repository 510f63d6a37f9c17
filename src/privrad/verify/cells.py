"""Every number of one model on the test set by scikit-learn, and on each redraw by the documented law."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, roc_auc_score

from privrad.verify import influence, redraws
from privrad.verify.influence import Influence
from privrad.verify.predicted import ALL, Group, Predicted, Run, Scored
from privrad.verify.redraws import Floats, Name, Weights

MEAN, ANY = "mean", "any"
CALLED = ("underdiagnosis", "overdiagnosis")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model, group and finding: its numbers, their redraws (rows of the weights), and what they rest on.

    `called` gives, by rule, the patients with an image called positive and with one called negative; `averaged` tells
    a mean over findings.
    """

    values: Mapping[Name, float]
    draws: Mapping[Name, Floats]
    images: int
    patients: int
    positives: int
    positive_patients: int
    negative_patients: int
    influence: Influence | None = None
    called: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    pooled: Mapping[Name, float] = field(default_factory=dict)
    note: str = ""
    notes: Mapping[Name, str] = field(default_factory=dict)
    averaged: bool = False


def of_run(
    test: Predicted,
    run: Run,
    *,
    groups: Mapping[Group, NDArray[np.bool_]],
    weights: Weights,
    thresholds: Mapping[tuple[str, str], float],
    rule: str,
    minimum: int,
    ranked: bool,
) -> dict[tuple[Group, str], Cell]:
    """Every cell of one model: each finding of each group, their mean (a single one again), and what is called at all.

    `thresholds` are by finding and rule; groups are measured at that of `rule` alone. Without `ranked` AUROC and
    average precision have redraws of the whole test set alone.
    """
    scored = test.of_run(run)
    cells: dict[tuple[Group, str], Cell] = {}
    for group, member in groups.items():
        for finding, held in scored.items():
            chosen = {name: value for (of, name), value in thresholds.items() if of == finding}
            if group != ALL:
                chosen = {name: value for name, value in chosen.items() if name == rule}
            part = within(held, member)
            cells[group, finding] = _cell(test, part, weights, chosen, minimum=minimum, ranked=ranked or group == ALL)
        of_group = {finding: cells[group, finding] for finding in scored}
        one, *others = test.findings
        cells[group, MEAN] = _mean(test, of_group, scored, member, weights) if others else of_group[one]
        called = _called(
            test, scored, member, weights, {of: cut for (of, name), cut in thresholds.items() if name == rule}
        )
        if called is not None:
            cells[group, ANY] = Cell(
                values={(name, rule): value for (name, _), value in called.values.items()},
                draws={(name, rule): value for (name, _), value in called.draws.items()},
                images=called.images,
                patients=called.patients,
                positives=called.positives,
                positive_patients=called.positive_patients,
                negative_patients=called.negative_patients,
            )
    return cells


def within(held: Scored, member: NDArray[np.bool_]) -> Scored:
    """The part of a model's images that a mask over all images keeps."""
    kept = member[held.rows]
    return Scored(held.rows[kept], held.scores[kept], held.labels[kept])


def area_draws(test: Predicted, part: Scored, *, weights: Weights, metric: str) -> Floats:
    """AUROC or average precision on every row of the weights, each by one call of scikit-learn with sample weights."""
    of_image = weights.matrix[:, test.units[part.rows]]
    measure = roc_auc_score if metric == "auroc" else average_precision_score
    found = np.full(len(of_image), np.nan)
    for row, own in enumerate(of_image):
        positives, images = float(own @ part.labels), float(own.sum())
        if positives and (metric != "auroc" or positives < images):
            kept = own > 0
            found[row] = measure(part.labels[kept], part.scores[kept], sample_weight=own[kept])
    return found


def points(scores: Floats, labels: NDArray[np.bool_], thresholds: Mapping[str, float]) -> dict[Name, float]:
    """The numbers on the test set itself, by scikit-learn."""
    positives, images = int(labels.sum()), len(labels)
    both = 0 < positives < images
    bins = np.digitize(scores, np.arange(1, redraws.BINS) / redraws.BINS)
    apart = sum(abs(float((scores - labels)[bins == place].sum())) for place in range(redraws.BINS))
    found: dict[Name, float] = {
        ("auroc", ""): float(roc_auc_score(labels, scores)) if both else math.nan,
        ("average_precision", ""): float(average_precision_score(labels, scores)) if both else math.nan,
        ("brier", ""): float(brier_score_loss(labels, scores, pos_label=True)) if images else math.nan,
        ("ece", ""): apart / images if images else math.nan,
    }
    for rule, threshold in thresholds.items():
        called = scores >= threshold
        table = confusion_matrix(labels, called, labels=[False, True]) if images else np.zeros((2, 2))
        (_, false), (_, true) = table.astype(float)
        counts = (np.array([value]) for value in (true, false, float(positives), float(images - positives)))
        at = redraws.at_threshold(*counts)
        found |= {(name, rule): math.nan if math.isnan(threshold) else float(value[0]) for name, value in at.items()}
    return found


def _cell(
    test: Predicted, part: Scored, weights: Weights, thresholds: Mapping[str, float], *, minimum: int, ranked: bool
) -> Cell:
    units, labels, count = test.units[part.rows], part.labels, weights.matrix.shape[1]
    draws = redraws.sums(part.scores, labels=labels, units=units, weights=weights.matrix, thresholds=thresholds)
    if ranked:
        draws |= redraws.areas(part.scores, labels=labels, units=units, weights=weights.matrix)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    lacking = (
        "images" if not len(labels) else "positive images" if not positives else "" if negatives else "negative images"
    )
    if lacking and ("average_precision", "") in draws:
        draws["average_precision", ""] = np.full(len(weights.matrix), np.nan)
    few = min(positives, negatives)
    kind = "positive" if positives == few else "negative"
    in_all, positive, negative = _patients(test, part)
    note = f"not estimable: no {lacking}" if lacking else f"uncertain: {few} {kind} images" if few < minimum else ""
    return Cell(
        values=points(part.scores, labels, thresholds),
        draws=draws,
        images=len(labels),
        positives=positives,
        patients=in_all,
        positive_patients=positive,
        negative_patients=negative,
        influence=influence.of_area(part.scores, labels=labels, units=units, count=count),
        called={rule: _of_calls(test, part, cut) for rule, cut in thresholds.items() if math.isfinite(cut)},
        note=note,
    )


def _of_calls(test: Predicted, part: Scored, threshold: float) -> tuple[int, int]:
    patients, called = test.patients[part.rows], part.scores >= threshold
    return len(set(patients[called].tolist())), len(set(patients[~called].tolist()))


def _patients(test: Predicted, part: Scored) -> tuple[int, int, int]:
    """Patients in all, with a positive image, and with a negative one."""
    patients = test.patients[part.rows]
    in_all, positive, negative = (
        set(held.tolist()) for held in (patients, patients[part.labels], patients[~part.labels])
    )
    return len(in_all), len(positive), len(negative)


def _mean(
    test: Predicted,
    cells: Mapping[str, Cell],
    scored: Mapping[str, Scored],
    member: NDArray[np.bool_],
    weights: Weights,
) -> Cell:
    """The unweighted mean over the findings that are estimable on the test set; a redraw must have all of them."""
    values: dict[Name, float] = {}
    draws: dict[Name, Floats] = {}
    pooled: dict[Name, float] = {}
    for name in dict.fromkeys(name for cell in cells.values() for name in cell.values):
        having = [cell for cell in cells.values() if math.isfinite(cell.values.get(name, math.nan))]
        values[name] = float(np.mean([cell.values[name] for cell in having])) if having else math.nan
        if all(name in cell.draws for cell in having) and having:
            drawn = np.stack([cell.draws[name] for cell in having])
            draws[name] = drawn.mean(axis=0)
            pooled[name] = spread(drawn[:, weights.drawn])
    estimable = {finding: cell for finding, cell in cells.items() if cell.influence is not None}
    rows = np.unique(np.concatenate([held.rows for held in scored.values()]))
    rows = rows[member[rows]]
    return Cell(
        values=values,
        draws=draws,
        images=len(rows),
        patients=len(set(test.patients[rows].tolist())),
        positives=sum(cell.positives for cell in cells.values()),
        positive_patients=min((cell.positive_patients for cell in estimable.values()), default=0),
        negative_patients=min((cell.negative_patients for cell in estimable.values()), default=0),
        influence=influence.mean([cell.influence for cell in estimable.values() if cell.influence is not None]),
        called=_fewest_called(cells.values()),
        pooled=pooled,
        notes={name: _note(test, cells, name) for name in values},
        averaged=True,
    )


def spread(drawn: Floats) -> float:
    """The standard deviation of all that could be estimated, findings and redraws in one array."""
    finite = drawn[np.isfinite(drawn)]
    return float(finite.std()) if finite.size else math.nan


def _fewest_called(held: Iterable[Cell]) -> dict[str, tuple[int, int]]:
    """By rule, the patients called positive and those called negative of the finding with fewest, but not none."""
    counts: dict[str, list[tuple[int, int]]] = {}
    for cell in held:
        for rule, count in cell.called.items():
            counts.setdefault(rule, []).append(count)
    found = {}
    for rule, each in counts.items():
        positive, negative = (min((count for count in side if count), default=0) for side in zip(*each, strict=True))
        found[rule] = positive, negative
    return found


def _note(test: Predicted, cells: Mapping[str, Cell], name: Name) -> str:
    """Of which findings a mean of one number is, and which of them rest on few images."""
    estimable = {of: cell for of, cell in cells.items() if math.isfinite(cell.values.get(name, math.nan))}
    if not estimable:
        return "not estimable: no finding is"
    lacking = [finding for finding in test.findings if finding not in estimable]
    doubtful = [finding for finding, cell in estimable.items() if cell.note]
    told = [f"over {len(estimable)} of {len(test.findings)} findings, without {', '.join(lacking)}"] * bool(lacking)
    told += [f"uncertain: few images for {', '.join(doubtful)}"] * bool(doubtful)
    return "; ".join(told)


def _called(
    test: Predicted,
    scored: Mapping[str, Scored],
    member: NDArray[np.bool_],
    weights: Weights,
    cuts: Mapping[str, float],
) -> Cell | None:
    """Images with a finding that are called free of all, and images without one that are called anything."""
    parts = [within(scored[finding], member) for finding in test.findings if finding in scored]
    known = len(parts) == len(test.findings) > 1 and all(math.isfinite(cuts.get(of, math.nan)) for of in test.findings)
    everywhere = (held.rows for held in scored.values())
    if not known or not _equal(everywhere):
        return None
    called = np.any([part.scores >= cuts[of] for of, part in zip(test.findings, parts, strict=True)], axis=0)
    present = np.any([part.labels for part in parts], axis=0)
    part = Scored(parts[0].rows, called.astype(float), present)
    units = test.units[part.rows]

    def total(of_image: NDArray[np.bool_]) -> Floats:
        return np.asarray(
            weights.matrix @ np.bincount(units, weights=of_image, minlength=weights.matrix.shape[1]), dtype=np.float64
        )

    missed = redraws.ratio(total(present & ~called), total(present))
    alarmed = redraws.ratio(total(~present & called), total(~present))
    in_all, positive, negative = _patients(test, part)
    draws = dict(zip(CALLED, (missed, alarmed), strict=True))
    return Cell(
        values={(name, ""): float(drawn[0]) for name, drawn in draws.items()},
        draws={(name, ""): drawn for name, drawn in draws.items()},
        images=len(part.rows),
        positives=int(present.sum()),
        patients=in_all,
        positive_patients=positive,
        negative_patients=negative,
    )


def _equal(arrays: Iterable[NDArray[np.intp]]) -> bool:
    first, *others = arrays
    return all(np.array_equal(first, other) for other in others)
