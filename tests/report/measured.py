"""A made-up evaluation with every table that a real one writes, to draw figures and write reports from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privrad.report.measurements import COLUMNS, Measurements

ARMS: Mapping[str, float] = {
    **{"eps-0": 0.0, "eps-0.29": 0.29, "eps-0.54": 0.54, "eps-1.06": 1.06, "eps-2.04": 2.04, "eps-4.71": 4.71},
    **{"eps-7.89": 7.89, "eps-inf-matched": math.inf, "eps-inf": math.inf},
}
FINDINGS = (
    *("cardiomegaly", "congestion", "pleural_effusion_right", "pleural_effusion_left"),
    *("pneumonic_infiltrate_right", "pneumonic_infiltrate_left", "atelectasis_right", "atelectasis_left"),
)
GROUPS: Mapping[tuple[str, str], float] = {
    **{("all", "all"): 1.0, ("sex", "F"): 0.36, ("sex", "M"): 0.64},
    **{("age", "[0,30)"): 0.03, ("age", "[30,60)"): 0.26, ("age", "[60,70)"): 0.25, ("age", "[70,80)"): 0.32},
    **{("age", "[80,100)"): 0.14, ("sex & age", "F & [30,60)"): 0.1, ("sex & age", "M & [30,60)"): 0.16},
    **{("findings", "0"): 0.4, ("findings", "1"): 0.3, ("findings", "2"): 0.2, ("findings", "3+"): 0.1},
    **{("bedside", "False"): 0.3, ("bedside", "True"): 0.7},
}
RANKED = ("auroc", "average_precision", "brier", "ece")
CUT = ("sensitivity", "specificity", "accuracy", "balanced_accuracy", "ppv", "npv", "selection_rate", "fpr")
GAPS = (
    *("accuracy_difference", "sensitivity_difference", "fpr_difference", "selection_rate_difference"),
    *("underdiagnosis_difference", "calibration_difference", "auroc_difference"),
)
IMAGES, PATIENTS, MARGIN = 4000, 1700, 0.02
Row = dict[str, Any]


def build(
    *,
    arms: Mapping[str, float] = ARMS,
    findings: Sequence[str] = FINDINGS,
    seeds: Sequence[int] = (0,),
    groups: Mapping[tuple[str, str], float] = GROUPS,
) -> Measurements:
    """The same made-up tables every time: AUROC rises with epsilon, the old fare worse, some findings are harder."""
    rng = np.random.default_rng(20)
    runs = [(arm, epsilon, seed) for arm, epsilon in arms.items() for seed in (seeds if epsilon else seeds[:1])]
    made = {
        "metrics": _metrics(runs, findings, groups, rng),
        "differences": _differences(runs, findings, groups, rng),
        "fairness": _fairness(runs, findings, groups, rng),
        "significance": _significance(runs, findings, rng),
        "thresholds": _thresholds(runs, findings),
        "validation": _validation(runs),
        "curves": _curves(runs, findings),
        "reliability": _reliability(runs, findings),
        "scores": _scores(runs, findings),
        "correlations": _correlations(arms),
        "correlation_points": _points(arms, findings),
        "seeds": _seeds(arms, findings, trainings=len(seeds)),
    }
    return Measurements(**{name: pd.DataFrame(list(rows), columns=COLUMNS[name]) for name, rows in made.items()})


def write(measured: Measurements, folder: Path) -> None:
    """Write the tables as the evaluation does."""
    folder.mkdir(parents=True, exist_ok=True)
    for field in fields(measured):
        getattr(measured, field.name).to_csv(folder / f"{field.name}.csv", index=False, lineterminator="\n")


def area(arm: str, epsilon: float, finding: str, group: str = "all", seed: int = 0) -> float:
    """The AUROC that the tables say."""
    rise = 0.9 if math.isinf(epsilon) else 0.62 + 0.06 * math.log2(1 + 2 * epsilon) if epsilon else 0.6
    hard = 0.0 if finding == "mean" else 0.008 * (len(finding) % 7 - 3)
    older = {"[0,30)": 0.02, "[30,60)": 0.01, "[70,80)": -0.015, "[80,100)": -0.03, "F": 0.008, "M": -0.004}
    return rise + hard + older.get(group, 0.0) - 0.004 * seed - 0.006 * (arm == "eps-inf-matched")


def _counts(finding: str, share: float) -> Row:
    positives = round(IMAGES * share * (0.1 if finding == "mean" else 0.06 + 0.01 * (len(finding) % 9)))
    found = {"positives": positives, "positive_patients": round(positives / 1.7)}
    return {"images": round(IMAGES * share), "patients": round(PATIENTS * share), **found}


def _run(run: tuple[str, float, int]) -> Row:
    return dict(zip(("arm", "epsilon", "seed"), run, strict=True))


def _metrics(
    runs: Sequence[tuple[str, float, int]],
    findings: Sequence[str],
    groups: Mapping[tuple[str, str], float],
    rng: np.random.Generator,
) -> Iterable[Row]:
    rules = [(metric, "") for metric in RANKED] + [(metric, rule) for metric in CUT for rule in ("youden",)]
    for run in runs:
        for (by, group), share in groups.items():
            for finding in (*findings, "mean"):
                for metric, rule in [*rules, ("sensitivity", "specificity")]:
                    base = area(run[0], run[1], finding, group, run[2])
                    value = base - 0.06 + 0.03 * rng.random() if rule else base
                    value = 0.12 + 0.2 * (1 - base) if metric in ("brier", "ece", "fpr") else value
                    half = 0.009 / math.sqrt(share)
                    yield _run(run) | _counts(finding, share) | {
                        "finding": finding, "group_by": by, "group": group, "metric": metric, "rule": rule,
                        "value": value, "low": value - 1.96 * half, "high": min(value + 1.96 * half, 1.0), "sd": half,
                        "pooled_sd": 0.04 if finding == "mean" else math.nan,
                        "method": "percentile", "degenerate": 0, "note": "",
                    }  # fmt: skip


def _differences(
    runs: Sequence[tuple[str, float, int]],
    findings: Sequence[str],
    groups: Mapping[tuple[str, str], float],
    rng: np.random.Generator,
) -> Iterable[Row]:
    for run in runs:
        for reference in ("eps-inf", "eps-inf-matched"):
            for by, group in groups:
                for finding in (*findings, "mean"):
                    value = area(reference, math.inf, finding, group) - area(run[0], run[1], finding, group, run[2])
                    if run[0] != reference:
                        yield _run(run) | {
                            "reference": reference, "finding": finding, "group_by": by, "group": group,
                            "metric": "auroc", "value": value, "low": value - 0.01, "high": value + 0.01,
                            "method": "percentile", "degenerate": 0, "note": "",
                        }  # fmt: skip


def _fairness(
    runs: Sequence[tuple[str, float, int]],
    findings: Sequence[str],
    groups: Mapping[tuple[str, str], float],
    rng: np.random.Generator,
) -> Iterable[Row]:
    columns = list(dict.fromkeys(by for by, _ in groups if by != "all"))
    for run in runs:
        for finding in (*findings, "mean"):
            for (by, group), share in groups.items():
                for metric in GAPS * (by != "all"):
                    value = area(run[0], run[1], "mean", group) - area(run[0], run[1], "mean")
                    value += 0.02 * (rng.random() - 0.5)
                    yield _gap(run, finding, by, group, metric, value) | {"images": round(IMAGES * share)}
            for by in columns:
                worst = min(area(run[0], run[1], finding, group) for of, group in groups if of == by)
                yield _gap(run, finding, by, "(worst)", "auroc", worst)
                for metric in GAPS:
                    name = metric.removesuffix("_difference") + "_range"
                    yield _gap(run, finding, by, "(range)", name, 0.05 / (1 + min(run[1], 10)))


def _gap(run: tuple[str, float, int], finding: str, by: str, group: str, metric: str, value: float) -> Row:
    return _run(run) | {
        "finding": finding, "group_by": by, "group": group, "metric": metric, "value": value,
        "rule": "" if metric.startswith(("auroc", "calibration")) else "youden",
        "low": value - 0.015, "high": value + 0.015, "simultaneous_low": value - 0.02,
        "simultaneous_high": value + 0.02, "p_simultaneous": 0.04 if abs(value) > 0.02 else 0.4,
        "flagged": abs(value) > 0.02, "images": IMAGES, "patients": PATIENTS, "note": "",
    }  # fmt: skip


def _significance(
    runs: Sequence[tuple[str, float, int]], findings: Sequence[str], rng: np.random.Generator
) -> Iterable[Row]:
    for one in runs:
        for other in runs:
            for finding in (*findings, "mean") if one[1] < other[1] and one[2] == other[2] else ():
                value = area(other[0], other[1], finding) - area(one[0], one[1], finding)
                p = float(rng.random()) ** 3
                yield _run(one) | {
                    "reference": other[0], "reference_epsilon": other[1], "finding": finding, "value": value,
                    "low": value - 0.01, "high": value + 0.01, "p_bootstrap": p, "p_bootstrap_holm": min(8 * p, 1),
                    "delong_z": 2.0, "p_delong": p, "p_delong_holm": min(8 * p, 1), "p_hanley_mcneil": p,
                    "margin": MARGIN, "p_noninferior": 1 - p, "noninferior": value + 0.01 < MARGIN,
                    "p_equivalent": 1 - p, "equivalent": abs(value) + 0.01 < MARGIN, "note": "",
                }  # fmt: skip


def _thresholds(runs: Sequence[tuple[str, float, int]], findings: Sequence[str]) -> Iterable[Row]:
    for arm, _, seed in runs:
        for finding in findings:
            for rule, cut in (("youden", 0.4), ("specificity", 0.6)):
                yield {
                    "arm": arm, "seed": seed, "finding": finding, "rule": rule, "threshold": cut, "sensitivity": 0.8,
                    "specificity": 0.85, "images": 1500, "positives": 130, "note": "",
                }  # fmt: skip


def _validation(runs: Sequence[tuple[str, float, int]]) -> Iterable[Row]:
    for run in runs:
        value = area("eps-inf", math.inf, "mean") - area(run[0], run[1], "mean")
        if run[0] != "eps-inf":
            yield _run(run) | {
                "reference": "eps-inf", "images": 1500, "patients": 640, "value": value, "low": value - 0.01,
                "high": value + 0.01, "margin": MARGIN, "noninferior": value + 0.01 < MARGIN, "note": "",
            }  # fmt: skip


def _curves(runs: Sequence[tuple[str, float, int]], findings: Sequence[str]) -> Iterable[Row]:
    for run in runs:
        for finding in findings:
            of = area(run[0], run[1], finding)
            for x in np.linspace(0, 1, 101).tolist():
                for curve, y in (("roc", x ** (1 / of - 1)), ("pr", 0.12 + 0.88 * of * (1 - x**3))):
                    low, high = max(y - 0.03, 0), min(y + 0.03, 1)
                    yield _run(run) | {"finding": finding, "curve": curve, "x": x, "y": y, "low": low, "high": high}


def _reliability(runs: Sequence[tuple[str, float, int]], findings: Sequence[str]) -> Iterable[Row]:
    for run in runs:
        for finding in findings:
            for place in range(10):
                score, images = (place + 0.5) / 10, round(1400 * 0.6**place)
                observed = score**1.3
                yield _run(run) | {
                    "finding": finding, "bin": place, "from": place / 10, "upto": (place + 1) / 10,
                    "mean_score": score, "observed": observed, "low": observed - 0.04, "high": observed + 0.04,
                    "images": images, "positives": round(images * observed),
                }  # fmt: skip


def _scores(runs: Sequence[tuple[str, float, int]], findings: Sequence[str]) -> Iterable[Row]:
    for run in runs:
        for finding in findings:
            for label in (0, 1):
                for place in range(20):
                    images = round(600 * math.exp(-(((place - 4 - 9 * label) / 4) ** 2)))
                    edges = {"from": place / 20, "upto": (place + 1) / 20}
                    yield _run(run) | {"finding": finding, "label": label, "bin": place, "images": images, **edges}


def _points(arms: Mapping[str, float], findings: Sequence[str]) -> Iterable[Row]:
    for arm, epsilon in arms.items():
        for finding in findings:
            own, without = area(arm, epsilon, finding), area("eps-inf", math.inf, finding)
            drop = without - own + 0.002 * (len(finding) % 5)
            cases = _counts(finding, 1.0)["positives"]
            named = {"finding": finding, "arm": arm, "auroc": own, "reference_auroc": without, "drop": drop}
            yield named | {"cases": cases}


def _correlations(arms: Mapping[str, float]) -> Iterable[Row]:
    for arm in arms:
        for statistic in ("auroc_vs_drop", "auroc_vs_cases", "drop_vs_cases"):
            value = 0.4 if arm != "eps-inf" else 0.5
            made = {"statistic": statistic, "arm": arm, "value": value, "low": -0.3, "high": 0.8, "n": 8}
            yield made | {"about": statistic.replace("_", " ")}


def _seeds(arms: Mapping[str, float], findings: Sequence[str], *, trainings: int) -> Iterable[Row]:
    for arm, epsilon in arms.items():
        own = trainings if epsilon else 1
        for finding in (*findings, "mean"):
            yield {
                "arm": arm, "epsilon": epsilon, "finding": finding, "metric": "auroc", "trainings": own,
                "mean": area(arm, epsilon, finding), "sd": 0.003 if own > 1 else math.nan, "sampling_sd": 0.01,
                "note": "" if own > 1 else "one training",
            }  # fmt: skip
