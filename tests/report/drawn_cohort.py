"""A small cohort drawn at random, and every table of an evaluation of it that holds counts or rates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from privrad.report.measurements import COLUMNS, Measurements
from privrad.report.release import Tables

AGES = ("[0,30)", "[30,60)", "[60,100)")
FINDINGS = ("effusion", "nodule")
RULES: Mapping[str, float] = {"youden": 0.5, "specificity": 0.66}
Mask = Any


def draw(
    seed: int, *, patients: int = 120, rare: float = 0.15, skill: float = 1.5, refused: tuple[int, ...] = ()
) -> Tables:
    """The tables of two findings, one model and groups by sex, age, both, and findings of an image.

    `rare` is the share of the least common sex and age, and of positives; `skill` how far scores tell them apart.
    """
    rng = np.random.default_rng(seed)
    sex = rng.choice(["F", "M"], size=patients, p=[rare, 1 - rare])
    age = rng.choice(AGES, size=patients, p=[rare / 2, 0.6, 0.4 - rare / 2])
    part = rng.choice(["train", "validation", "test"], size=patients, p=[0.4, 0.2, 0.4])
    of = np.repeat(np.arange(patients), rng.integers(1, 3, size=patients))
    images = pd.DataFrame({"patient": of, "sex": sex[of], "age": age[of], "part": part[of]})
    labels = rng.random((len(images), len(FINDINGS))) < rng.uniform(rare, 3 * rare, size=len(FINDINGS))
    scores = 1 / (1 + np.exp(-(skill * (2 * labels - 1) + rng.normal(size=labels.shape))))
    held = [
        (images[images["part"] == name].reset_index(drop=True), (images["part"] == name).to_numpy())
        for name in ("test", "validation")
    ]
    (test, in_test), in_validation = held[0], held[1][1]
    made: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
    made["metrics"] = list(_metrics(test, labels[in_test], scores[in_test]))
    made["fairness"] = list(_fairness(pd.DataFrame(made["metrics"])))
    made["thresholds"] = list(_thresholds(labels[in_validation], scores[in_validation]))
    for place, finding in enumerate(FINDINGS):
        own, said = labels[in_test, place], scores[in_test, place]
        key = {"arm": "eps-1", "epsilon": 1.0, "seed": 0, "finding": finding}
        made["reliability"] += [key | row for row in _reliability(own, said)]
        made["scores"] += [key | row for row in _scores(own, said)]
        made["curves"] += [key | row for row in _curves(own, said)]
    flow = [("ingest", f"reason_{place}", count) for place, count in enumerate(refused)]
    flow += [("found", "", len(images) + sum(refused)), ("accepted", "", len(images)), ("prepared", "", len(images))]
    return Tables(
        Measurements(**{name: _framed(made[name], COLUMNS[name]) for name in COLUMNS}),
        pd.DataFrame(list(_balance(images, labels)), columns=["split", "column", "value", "images", "patients"]),
        pd.DataFrame(flow, columns=["step", "reason", "count"]),
    )


def _framed(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


def groups(images: pd.DataFrame, labels: Mask) -> dict[tuple[str, str], Mask]:
    """The members of every group."""
    number = labels.sum(axis=1)
    found = {("all", "all"): np.ones(len(images), dtype=bool)}
    for value in ("F", "M"):
        found["sex", value] = (images["sex"] == value).to_numpy()
    for value in AGES:
        found["age", value] = (images["age"] == value).to_numpy()
    for count in range(3):
        found["findings", str(count)] = number == count
    for one in ("F", "M"):
        for other in AGES:
            found["sex & age", f"{one} & {other}"] = found["sex", one] & found["age", other]
    return found


def _metrics(images: pd.DataFrame, labels: Mask, scores: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    for (by, group), member in groups(images, labels).items():
        rates: dict[tuple[str, str], list[float]] = {}
        base = {"arm": "eps-1", "epsilon": 1.0, "seed": 0, "group_by": by, "group": group}
        spread = {
            "low": 0.1,
            "high": 0.9,
            "sd": 0.1,
            "pooled_sd": math.nan,
            "method": "percentile",
            "degenerate": 0,
            "note": "",
        }
        for place, finding in enumerate(FINDINGS):
            own = member & labels[:, place]
            counts = _sizes(images, member, own)
            for metric, rule, value in _measured(labels[member, place], scores[member, place]):
                rates.setdefault((metric, rule), []).append(value)
                yield base | {"finding": finding, "metric": metric, "rule": rule, "value": value} | counts | spread
        counts = _sizes(images, member, member & labels.any(axis=1))
        for (metric, rule), values in rates.items():
            known = [value for value in values if math.isfinite(value)]
            value = float(np.mean(known)) if known else math.nan
            yield base | {"finding": "mean", "metric": metric, "rule": rule, "value": value} | counts | spread
        called = (scores[member] >= RULES["youden"]).any(axis=1)
        present = labels[member].any(axis=1)
        for metric, value in (
            ("underdiagnosis", _share(~called, present)),
            ("overdiagnosis", _share(called, ~present)),
        ):
            yield base | {"finding": "any", "metric": metric, "rule": "youden", "value": value} | counts | spread


def _sizes(images: pd.DataFrame, member: Mask, positive: Mask) -> dict[str, int]:
    return {
        "images": int(member.sum()), "patients": images["patient"][member].nunique(),
        "positives": int(positive.sum()), "positive_patients": images["patient"][positive].nunique(),
    }  # fmt: skip


def _share(what: Mask, of: Mask) -> float:
    return float(what[of].mean()) if of.any() else math.nan


def _measured(labels: Mask, scores: NDArray[np.float64]) -> Iterator[tuple[str, str, float]]:
    yield "auroc", "", 0.8 if 0 < labels.sum() < len(labels) else math.nan
    for rule, cut in RULES.items():
        called = scores >= cut
        sensitivity, fpr = _share(called, labels), _share(called, ~labels)
        yield "sensitivity", rule, sensitivity
        yield "underdiagnosis", rule, 1 - sensitivity
        yield "fpr", rule, fpr
        yield "specificity", rule, 1 - fpr
        yield "accuracy", rule, _share(called == labels, np.ones_like(labels))
        yield "balanced_accuracy", rule, (sensitivity + 1 - fpr) / 2
        yield "selection_rate", rule, _share(called, np.ones_like(labels))
        yield "ppv", rule, _share(labels, called)
        yield "npv", rule, _share(~labels, ~called)


def _fairness(metrics: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Each group of 10 patients and more less the others of them, weighted by images."""
    for metric in ("accuracy", "sensitivity", "fpr", "selection_rate"):
        chosen = metrics[(metrics["metric"] == metric) & (metrics["group_by"] != "all") & (metrics["rule"] == "youden")]
        for (finding, by), rows in chosen.groupby(["finding", "group_by"], sort=False):
            compared = rows[(rows["patients"] >= 10) & rows["value"].notna()]
            names, values, weights = (compared[name].to_numpy() for name in ("group", "value", "images"))
            for row in rows.to_dict("records"):
                others = names != row["group"]
                known = others.any() and not others.all()
                value = row["value"] - float(np.average(values[others], weights=weights[others])) if known else math.nan
                yield {
                    "arm": "eps-1", "epsilon": 1.0, "seed": 0, "finding": finding, "group_by": by,
                    "group": row["group"],
                    "metric": f"{metric}_difference", "rule": "youden", "value": value, "low": value, "high": value,
                    "simultaneous_low": value, "simultaneous_high": value, "p_simultaneous": 0.5, "flagged": False,
                    "images": row["images"], "patients": row["patients"], "note": "" if known else "too few",
                }  # fmt: skip


