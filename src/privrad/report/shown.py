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
KEYS = ["arm", "seed", "finding", "group_by", "group"]
Protection = Literal["protected", "seeded", "unprotected", "untrained"]


@dataclass(frozen=True)
class Line:
    """One arm in the summary: its mean AUROC, what it loses against no privacy, and the group it serves worst."""

    arm: config.Arm
    name: str
    value: float
    low: float
    high: float
    cost: float
    cost_low: float
    cost_high: float
    worst: str
    worst_value: float
    worst_low: float
    worst_high: float


def minimum_of(cohort: config.Cohort, experiment: config.Experiment) -> int:
    """The least count that is shown for a cohort; 0, for all, unless the cohort is private."""
    return experiment.evaluation.minimum_cell if cohort.sensitivity == "private" else 0


def masked(account: Account) -> Account:
    """The account without numbers that rest on few images, where the private cohort's sensitivity asks for it."""
    minimum = minimum_of(account.experiment.cohorts.private, account.experiment)
    if not minimum:
        return account
    metrics = account.metrics.copy()
    negatives = metrics["images"] - metrics["positives"]
    single = metrics["finding"] != "mean"
    few = (metrics[["images", "patients"]].min(axis=1) < minimum) | (single & (metrics["positives"] < minimum))
    few |= single & (negatives < minimum)
    of_mean = few.groupby([metrics[key] for key in ("arm", "seed", "group_by", "group")]).transform("any")
    few |= of_mean & ~single
    metrics.loc[few, ["value", "low", "high", "sd", "pooled_sd"]] = np.nan
    metrics.loc[few, "note"] = TOO_FEW
    differences = account.differences.merge(metrics.loc[few, KEYS], how="left", on=KEYS, indicator="_few")
    differences.loc[differences["_few"] == "both", ["value", "low", "high"]] = np.nan
    return replace(account, metrics=metrics, differences=differences.drop(columns="_few"))


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
    costs = differences[
        (differences["finding"] == "mean")
        & (differences["group_by"] == "all")
        & (differences["reference"] == "eps-inf")
    ]
    return [_line(arm, means[means["arm"] == arm.name], costs[costs["arm"] == arm.name]) for arm in ordered(account)]


def ordered(account: Account) -> list[config.Arm]:
    """The arms as the report names them: epsilon 0, the budgets, then without privacy, the matched recipe last."""
    return sorted(account.experiment.arms.values(), key=lambda arm: (arm.epsilon, arm.recipe == "matched"))


def _line(arm: config.Arm, means: pd.DataFrame, costs: pd.DataFrame) -> Line:
    overall = means[means["group_by"] == "all"]
    groups = means[(means["group_by"] != "all") & (means["note"] == "") & means["value"].notna()]
    groups = groups[~groups["group"].isin(["U", "unknown", "outside"])].sort_values("value", kind="stable")
    value, low, high = _numbers(overall)
    cost, cost_low, cost_high = _numbers(costs)
    worst_value, worst_low, worst_high = _numbers(groups)
    worst = words.group(str(groups["group_by"].iloc[0]), str(groups["group"].iloc[0])) if len(groups) else ""
    name = words.arm(arm.name, epsilon=arm.epsilon)
    return Line(
        arm, name, value, low, high, cost, cost_low, cost_high, worst, worst_value, worst_low, worst_high
    )  # fmt: skip


def _numbers(rows: pd.DataFrame) -> tuple[float, float, float]:
    if rows.empty:
        return math.nan, math.nan, math.nan
    first = rows.iloc[0]
    return float(first["value"]), float(first["low"]), float(first["high"])


def of_arm(chosen: Sequence[Line], name: str) -> Line | None:
    """The line of one arm, where there is one that could be estimated."""
    return next((line for line in chosen if line.arm.name == name and math.isfinite(line.value)), None)


def sentences(account: Account) -> list[str]:
    """The result in plain words: without privacy, at the strictest and the loosest budget, before fine-tuning."""
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
    for line, which in zip(private[:1] + private[1:][-1:], ("strictest", "loosest"), strict=False):
        told.append(f"At the {which} budget, {line.name}, it is {words.auroc(line.value)}{_loss(line)}.")
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


def _loss(line: Line) -> str:
    if not math.isfinite(line.cost_low):
        return ""
    change = f"{abs(line.cost):.3f} {'lower' if line.cost >= 0 else 'higher'}"
    beyond = (
        "" if line.cost_low > 0 or line.cost_high < 0 else ", which these test patients cannot tell from no difference"
    )
    return f", {change} (difference {words.spread(line.cost_low, line.cost_high)}{beyond})"
