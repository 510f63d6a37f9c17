"""What of an experiment's numbers may be shown, and the few that its summary is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from privrad import config
from privrad.report import words
from privrad.report.account import Account, Model
from privrad.report.figures import first_seeds

TOO_FEW = "too few"
DOUBTFUL = "uncertain"
REFERENCES = ("eps-inf", "eps-inf-matched")
UNNAMED = frozenset(("U", "unknown"))
KEYS = ["arm", "seed", "finding", "group_by", "group"]
Protection = Literal["protected", "seeded", "unprotected", "untrained"]


@dataclass(frozen=True)
class Line:
    """One arm in the summary: its mean AUROC, what it loses, and the group it serves worst.

    `cost` is the loss against no privacy, `matched` that against the same training without clipping and noise.
    """

    arm: config.Arm
    name: str
    value: float
    low: float
    high: float
    cost: float
    cost_low: float
    cost_high: float
    matched: float
    matched_low: float
    matched_high: float
    worst: str
    worst_value: float
    worst_low: float
    worst_high: float


def minimum_of(cohort: config.Cohort, experiment: config.Experiment) -> int:
    """The least count that is shown for a cohort; 0, for all, unless the cohort is private."""
    return experiment.evaluation.minimum_cell if cohort.sensitivity == "private" else 0


def masked(account: Account) -> Account:
    """The account without numbers of groups of few test patients, nor, of a private cohort, of few images."""
    metrics = account.metrics.copy()
    few = (metrics["group_by"] != "all") & (metrics["patients"] < account.experiment.evaluation.minimum_cell)
    minimum = minimum_of(account.experiment.cohorts.private, account.experiment)
    if minimum:
        few |= _of_few_images(metrics, minimum=minimum)
    metrics.loc[few, ["value", "low", "high", "sd", "pooled_sd"]] = np.nan
    metrics.loc[few, "note"] = TOO_FEW
    differences = account.differences.merge(metrics.loc[few, KEYS], how="left", on=KEYS, indicator="_few")
    differences.loc[differences["_few"] == "both", ["value", "low", "high"]] = np.nan
    return replace(account, metrics=metrics, differences=differences.drop(columns="_few"))


def _of_few_images(metrics: pd.DataFrame, *, minimum: int) -> pd.Series[bool]:
    """Which numbers rest on fewer than `minimum` images, positives or negatives; a mean, where a finding of it does."""
    negatives = metrics["images"] - metrics["positives"]
    single = metrics["finding"] != "mean"
    few = (metrics[["images", "patients"]].min(axis=1) < minimum) | (single & (metrics["positives"] < minimum))
    few |= single & (negatives < minimum)
    of_mean = few.groupby([metrics[key] for key in ("arm", "seed", "group_by", "group")]).transform("any")
    return few | (of_mean & ~single)


def groupings(metrics: pd.DataFrame) -> list[str]:
    """The columns that test images are grouped by, but for those unknown of every image."""
    columns = [str(column) for column in dict.fromkeys(metrics["group_by"]) if column != "all"]
    return [column for column in columns if not set(metrics.loc[metrics["group_by"] == column, "group"]) <= UNNAMED]


def protection(model: Model) -> Protection:
    """What a model's certificate amounts to."""
    if model.arm.recipe == "none":
        return "untrained"
    if model.arm.recipe != "private":
        return "unprotected"
    return "protected" if model.certificate.get("epsilon") is not None else "seeded"


def lines(account: Account) -> list[Line]:
    """The summary's lines, in the order of the arms, from the first seed of each."""
    metrics = first_seeds(account.metrics)
    means = metrics[(metrics["finding"] == "mean") & (metrics["metric"] == "auroc")]
    differences = first_seeds(account.differences) if len(account.differences) else account.differences
    costs = differences[(differences["finding"] == "mean") & (differences["group_by"] == "all")]
    return [_line(arm, means[means["arm"] == arm.name], costs[costs["arm"] == arm.name]) for arm in ordered(account)]