def _thresholds(labels: Mask, scores: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    for place, finding in enumerate(FINDINGS):
        for rule, cut in RULES.items():
            called, own = scores[:, place] >= cut, labels[:, place]
            yield {
                "arm": "eps-1", "seed": 0, "finding": finding, "rule": rule, "threshold": cut, "note": "",
                "sensitivity": _share(called, own), "specificity": _share(~called, ~own),
                "images": len(own), "positives": int(own.sum()),
            }  # fmt: skip


def _balance(images: pd.DataFrame, labels: Mask) -> Iterator[tuple[str, str, str, int, int]]:
    for part in ("train", "validation", "test"):
        within = (images["part"] == part).to_numpy()
        named = {key: mask for key, mask in groups(images, labels).items() if key[0] in ("all", "sex", "age")}
        named |= {(finding, "positive"): labels[:, place] for place, finding in enumerate(FINDINGS)}
        for (column, value), mask in named.items():
            held = mask & within
            yield part, column, value, int(held.sum()), images["patient"][held].nunique()


def _reliability(labels: Mask, scores: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    for place in range(10):
        held = np.minimum((scores * 10).astype(int), 9) == place
        if held.any():
            observed = float(labels[held].mean())
            yield {
                "bin": place, "from": place / 10, "upto": (place + 1) / 10, "mean_score": float(scores[held].mean()),
                "observed": observed, "low": observed, "high": observed, "images": int(held.sum()),
                "positives": int(labels[held].sum()),
            }  # fmt: skip


def _scores(labels: Mask, scores: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    for label in (0, 1):
        counts = np.bincount(np.minimum((scores[labels == label] * 20).astype(int), 19), minlength=20)
        for place, count in enumerate(counts.tolist()):
            yield {"label": label, "bin": place, "from": place / 20, "upto": (place + 1) / 20, "images": count}


def _curves(labels: Mask, scores: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    order = np.argsort(-scores, kind="stable")
    true, false = np.cumsum(labels[order]), np.cumsum(~labels[order])
    if not 0 < labels.sum() < len(labels):
        return
    for step in range(101):
        within = true[false <= step / 100 * false[-1]]
        y = float(within[-1] / true[-1]) if len(within) else 0.0
        reach = int(np.argmax(true * 100 >= step * true[-1]))
        precision = float(true[reach] / (reach + 1))
        for curve, value in (("roc", y), ("pr", precision)):
            yield {"curve": curve, "x": step / 100, "y": value, "low": value, "high": value}
