"""The evaluation of one experiment: its tables, and all that they rest on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from privrad.verify import cells, compared, gaps, predicted, redraws, related, tables, thresholds
from privrad.verify.cells import Cell
from privrad.verify.compared import Area
from privrad.verify.intervals import Kind, Support, interval
from privrad.verify.predicted import ALL, Group, Predicted, Run
from privrad.verify.read import VerifyError, content
from privrad.verify.redraws import Drawn, Name, Weights
from privrad.verify.tables import Key, Table, number

METRICS = ("arm", "seed", "finding", "group_by", "group", "metric", "rule")
FAIRNESS = ("arm", "seed", *gaps.KEYS)
OF_PATIENTS = {
    **dict.fromkeys(("sensitivity", "underdiagnosis"), "positive"),
    **dict.fromkeys(("specificity", "fpr", "overdiagnosis"), "negative"),
    **dict.fromkeys(("accuracy", "selection_rate"), "all"),
    **{"ppv": "called positive", "npv": "called negative"},
}
"""The proportions, and which patients' images each is a proportion of."""
UNBOUNDED = ("average_precision", "brier", "ece")
AFFORDED = 3e9
"""Up to how many weighted images every interval of a rank metric is redrawn; beyond, those of the whole test set."""
Rows = dict[Key, dict[str, Any]]