def ordered(account: Account) -> list[config.Arm]:
    """The arms as the report names them: epsilon 0, the budgets, then without privacy, the matched recipe last."""
    return sorted(account.experiment.arms.values(), key=lambda arm: (arm.epsilon, arm.recipe == "matched"))


def _line(arm: config.Arm, means: pd.DataFrame, costs: pd.DataFrame) -> Line:
    overall = means[means["group_by"] == "all"]
    groups = means[(means["group_by"] != "all") & (means["note"] == "") & means["value"].notna()]
    groups = groups[~groups["group"].isin([*UNNAMED, "outside"])].sort_values("value", kind="stable")
    value, low, high = _numbers(overall)
    cost, matched = (_numbers(costs[costs["reference"] == name]) for name in REFERENCES)
    worst_value, worst_low, worst_high = _numbers(groups)
    worst = words.group(str(groups["group_by"].iloc[0]), str(groups["group"].iloc[0])) if len(groups) else ""
    name = words.arm(arm.name, epsilon=arm.epsilon)
    return Line(arm, name, value, low, high, *cost, *matched, worst, worst_value, worst_low, worst_high)


def _numbers(rows: pd.DataFrame) -> tuple[float, float, float]:
    if rows.empty:
        return math.nan, math.nan, math.nan
    first = rows.iloc[0]
    return float(first["value"]), float(first["low"]), float(first["high"])


def of_arm(chosen: Sequence[Line], name: str) -> Line | None:
    """The line of one arm, where there is one that could be estimated."""
    return next((line for line in chosen if line.arm.name == name and math.isfinite(line.value)), None)


def sentences(account: Account) -> list[str]:
    """The result in plain words: without privacy, at the strictest and the loosest budget, before fine-tuning.

    Each of the two budgets is also held against the matched recipe, lest the recipe's cost pass for that of privacy.
    """
    chosen = lines(account)
    percent = f"{100 * account.experiment.evaluation.confidence:g}{words.NBSP}%"
    plain, untrained = of_arm(chosen, "eps-inf"), of_arm(chosen, "eps-0")
    private = [line for line in chosen if line.arm.recipe == "private" and math.isfinite(line.value)]
    findings = len(account.experiment.findings)
    over = f"over the {findings} findings" if findings > 1 else "for the one finding"
    told = []
    if plain:
        told.append(
            f"Trained without privacy, the model reaches a mean AUROC of {words.auroc(plain.value)} {over} "
            f"({percent} interval {words.spread(plain.low, plain.high)})."
        )
    ends = private[:1] + private[1:][-1:]
    for line, which in zip(ends, ("strictest", "loosest"), strict=False):
        lost = _loss(line.cost, line.cost_low, line.cost_high)
        told.append(f"At the {which} budget, {line.name}, it is {words.auroc(line.value)}{lost and f', {lost}'}.")
    for line in ends:
        lost = _loss(line.matched, line.matched_low, line.matched_high)
        if lost:
            told.append(
                f"Against the matched recipe (same training without clipping and noise), {line.name} is {lost}."
            )
    if untrained:
        from_public = "learnt from public images alone" if account.experiment.pretraining else "with random weights"
        told.append(
            f"Before any fine-tuning on the private cohort, {from_public}, it is {words.auroc(untrained.value)}."
        )
    if plain and plain.worst:
        told.append(_worst(plain, private[0] if private else None))
    return told


def _worst(plain: Line, strictest: Line | None) -> str:
    said = f"The group served worst is {plain.worst}: {words.auroc(plain.worst_value)} without privacy"
    if strictest is None or not strictest.worst:
        return f"{said}."
    value = words.auroc(strictest.worst_value)
    if strictest.worst == plain.worst:
        return f"{said}, {value} at {strictest.name}."
    return f"{said}; at {strictest.name} it is {strictest.worst}: {value}."


def _loss(lost: float, low: float, high: float) -> str:
    if not math.isfinite(low):
        return ""
    change = f"{abs(lost):.3f} {'lower' if lost >= 0 else 'higher'}"
    beyond = "" if low > 0 or high < 0 else ", which these test patients cannot tell from no difference"
    return f"{change} (difference {words.spread(low, high)}{beyond})"
