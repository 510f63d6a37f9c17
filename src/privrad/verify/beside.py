"""What figures/published.csv says of a study beside published results: ours, and the difference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from privrad.verify import cells, tables
from privrad.verify.check import Check
from privrad.verify.experiment import Experiment
from privrad.verify.predicted import ALL, QUARTILES, Group
from privrad.verify.read import VerifyError
from privrad.verify.shown import HIDDEN
from privrad.verify.tables import Key, number

KEYS = ("metric", "epsilon", "group")
GROUPS: dict[str, Group] = {"total": ALL, "male": ("sex", "M"), "female": ("sex", "F")}
QUARTER = "age_q"
OVER_TRAININGS = "pdac"
"""The dataset whose published numbers are means over trainings; of the other they are of the first training."""


def checks(experiment: Experiment) -> Iterator[Check]:
    """Every row where ours is shown: our mean over findings, and ours less theirs. Theirs is taken as stated."""
    path = experiment.folder.parent / "figures" / "published.csv"
    if not path.is_file():
        return
    name = f"{experiment.name.rpartition('/')[0] or '.'}/figures/{path.name}"
    table = tables.read(path, name=name, keys=KEYS)
    found: dict[Key, dict[str, Any]] = {}
    for key, row in table.rows.items():
        group = GROUPS.get(key[2]) or _band(experiment, key[2])
        found[key] = {"ours_group": group[1]}
        if row["ours"] in HIDDEN:
            found[key] |= {"ours": row["ours"], "difference": math.nan}
            continue
        values = _ours(experiment, key[0], key[1], group, over_trainings=row["dataset"] == OVER_TRAININGS)
        ours = float(np.mean(values)) if values and row["ours"] else math.nan
        spread = float(np.std(values, ddof=1)) if len(values) > 1 and row["ours"] else math.nan
        found[key] |= {"trainings": len(values), "ours": ours, "ours_training_sd": spread}
        found[key]["difference"] = ours - number(row["theirs"])
    yield from tables.held(table, found)


def _ours(experiment: Experiment, metric: str, epsilon: str, group: Group, *, over_trainings: bool) -> list[float]:
    """The mean over findings of one group at one epsilon, by training."""
    rule = experiment.settings["threshold"]
    epsilons = experiment.test.epsilons
    runs = [run for run, own in epsilons.items() if run[0] != "eps-inf-matched" and np.isclose(own, float(epsilon))]
    runs = runs if over_trainings else sorted(runs, key=lambda run: run[1])[:1]
    values = []
    for arm, seed in runs:
        start = (arm, str(seed), cells.MEAN, *group)
        rows = experiment.modelled.metrics if metric == "auroc" else experiment.modelled.fairness
        last = ("auroc", "") if metric == "auroc" else ("accuracy_difference", rule)
        values.append(float(rows[(*start, *last)]["value"]))
    return values


def _band(experiment: Experiment, group: str) -> Group:
    """The band of age that a published one is held against: by its limits, or of four quarters by its place."""
    if not group.startswith(QUARTER):
        return ("age", group)
    edges = experiment.age_edges
    if experiment.settings["age_bands"] != QUARTILES or len(edges) != 5:
        raise VerifyError(f"{group} is held against a study without four quarters of age")
    place = int(group.removeprefix(QUARTER))
    return ("age", f"[{edges[place - 1]:g},{edges[place]:g})")
