"""Each table of an evaluation with what is hidden in it, once it is decided what becomes of every count and rate."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from privrad.report import release_curves, release_rates
from privrad.report.measurements import Measurements
from privrad.report.release_counts import ALL, COUNTED, HELD_OUT, MEAN, TESTED, Counts, Key, of_metrics
from privrad.report.release_curves import Chain
from privrad.report.release_linked import SHOWN, SMALL
from privrad.report.release_rates import Rates

Row = Mapping[Any, Any]
TOO_FEW, KEPT_BACK = "too few", "withheld"
PAIRS = 1000
"""Of so many pairs of a positive and a negative image an area has every value of three decimals."""
BASE = {"calibration": "ece"}
GONE = (
    *("value", "low", "high", "sd", "pooled_sd", "degenerate", "simultaneous_low", "simultaneous_high"),
    *("p_simultaneous", "flagged", "p_bootstrap", "p_bootstrap_holm", "delong_z", "p_delong", "p_delong_holm"),
    *("p_hanley_mcneil", "p_noninferior", "noninferior", "p_equivalent", "equivalent", "mean", "sampling_sd"),
    *("auroc", "reference_auroc", "drop"),
)
"""What goes with a hidden value."""


def said(state: str, *, minimum: int) -> str:
    """The text for a count: none for one that is shown, "<10" for a small one."""
    return f"<{minimum}" if state == SMALL else KEPT_BACK if state else ""


def with_texts(table: pd.DataFrame, texts: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The table with a text column beside each of these, NaN where there is a text."""
    made = table.copy()
    for column, shown in texts.items():
        made[f"{column}_shown"] = list(shown)
        made[column] = made[column].astype(float).mask(made[f"{column}_shown"] != "")
    return made


def without(table: pd.DataFrame, texts: Sequence[str], *, column: str = "value") -> pd.DataFrame:
    """The table with a text column for `column`; where there is a text, all that goes with the number is gone."""
    made = table.copy()
    made[f"{column}_shown"] = list(texts)
    hidden = made[f"{column}_shown"] != ""
    for name in (name for name in GONE if name in made and hidden.any()):
        kept = made[name] if made[name].dtype == object or made[name].dtype == bool else made[name].astype(float)
        made[name] = kept.astype(object).mask(hidden) if kept.dtype == bool else kept.mask(hidden)
    for name in ("note", "method"):
        if name in made:
            made.loc[hidden, name] = made.loc[hidden, f"{column}_shown"] if name == "note" else ""
    return made


