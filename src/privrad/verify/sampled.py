"""A sample of what was recomputed by sums over arrays, computed once more by scikit-learn and fairlearn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from sklearn.metrics import accuracy_score

from privrad.verify import cells
from privrad.verify.check import Check
from privrad.verify.experiment import METRICS, Experiment
from privrad.verify.intervals import deviation
from privrad.verify.predicted import ALL
from privrad.verify.tables import same

RANKED = ("auroc", "average_precision")
FRAMED = {
    "accuracy": accuracy_score,
    "selection_rate": selection_rate,
    "sensitivity": true_positive_rate,
    "fpr": false_positive_rate,
}
COLUMNS = 3
"""How many columns' groups fairlearn counts."""


def checks(experiment: Experiment) -> Iterator[Check]:
    """The spread over all redraws of one cell of each rank metric, and the rates of the groups of some columns.

    The redraws go through scikit-learn one by one, with the weights of the redraw; the rates through fairlearn. The
    cells are those of the first and the last model, a finding each.
    """
    yield from _redrawn(experiment)
    yield from _framed(experiment)


def _redrawn(experiment: Experiment) -> Iterator[Check]:
    table, scored = experiment.table("metrics.csv", METRICS), list(experiment.test.scored)
    for metric, (run, finding) in zip(RANKED, (scored[0], scored[-1]), strict=True):
        held = experiment.test.scored[run, finding]
        draws = cells.area_draws(experiment.test, held, weights=experiment.weights, metric=metric)
        row = table.rows[run[0], str(run[1]), finding, *ALL, metric, ""]
        taken = experiment.weights.taken(draws)
        for column, found in (("value", taken.value), ("sd", deviation(taken.draws))):
            what = f"{metric} of {finding}, {run[0]}, on each redraw by scikit-learn: {column}"
            yield Check(what=what, file=table.name, said=row[column], found=found, holds=same(row[column], found))


def _framed(experiment: Experiment) -> Iterator[Check]:
    table, rule = experiment.table("metrics.csv", METRICS), experiment.settings["threshold"]
    (run, finding), held = list(experiment.test.scored.items())[-1]
    called = held.scores >= experiment.cutoffs[run, finding, rule]
    columns = dict.fromkeys(column for column, _ in experiment.groups if column != ALL[0])
    for column in islice(columns, COLUMNS):
        of_image = np.full(len(experiment.test.images), "", dtype=object)
        for (of, value), member in experiment.groups.items():
            if of == column:
                of_image[member] = value
        frame: Any = MetricFrame(
            metrics=FRAMED, y_true=held.labels, y_pred=called, sensitive_features=of_image[held.rows]
        )
        for group, rates in frame.by_group.iterrows():
            rows = {name: table.rows[run[0], str(run[1]), finding, column, str(group), name, rule] for name in FRAMED}
            cut = {name: row["value"] for name, row in rows.items() if row["value"]}
            found = {name: float(rates[name]) for name in cut}
            holds = all(same(cut[name], found[name]) for name in cut)
            what = f"rates of {column} {group}, {finding}, {run[0]}, by fairlearn"
            yield Check(what=what, file=table.name, said=cut, found=found, holds=holds)
