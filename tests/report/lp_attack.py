"""An attack on released tables: all linear facts that an outsider reads off them, and the bounds that follow.

It knows the tables as they are shown (three decimals, text columns), what groups add up to, and what the texts of
hidden numbers mean. It shares no code with what hides them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from privrad.report.release import Tables

HALF = 0.0005 + 1e-9
RUN = ("arm", "seed", "rule")
Name = tuple[Any, ...]
Nobody = Literal["small", "crossed", "anywhere"]


@dataclass(frozen=True)
class Reader:
    """What an attacker makes of what is not shown.

    `negatives`: of each group, whether those are below the minimum; empty for one who does not know. `nobody`: where a
    small count may be 0: in small groups and what is crossed from them as documented, in all crossed groups too, or
    anywhere.
    """

    negatives: Mapping[Name, bool] = field(default_factory=dict)
    nobody: Nobody = "small"


@dataclass
class Knowledge:
    """What is known: bounds of each unknown number, and of sums of them."""

    minimum: int
    texts_alone: bool = False
    reader: Reader = Reader()
    bounds: dict[Name, tuple[float, float]] = field(default_factory=dict)
    rows: list[tuple[dict[Name, float], float, float]] = field(default_factory=list)

    def number(self, name: Name, low: float = 0.0, high: float = math.inf) -> Name:
        own = self.bounds.get(name, (0.0, math.inf))
        self.bounds[name] = (max(own[0], low), min(own[1], high))
        return name

    def fact(self, terms: Mapping[Name, float], low: float = 0.0, high: float = 0.0) -> None:
        for name in terms:
            self.number(name)
        self.rows.append((dict(terms), low, high))

    def reach(
        self, wanted: Mapping[Name, tuple[float, float]], *, whole: bool = False
    ) -> dict[Name, tuple[float, float]]:
        """How low and how high each number can be; one that covers what is wanted of it is not pursued further.

        With `whole`, all numbers are whole.
        """
        names = list(self.bounds)
        places = {each: at for at, each in enumerate(names)}
        entries = [
            (at, places[each], factor) for at, (terms, _, _) in enumerate(self.rows) for each, factor in terms.items()
        ]
        down, across, factors = (np.array(each) for each in zip(*entries, strict=True))
        matrix = csr_array((factors.astype(float), (down, across)), shape=(len(self.rows), len(names)))
        known = LinearConstraint(matrix, [row[1] for row in self.rows], [row[2] for row in self.rows])
        limits = np.array(list(self.bounds.values()))
        reached = np.column_stack([np.full(len(names), math.inf), np.full(len(names), -math.inf)])

        def solve(objective: NDArray[np.float64], upper: NDArray[np.float64] = limits[:, 1]) -> None:
            found = milp(
                objective,
                constraints=known,
                bounds=Bounds(limits[:, 0], upper),
                integrality=np.full(len(names), int(whole)),
            )
            assert found.status == 0, f"the released tables contradict each other: {found.message}"
            reached[:, 0] = np.minimum(reached[:, 0], found.x)
            reached[:, 1] = np.maximum(reached[:, 1], found.x)

        every = np.zeros(len(names))
        every[[places[name] for name in wanted]] = 1.0
        solve(every)
        limited = np.where(np.isfinite(limits[:, 1]), -every, every)
        solve(limited)
        for name, target in wanted.items():
            for side, sign in ((0, 1.0), (1, -1.0)):
                if sign * (reached[places[name], side] - target[side]) > 1e-6:
                    own, upper = np.zeros(len(names)), limits[:, 1].copy()
                    own[places[name]] = sign
                    upper[places[name]] = min(upper[places[name]], target[1] + 1)
                    solve(own, upper)
        return {name: (float(reached[places[name], 0]), float(reached[places[name], 1])) for name in wanted}


def of_cell(by: str, group: str, finding: str, what: str) -> Name:
    return ("test", by, group, finding, what)


def learn(tables: Tables, *, minimum: int, reader: Reader, texts_alone: bool = False) -> Knowledge:
    """Everything linear in the released tables of a study of which every accepted image was predicted.

    With `texts_alone`, what is known where every number but 0 were withheld: the texts of small counts, and the sums.
    """
    known = Knowledge(minimum, texts_alone, reader)
    metrics = tables.measurements.metrics
    _sizes(known, metrics)
    _balance(known, tables.balance)
    _flow(known, tables.flow)
    _sums(known, metrics)
    if texts_alone:
        return known
    for run, rows in metrics[metrics["rule"] != ""].groupby(list(RUN), sort=False):
        _rates(known, rows, run)
        _means(known, rows, run)
        _differences(known, tables.measurements.fairness, rows, run)
    return known


def _read(known: Knowledge, name: Name, value: float, text: str, *, empty: bool) -> None:
    """What a count or its text says; `empty` where a small one may be nobody."""
    if text == f"<{known.minimum}":
        known.number(name, 0.0 if empty or known.reader.nobody == "anywhere" else 1.0, known.minimum - 1)
    elif text or (known.texts_alone and value):
        known.number(name, known.minimum)
    else:
        known.number(name, value, value)


def _sizes(known: Knowledge, metrics: pd.DataFrame) -> None:
    single = metrics[metrics["finding"] != "mean"].drop_duplicates(["finding", "group_by", "group"])
    few = single[["images_shown", "patients_shown"]].isin([f"<{known.minimum}"]).any(axis=1)
    small = set(zip(single.loc[few, "group_by"], single.loc[few, "group"], strict=True))
    for row in single.to_dict("records"):
        by, group, finding = row["group_by"], row["group"], row["finding"]
        crossed = known.reader.nobody == "crossed" and " & " in by
        margins = {("all", "all"), *zip(by.split(" & "), group.split(" & "), strict=True)} - {(by, group)}
        for column, of in (("images", ""), ("patients", ""), ("positives", finding), ("positive_patients", finding)):
            name = of_cell(by, group, of, "patients" if column.endswith("patients") else "images")
            within = margins | {(by, group)} if of else margins
            _read(known, name, row[column], row[f"{column}_shown"], empty=crossed or bool(within & small))
        images, people = of_cell(by, group, "", "images"), of_cell(by, group, "", "patients")
        positives, cases = of_cell(by, group, finding, "images"), of_cell(by, group, finding, "patients")
        negatives = of_cell(by, group, finding, "negatives")
        if negatives in known.reader.negatives:
            few_negatives = known.reader.negatives[negatives]
            known.number(negatives, *((0.0, known.minimum - 1) if few_negatives else (known.minimum, math.inf)))
        known.fact({positives: 1, negatives: 1, images: -1})
        for more, less in ((images, people), (positives, cases), (people, cases)):
            known.fact({more: 1, less: -1}, high=math.inf)
        known.fact({images: 1, people: -1, positives: -1, cases: 1}, high=math.inf)
        known.fact({negatives: 1, people: -1, cases: 1}, high=math.inf)


def _balance(known: Knowledge, balance: pd.DataFrame) -> None:
    for row in balance.to_dict("records"):
        place = (
            (row["column"], row["value"], "")
            if row["column"] in ("all", "sex", "age")
            else ("all", "all", row["column"])
        )
        for unit in ("images", "patients"):
            _read(known, (row["split"], *place, unit), row[unit], row[f"{unit}_shown"], empty=False)
    for part in balance["split"].unique():
        for column in ("sex", "age"):
            values = balance.loc[(balance["split"] == part) & (balance["column"] == column), "value"]
            for unit in ("images", "patients"):
                _add_up(known, (part, "all", "all", "", unit), [(part, column, value, "", unit) for value in values])


def _flow(known: Knowledge, flow: pd.DataFrame) -> None:
    for row in flow.to_dict("records"):
        _read(known, ("flow", row["step"], row["reason"]), row["count"], row["count_shown"], empty=False)
    refused = [("flow", "ingest", reason) for reason in flow.loc[flow["step"] == "ingest", "reason"]]
    _add_up(known, ("flow", "found", ""), [("flow", "accepted", ""), *refused])
    _add_up(
        known,
        ("flow", "accepted", ""),
        [(part, "all", "all", "", "images") for part in ("train", "validation", "test")],
    )


def _add_up(known: Knowledge, whole: Name, parts: Iterable[Name]) -> None:
    known.fact({whole: -1.0, **dict.fromkeys(parts, 1.0)})


def _sums(known: Knowledge, metrics: pd.DataFrame) -> None:
    """Groups of a column add up to all images, crossed groups to each; images with k findings have k positives."""
    single = metrics[metrics["finding"] != "mean"]
    findings = [finding for finding in single["finding"].unique() if finding != "any"]
    groups = single[["group_by", "group"]].drop_duplicates().to_dict("records")
    for what in ("images", "patients", "negatives"):
        for finding in single["finding"].unique() if what == "negatives" else ["", *single["finding"].unique()]:
            for by in dict.fromkeys(row["group_by"] for row in groups):
                values = [row["group"] for row in groups if row["group_by"] == by]
                if by != "all" and not (what == "patients" and by == "findings"):
                    _add_up(
                        known,
                        of_cell("all", "all", finding, what),
                        [of_cell(by, value, finding, what) for value in values],
                    )
                for place, one in enumerate(by.split(" & ")) if " & " in by else ():
                    for margin in {value.split(" & ")[place] for value in values}:
                        inner = [value for value in values if value.split(" & ")[place] == margin]
                        _add_up(
                            known,
                            of_cell(one, margin, finding, what),
                            [of_cell(by, value, finding, what) for value in inner],
                        )
    for row in groups:
        own = [of_cell(row["group_by"], row["group"], finding, "images") for finding in findings]
        some = of_cell(row["group_by"], row["group"], "any", "images")
        known.fact({**dict.fromkeys(own, 1.0), some: -1.0}, high=math.inf)
        for each in own:
            known.fact({some: 1.0, each: -1.0}, high=math.inf)
        if row["group_by"] == "findings":
            known.fact(
                {**dict.fromkeys(own, 1.0), of_cell("findings", row["group"], "", "images"): -float(row["group"])}
            )


def called(run: Name, by: str, group: str, finding: str, side: str) -> Name:
    return (*run, by, group, finding, side)


def _rates(known: Knowledge, rows: pd.DataFrame, run: Name) -> None:
    single = rows[rows["finding"] != "mean"]
    for row in single.to_dict("records"):
        place = row["group_by"], row["group"], row["finding"]
        positives, negatives = of_cell(*place, "images"), of_cell(*place, "negatives")
        true, false = (called(run, *place, side) for side in ("positive", "negative"))
        known.fact({positives: 1, true: -1}, high=math.inf)
        known.fact({negatives: 1, false: -1}, high=math.inf)
        low, high = _bounds(row)
        if row["metric"] in ("underdiagnosis", "specificity"):
            low, high = 1 - high, 1 - low
        tops: dict[str, tuple[dict[Name, float], dict[Name, float]]] = {
            **dict.fromkeys(("sensitivity", "underdiagnosis"), ({true: 1}, {positives: 1})),
            **dict.fromkeys(("fpr", "specificity", "overdiagnosis"), ({false: 1}, {negatives: 1})),
            "accuracy": ({true: 1, negatives: 1, false: -1}, {positives: 1, negatives: 1}),
            "selection_rate": ({true: 1, false: 1}, {positives: 1, negatives: 1}),
            "ppv": ({true: 1}, {true: 1, false: 1}),
            "npv": ({negatives: 1, false: -1}, {negatives: 1, false: -1, positives: 1, true: -1}),
        }
        if row["metric"] in tops and (low > 0 or high < 1):
            top, under = tops[row["metric"]]
            for bound, sign in ((low, 1.0), (high, -1.0)):
                terms = {name: sign * factor for name, factor in top.items()}
                for name, factor in under.items():
                    terms[name] = terms.get(name, 0.0) - sign * bound * factor
                known.fact(terms, high=math.inf)
    groups = single[["group_by", "group"]].drop_duplicates().to_dict("records")
    for finding in single["finding"].unique():
        for side in ("positive", "negative"):
            for by in dict.fromkeys(row["group_by"] for row in groups if row["group_by"] != "all"):
                values = [row["group"] for row in groups if row["group_by"] == by]
                _add_up(
                    known,
                    called(run, "all", "all", finding, side),
                    [called(run, by, value, finding, side) for value in values],
                )
                for at, one in enumerate(by.split(" & ")) if " & " in by else ():
                    for margin in {value.split(" & ")[at] for value in values}:
                        inner = [
                            called(run, by, value, finding, side)
                            for value in values
                            if value.split(" & ")[at] == margin
                        ]
                        _add_up(known, called(run, one, margin, finding, side), inner)


def _bounds(row: Mapping[Any, Any]) -> tuple[float, float]:
    """What a shown rate, or the bound that stands for it, leaves possible."""
    text = row["value_shown"]
    if text.startswith(("> ", "< ")):
        return (float(text[2:]), 1.0) if text[0] == ">" else (0.0, float(text[2:]))
    if text or not math.isfinite(row["value"]):
        return 0.0, 1.0
    shown = round(row["value"], 3)
    return max(shown - HALF, 0.0), min(shown + HALF, 1.0)


def _fixed(known: Knowledge, name: Name) -> float:
    low, high = known.bounds[name]
    return low if low == high else math.nan


def _terms(known: Knowledge, row: Mapping[Any, Any], run: Name) -> tuple[dict[Name, float], float]:
    """A rate as a weighted sum and a constant, where the counts below it are shown; else no terms."""
    place = row["group_by"], row["group"], row["finding"]
    positives, images = (_fixed(known, of_cell(*place[:2], of, "images")) for of in (row["finding"], ""))
    negatives = images - positives
    true, false = (called(run, *place, side) for side in ("positive", "negative"))
    of: dict[str, tuple[dict[Name, float], float, float]] = {
        "sensitivity": ({true: 1}, 0.0, positives), "fpr": ({false: 1}, 0.0, negatives),
        "accuracy": ({true: 1, false: -1}, negatives, images), "selection_rate": ({true: 1, false: 1}, 0.0, images),
    }  # fmt: skip
    top, constant, under = of.get(row["metric"], ({}, 0.0, math.nan))
    if not (math.isfinite(constant) and under > 0):
        return {}, 0.0
    return {name: factor / under for name, factor in top.items()}, constant / under


def _means(known: Knowledge, rows: pd.DataFrame, run: Name) -> None:
    for row in rows[(rows["finding"] == "mean") & (rows["value_shown"] == "")].to_dict("records"):
        same = (
            (rows["group"] == row["group"]) & (rows["group_by"] == row["group_by"]) & (rows["metric"] == row["metric"])
        )
        parts = [
            _terms(known, part, run) for part in rows[same & ~rows["finding"].isin(["mean", "any"])].to_dict("records")
        ]
        if all(terms for terms, _ in parts) and math.isfinite(row["value"]):
            low, high = (len(parts) * bound - sum(constant for _, constant in parts) for bound in _bounds(row))
            known.fact({name: factor for terms, _ in parts for name, factor in terms.items()}, low, high)


def _differences(known: Knowledge, fairness: pd.DataFrame, rows: pd.DataFrame, run: Name) -> None:
    """A group less the others that were compared, weighted by their images."""
    own = fairness[(fairness["rule"] == run[2]) & ~fairness["finding"].isin(["mean", "any"])]
    for (metric, finding, by), gaps in own.groupby(["metric", "finding", "group_by"], sort=False):
        base = str(metric).removesuffix("_difference")
        chosen = rows[(rows["metric"] == base) & (rows["finding"] == finding) & (rows["group_by"] == by)]
        held = {row["group"]: (row, _terms(known, row, run)) for row in chosen.to_dict("records")}
        compared = [gap["group"] for gap in gaps.to_dict("records") if gap["value_shown"] != "too few"]
        if not all(held[group][1][0] for group in compared):
            continue
        for gap in gaps[(gaps["value_shown"] == "") & gaps["value"].notna()].to_dict("records"):
            others = [group for group in compared if group != gap["group"]]
            total = sum(held[group][0]["images"] for group in others)
            terms, constant = dict(held[gap["group"]][1][0]), held[gap["group"]][1][1]
            for group in others:
                share = held[group][0]["images"] / total
                constant -= share * held[group][1][1]
                terms |= {name: -share * factor for name, factor in held[group][1][0].items()}
            shown = round(gap["value"], 3)
            known.fact(terms, shown - HALF - constant, shown + HALF - constant)