@dataclass(frozen=True)
class Modelled:
    """What was found of all models: rows of metrics.csv and fairness.csv, areas, and the parity of the sexes."""

    metrics: Rows = field(default_factory=dict)
    fairness: Rows = field(default_factory=dict)
    areas: dict[tuple[Run, Group, str], Area] = field(default_factory=dict)
    parity: dict[Run, tuple[Drawn, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """The evaluation of one experiment: its folder, the name that its files are told by, and what it rests on."""

    folder: Path
    name: str
    settings: Mapping[str, Any]
    test: Predicted
    validation: Predicted | None
    everything: bool
    held: dict[str, Table] = field(default_factory=dict)

    def table(self, file: str, keys: tuple[str, ...]) -> Table:
        """A table of the evaluation; VerifyError where it cannot be read."""
        if file not in self.held:
            self.held[file] = tables.read(self.folder / file, name=f"{self.name}/{file}", keys=keys)
        return self.held[file]

    @cached_property
    def groups(self) -> dict[Group, NDArray[np.bool_]]:
        """The members of every group."""
        named = dict.fromkeys((key[3], key[4]) for key in self.table("metrics.csv", METRICS).rows)
        return self.test.groups(named, edges=self.age_edges)

    @property
    def age_edges(self) -> list[float]:
        """The edges of the bands of age."""
        return self.test.age_edges(self.settings["age_bands"], minimum=self.settings["minimum_cell"])

    @cached_property
    def weights(self) -> Weights:
        return self.weigh(self.test)

    def weigh(self, images: Predicted) -> Weights:
        """The weights of a part of the images."""
        units = int(images.units.max()) + 1
        return redraws.weigh(units, redraws=self.settings["redraws"], seed=self.settings["seed"])

    @cached_property
    def cutoffs(self) -> dict[tuple[Run, str, str], float]:
        """The threshold of each model, finding and rule, as thresholds.csv says, which is checked for itself."""
        rows = self.table("thresholds.csv", thresholds.KEYS).rows
        return {
            ((arm, int(seed)), finding, rule): number(row["threshold"])
            for (arm, seed, finding, rule), row in rows.items()
        }

    @property
    def ranked(self) -> bool:
        """Whether every interval of a rank metric is redrawn."""
        images = sum(int(member.sum()) for member in self.groups.values())
        return self.everything or images * len(self.test.scored) * len(self.weights.matrix) <= AFFORDED

    @cached_property
    def modelled(self) -> Modelled:
        """All that is found of each model, one after the other."""
        found = Modelled()
        for run in self.test.epsilons:
            of_run = self.cells(run)
            found.metrics.update(self._metrics(run, of_run))
            found.fairness.update(self._fairness(run, of_run))
            found.areas.update(compared.areas(of_run, run, self.weights))
            if (parity := self._parity(run, of_run, found.fairness)) is not None:
                found.parity[run] = parity
        return found

    @cached_property
    def validated(self) -> Rows:
        """The rows of validation.csv."""
        held_out = self.validation
        if held_out is None:
            return {}
        asked: dict[str, Any] = {"groups": {ALL: np.ones(len(held_out.images), dtype=bool)}, "thresholds": {}}
        asked |= {"weights": self.weigh(held_out), "rule": "", "minimum": 0, "ranked": True}
        held: dict[tuple[Run, Group, str], Area] = {}
        for run in held_out.epsilons:
            held |= compared.areas(cells.of_run(held_out, run, **asked), run, asked["weights"])
        patients = len(set(held_out.patients.tolist()))
        settings = {name: self.settings[name] for name in ("confidence", "margin")}
        return dict(compared.validation(held, held_out.epsilons, patients, **settings))

    def cells(self, run: Run) -> dict[tuple[Group, str], Cell]:
        """Every cell of one model."""
        return cells.of_run(
            self.test,
            run,
            groups=self.groups,
            weights=self.weights,
            thresholds={(finding, rule): value for (of, finding, rule), value in self.cutoffs.items() if of == run},
            rule=self.settings["threshold"],
            minimum=self.settings["minimum_cell"],
            ranked=self.ranked,
        )

    def _metrics(self, run: Run, of_run: Mapping[tuple[Group, str], Cell]) -> Rows:
        rows: Rows = {}
        for (group, finding), cell in of_run.items():
            for name, value in cell.values.items():
                found = {"epsilon": self.test.epsilons[run], "value": value} | self._number(cell, name)
                rows[run[0], str(run[1]), finding, *group, *name] = found
        return rows

    def _number(self, cell: Cell, name: Name) -> dict[str, Any]:
        """The columns of one number, but for its value; without its interval where it was not redrawn."""
        counts = ("images", "patients", "positives", "positive_patients")
        found: dict[str, Any] = {each: getattr(cell, each) for each in counts}
        drawn = cell.draws.get(name)
        unknown = None if cell.averaged and drawn is None else math.nan
        found["pooled_sd"] = cell.pooled.get(name, unknown)
        if drawn is None:
            return found
        asked = {"confidence": self.settings["confidence"], "method": self.settings["intervals"]}
        made = interval(self.weights.taken(drawn), **asked, kind=_kind(cell, name[0]), support=_support(cell, name))
        found |= {each: getattr(made, each) for each in ("low", "high", "sd", "method", "degenerate")}
        return found | {"note": _note(cell, name, made.note)}

    def _fairness(self, run: Run, of_run: Mapping[tuple[Group, str], Cell]) -> Rows:
        found = gaps.of_run(
            of_run,
            findings=self.test.findings,
            weights=self.weights,
            confidence=self.settings["confidence"],
            minimum=self.settings["minimum_cell"],
        )
        of_model = {"epsilon": self.test.epsilons[run]}
        return {(run[0], str(run[1]), *key): of_model | row for key, row in found}

    def _parity(self, run: Run, of_run: Mapping[tuple[Group, str], Cell], fairness: Rows) -> tuple[Drawn, int] | None:
        rule = self.settings["threshold"]
        asked = (cells.MEAN, "sex", "accuracy_difference", rule)
        rows = {
            group: fairness.get((run[0], str(run[1]), *asked[:2], group[1], *asked[2:]))
            for group in self.groups
            if group[0] == "sex"
        }
        women_and_others = [group for group, row in rows.items() if row is not None and math.isfinite(row["value"])]
        return related.parity(of_run, compared=women_and_others, rule=rule, weights=self.weights)


def read(folder: Path, *, name: str, everything: bool) -> Experiment:
    """Read what an experiment's numbers rest on; `folder` is results/<study>/<experiment>/evaluate.

    Raises VerifyError, LookupError or TypeError for files that are not there or not as privrad writes them.
    """
    settings = content(folder / "summary.json")
    models = [(model["arm"], model["seed"]) for model in settings["models"]]
    paths = [folder.parent / "predict" / arm / f"seed-{seed}" / "predictions.parquet" for arm, seed in models]
    parts = predicted.read(paths, resample=settings["resample"])
    if "test" not in parts:
        raise VerifyError("no prediction is of the test split")
    return Experiment(folder, name, settings, parts["test"], parts.get("validation"), everything)


def _note(cell: Cell, name: Name, of_interval: str) -> str:
    said, why = cell.notes.get(name, cell.note), ""
    if math.isfinite(cell.values[name]):
        said = said.removeprefix("not estimable: ")
    elif not said.startswith("not estimable"):
        why = f"not estimable: no threshold by {name[1]}, or nothing to divide by" if name[1] else "not estimable"
    return "; ".join(dict.fromkeys(filter(None, (said, why, of_interval))))


def _kind(cell: Cell, metric: str) -> Kind:
    if metric == "auroc":
        return "mean_area" if cell.averaged else "area"
    if metric == "ece":
        return "biased"
    if metric not in OF_PATIENTS:
        return "other"
    return "mean_proportion" if cell.averaged else "proportion"


def _support(cell: Cell, name: Name) -> Support:
    """The patients that a number rests on: a proportion on those with images that it is a proportion of."""
    if name[0] not in OF_PATIENTS:
        counts = (cell.positive_patients, cell.negative_patients)
        return Support(positive_patients=counts[0], negative_patients=counts[1], influence=cell.influence)
    called = cell.called.get(name[1], (0, 0))
    of = {"positive": cell.positive_patients, "negative": cell.negative_patients, "all": cell.patients}
    of |= {"called positive": called[0], "called negative": called[1]}
    count = of[OF_PATIENTS[name[0]]]
    return Support(positive_patients=count, negative_patients=count)