class Masks:
    """The tables of one evaluation, each as it may be shown."""

    def __init__(self, measured: Measurements, counts: Counts, *, minimum: int, few: int) -> None:
        self.measured, self.counts, self.minimum, self.few = measured, counts, minimum, few
        self.rates = release_rates.decide(measured.metrics, counts, minimum=minimum) if minimum else {}
        self.unsummed = {
            (key.by, key.group)
            for (key, _), state in counts.states.items()
            if state and key.part == TESTED and key.finding and key.unit in ("images", "patients")
        }
        self.sizes: dict[tuple[str, str, float], list[str]] = defaultdict(list)
        for (key, value), state in counts.states.items():
            if key.part == TESTED and not key.finding:
                self.sizes[key.by, key.unit, value].append(state)
        self.ranked: dict[tuple[str, int, str, str, str], str] = {}
        self.values: dict[tuple[str, int, str, str, str, str, str], str] = {}
        self._rank()

    def measurements(self) -> Measurements:
        """All tables; in the order in which they lean on each other."""
        metrics = self._metrics()
        drawn = self._drawn()
        points = self._points()
        fairness = self._fairness()
        return Measurements(
            metrics=metrics,
            differences=without(self.measured.differences, self._of_areas(self.measured.differences)),
            fairness=fairness,
            significance=without(self.measured.significance, self._of_areas(self.measured.significance)),
            thresholds=self._thresholds(),
            validation=self._validation(),
            curves=drawn.curves,
            reliability=with_texts(
                drawn.reliability, dict.fromkeys(("images", "positives"), [""] * len(drawn.reliability))
            ),
            scores=with_texts(drawn.scores, {"images": [""] * len(drawn.scores)}),
            correlations=self._correlations(points, fairness),
            correlation_points=points,
            seeds=self._seeds(metrics),
        )

    def _rank(self) -> None:
        """What becomes of the areas and errors of each cell, and of their means over findings."""
        held = ["arm", "seed", "finding", "group_by", "group", "images", "patients", "positives", "positive_patients"]
        rows = self.measured.metrics[held].drop_duplicates().to_dict("records")
        of_mean: dict[tuple[str, int, str, str], list[str]] = defaultdict(list)
        for row in rows:
            if row["finding"] != MEAN:
                text = self._rank_of(row)
                self.ranked[_place(row)] = text
                if row["positives"] > 0 or text:
                    of_mean[row["arm"], row["seed"], row["group_by"], row["group"]].append(text)
        for row in rows:
            if row["finding"] == MEAN:
                texts = of_mean[row["arm"], row["seed"], row["group_by"], row["group"]]
                few = TOO_FEW if self._is_few(row) else ""
                self.ranked[_place(row)] = few or _worse(texts)

    def _is_few(self, row: Row) -> bool:
        return bool(row["group_by"] != ALL and row["patients"] < self.few)

    def _rank_of(self, row: Row, *, part: str = TESTED) -> str:
        if self._is_few(row):
            return TOO_FEW
        images, positives = float(row["images"]), float(row["positives"])
        key = of_metrics(row, "positives", part=part)
        states = [
            self.counts.state(of_metrics(row, name, part=part), float(row[name])) for name in COUNTED if name in row
        ]
        split = [states[0], self.counts.state(key, positives), self.counts.negatives(key, images, positives)]
        if SMALL in (*states, *split):
            return TOO_FEW
        return KEPT_BACK if any(split) and positives * (images - positives) < PAIRS else ""

    def _metrics(self) -> pd.DataFrame:
        table = self.measured.metrics
        rows = table.to_dict("records")
        texts = [self._value(row) for row in rows]
        for row, text in zip(rows, texts, strict=True):
            self.values[(*_place(row), row["metric"], row["rule"])] = text
        counts = {column: [self._count(row, column) for row in rows] for column in COUNTED}
        return with_texts(without(table, texts), counts)

    def _value(self, row: Row) -> str:
        if self._is_few(row):
            return TOO_FEW
        rates = self.rates.get((row["arm"], row["seed"], row["rule"]))
        place = (row["finding"], row["group_by"], row["group"])
        if row["rule"] and rates and math.isfinite(row["value"]):
            return rates.text(place, row["metric"], minimum=self.minimum)
        return self.ranked[_place(row)]

    def _count(self, row: Row, column: str, *, part: str = TESTED) -> str:
        if self.minimum and row["finding"] == MEAN and COUNTED[column]:
            return self._sum(row["group_by"], row["group"])
        state = self.counts.state(of_metrics(row, column, part=part), float(row[column])) if self.minimum else SHOWN
        return said(state, minimum=self.minimum)

    def _sum(self, by: str, group: str) -> str:
        """A sum over findings, shown where each of them is."""
        return KEPT_BACK if (by, group) in self.unsummed else ""

    def _of_areas(self, table: pd.DataFrame) -> list[str]:
        """For a comparison of two models, what becomes of the areas that it is made of."""
        seeds: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
        for (arm, _, finding, by, group), text in self.ranked.items():
            seeds[arm, finding, by, group].append(text)
        texts = []
        for row in table.to_dict("records"):
            cell = (row["finding"], row.get("group_by", ALL), row.get("group", ALL))
            own = self.ranked.get((row["arm"], row["seed"], *cell), KEPT_BACK)
            texts.append(_worse([own, *seeds[(row["reference"], *cell)]]))
        return texts

    def _fairness(self) -> pd.DataFrame:
        """A difference or a range is shown where the numbers and the weights of all groups that were compared are."""
        table = self.measured.fairness
        rows = table.to_dict("records")
        compared: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        for row in rows:
            if math.isfinite(row["value"]) and not row["group"].startswith("("):
                own = self.values.get((*_place(row), _base(row), row["rule"]), KEPT_BACK)
                compared[_family(row)].append(own or self._gap_count(row, "images"))
        texts = [self._gap(row, compared[_family(row)]) for row in rows]
        counts = {column: [self._gap_count(row, column) for row in rows] for column in ("images", "patients")}
        return with_texts(without(table, texts), counts)

    def _gap(self, row: Row, compared: Sequence[str]) -> str:
        if row["group"].startswith("("):
            return KEPT_BACK if any(compared) else ""
        own = self.values.get((*_place(row), _base(row), row["rule"]), KEPT_BACK)
        if not math.isfinite(row["value"]):
            return TOO_FEW if own or row["note"].startswith(TOO_FEW) else ""
        return own if own == TOO_FEW else KEPT_BACK if any(compared) else ""

    def _gap_count(self, row: Row, column: str) -> str:
        if row["group"].startswith("(") and self.minimum and row[column]:
            held = [
                state for by in (ALL, row["group_by"]) for state in self.sizes.get((by, column, float(row[column])), ())
            ]
            return KEPT_BACK if not held or any(held) else ""
        return self._count(row, column) if row[column] == row[column] else ""

    def _thresholds(self) -> pd.DataFrame:
        table = self.measured.thresholds
        rows = table.to_dict("records")
        shown: dict[str, list[str]] = {name: [] for name in ("images", "positives", "sensitivity", "specificity")}
        for row in rows:
            part = TESTED if row["rule"] == "youden_test" else HELD_OUT
            for column in ("images", "positives"):
                shown[column].append(self._count(row, column, part=part))
            for column in ("sensitivity", "specificity"):
                shown[column].append(self._chosen(row, column, part=part) if self.minimum else "")
        made = with_texts(table, shown)
        hidden = (made[["images_shown", "positives_shown"]] != "").any(axis=1)
        made.loc[hidden, "note"] = KEPT_BACK
        return made

    def _chosen(self, row: Row, column: str, *, part: str) -> str:
        """A rate on the images that a cut-off was chosen on: those of validation stand alone."""
        if not math.isfinite(row[column]):
            return ""
        if part == TESTED:
            rates = self.rates.get((row["arm"], row["seed"], row["rule"]))
            return rates.text((row["finding"], ALL, ALL), column, minimum=self.minimum) if rates else KEPT_BACK
        images, positives = float(row["images"]), float(row["positives"])
        key = of_metrics(row, "positives", part=part)
        of = positives if column == "sensitivity" else images - positives
        known = self.counts.state(key, positives)
        dark = known if column == "sensitivity" else self.counts.negatives(key, images, positives)
        side: release_rates.Side = "positive" if column == "sensitivity" else "negative"
        share = row[column] if side == "positive" else 1 - row[column]
        place = (row["finding"], ALL, ALL)
        called = release_rates.Called(float(round(share * of)), of, dark)
        least = min(called.called, of - called.called)
        state = SMALL if 0 < least < self.minimum else SHOWN
        return Rates({(side, place): called}, {(side, place): state}).text(place, column, minimum=self.minimum)

    def _validation(self) -> pd.DataFrame:
        held_out = self.measured.thresholds[self.measured.thresholds["rule"] != "youden_test"]
        texts = [self._rank_of(row, part=HELD_OUT) for row in _everywhere(held_out)] if self.minimum else []
        table = self.measured.validation
        rows = table.to_dict("records")
        counts: dict[str, list[str]] = {
            column: [
                said(self.counts.state(Key(HELD_OUT, ALL, ALL, "", column), float(row[column])), minimum=self.minimum)
                if self.minimum
                else ""
                for row in rows
            ]
            for column in ("images", "patients")
        }
        return with_texts(without(table, [_worse(texts)] * len(table)), counts)

    def _drawn(self) -> release_curves.Drawn:
        measured = self.measured
        if not self.minimum:
            return release_curves.Drawn(measured.curves, measured.reliability, measured.scores)
        chains = {}
        overall = measured.metrics[(measured.metrics["group_by"] == ALL) & (measured.metrics["finding"] != MEAN)]
        for row in overall[["arm", "seed", "finding", "images", "positives"]].drop_duplicates().to_dict("records"):
            chain = self._chain({**row, "group_by": ALL, "group": ALL})
            if chain:
                chains[row["arm"], row["seed"], row["finding"]] = chain
        return release_curves.fit_to_leave(measured.curves, measured.reliability, measured.scores, chains=chains)

    def _chain(self, row: Row) -> Chain | None:
        """The cut-offs whose rates are shown; None where counts, or rates that groups add up to, are withheld."""
        images, positives = float(row["images"]), float(row["positives"])
        key = of_metrics(row, "positives")
        known = self.counts.state(of_metrics(row, "images"), images) or self.counts.state(key, positives)
        if known or self.counts.negatives(key, images, positives) or not 0 < positives < images:
            return None
        points = []
        for (arm, seed, _), rates in self.rates.items():
            if (arm, seed) != (row["arm"], row["seed"]):
                continue
            place = (row["finding"], ALL, ALL)
            at = []
            for side in ("negative", "positive"):
                state, held = rates.states.get((side, place), SHOWN), rates.sides.get((side, place))
                if state == KEPT_BACK:
                    return None
                at.append(math.nan if state or held is None or held.dark else held.called)
            points.append((at[0], at[1]))
        return Chain(images - positives, positives, self.minimum, points)

    def _points(self) -> pd.DataFrame:
        """A finding's number of cases is that of its positive test images."""
        table = self.measured.correlation_points
        rows = table.to_dict("records")
        cases = [self._count({**row, "positives": row["cases"]}, "positives") for row in rows]
        of_arm: dict[tuple[str, str], list[str]] = defaultdict(list)
        for (arm, _, finding, by, _), text in self.ranked.items():
            if by == ALL:
                of_arm[arm, finding].append(text)
        hidden = [_worse(of_arm[row["arm"], row["finding"]]) for row in rows]
        return with_texts(without(table, hidden, column="auroc"), {"cases": cases})

    def _correlations(self, points: pd.DataFrame, fairness: pd.DataFrame) -> pd.DataFrame:
        """A correlation is shown where all that it is made of is; else one unknown point could be solved for."""
        table = self.measured.correlations
        hidden = bool((points["cases_shown"] != "").any() or (points["auroc_shown"] != "").any())
        parity = fairness[(fairness["finding"] == MEAN) & (fairness["metric"] == "accuracy_difference")]
        parity = parity[parity["group_by"] == "sex"]
        unequal = bool((parity["value_shown"] == KEPT_BACK).any())
        texts = [KEPT_BACK if (unequal if "parity" in name else hidden) else "" for name in table["statistic"]]
        return without(table, texts)

    def _seeds(self, metrics: pd.DataFrame) -> pd.DataFrame:
        overall = metrics[metrics["group_by"] == ALL]
        shown = overall.groupby(["arm", "finding", "metric"])["value_shown"].agg(lambda texts: _worse(list(texts)))
        held: dict[Any, str] = dict(shown.items())
        table = self.measured.seeds
        texts = [held.get((row["arm"], row["finding"], row["metric"]), "") for row in table.to_dict("records")]
        return without(table, texts, column="mean").pipe(
            lambda made: made.assign(sd=made["sd"].mask(made["mean_shown"] != ""))
        )


def _everywhere(table: pd.DataFrame) -> list[dict[Any, Any]]:
    rows = table[["finding", "images", "positives"]].drop_duplicates().to_dict("records")
    return [{**row, "group_by": ALL, "group": ALL, "patients": math.inf} for row in rows]


def _place(row: Row) -> tuple[str, int, str, str, str]:
    return row["arm"], row["seed"], row["finding"], row["group_by"], row["group"]


def _family(row: Row) -> tuple[Any, ...]:
    """The groups that a difference, a range or a worst group is taken over."""
    return row["arm"], row["seed"], row["finding"], row["group_by"], row["rule"], _base(row)


def _base(row: Row) -> str:
    name = str(row["metric"]).removesuffix("_difference").removesuffix("_range")
    return BASE.get(name, name)


def _worse(texts: Sequence[str]) -> str:
    """Of several texts the one that says most plainly why a number of them is hidden."""
    return TOO_FEW if TOO_FEW in texts else next(filter(None, texts), "")
