"""The few numbers that the summary of an experiment is made of, and the sentences that say them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from markupsafe import Markup

from privrad import config
from privrad.report import number, tables, words
from privrad.report.account import Account, Model
from privrad.report.number import Number, Piece
from privrad.report.tables import Cell, Text

DOUBTFUL = "uncertain"
WORST, OF_FINDINGS = "(worst)", "findings"
REFERENCES = ("eps-inf", "eps-inf-matched")
Protection = Literal["protected", "seeded", "unprotected", "untrained"]
Facts = Mapping[Any, Any]


@dataclass(frozen=True)
class Line:
    """One arm in the summary, by rows of the tables: its mean AUROC, what it loses, and the group it serves worst.

    `cost` is the loss against no privacy, `matched` that against the same training without clipping and noise.
    """

    arm: config.Arm
    name: Text
    mean: Facts | None
    cost: Facts | None
    matched: Facts | None
    worst: Facts | None

    @property
    def value(self) -> float:
        """The mean AUROC, NaN where there is none."""
        return float(self.mean["value"]) if self.mean else math.nan

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval of the mean AUROC."""
        return (float(self.mean["low"]), float(self.mean["high"])) if self.mean else (math.nan, math.nan)


def groupings(metrics: pd.DataFrame) -> list[str]:
    """The columns that test images are grouped by, but for those unknown of every image."""
    columns = [str(column) for column in dict.fromkeys(metrics["group_by"]) if column != "all"]
    groups = {column: set(metrics.loc[metrics["group_by"] == column, "group"]) for column in columns}
    return [column for column in columns if not groups[column] <= words.UNNAMED]


def first_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first seed of each arm."""
    return rows[rows["seed"] == rows.groupby("arm")["seed"].transform("min")]


def protection(model: Model) -> Protection:
    """What a model's certificate amounts to."""
    if model.arm.recipe == "none":
        return "untrained"
    if model.arm.recipe != "private":
        return "unprotected"
    return "protected" if model.certificate.get("epsilon") is not None else "seeded"


def averaged(account: Account) -> bool:
    """Whether there are several findings; the mean over one is its own number, and is not called a mean."""
    return len(account.experiment.findings) > 1


def mean_auroc(account: Account) -> str:
    """What the AUROC over all findings is called inside a sentence: "mean AUROC", of a single finding "AUROC"."""
    return "mean AUROC" if averaged(account) else "AUROC"


def over_trainings(account: Account, name: str) -> Facts | None:
    """The row of seeds.csv of an arm's AUROC over all findings; None where it had one training."""
    rows = account.measured.seeds
    rows = rows[(rows["arm"] == name) & (rows["finding"] == "mean") & (rows["metric"] == "auroc")]
    return first(rows[rows["trainings"] > 1])


def first(rows: pd.DataFrame) -> Facts | None:
    """The first of some rows of a table, if there is one."""
    return None if rows.empty else dict(rows.iloc[0])


def lines(account: Account) -> list[Line]:
    """The summary's lines, in the order of the arms, from the first seed of each."""
    metrics = first_seeds(account.measured.metrics)
    means = metrics[(metrics["finding"] == "mean") & (metrics["metric"] == "auroc")]
    differences = first_seeds(account.measured.differences)
    costs = differences[(differences["finding"] == "mean") & (differences["group_by"] == "all")]
    fairness = first_seeds(account.measured.fairness)
    worst = fairness[(fairness["finding"] == "mean") & (fairness["group"] == WORST) & (fairness["metric"] == "auroc")]
    return [
        _line(account, arm, *(rows[rows["arm"] == arm] for rows in (means, costs, worst)))
        for arm in tables.arms(account)
    ]


def _line(account: Account, arm: str, means: pd.DataFrame, costs: pd.DataFrame, worst: pd.DataFrame) -> Line:
    worst = worst[worst["value"].notna() & (worst["group_by"] != OF_FINDINGS)].sort_values("value", kind="stable")
    named_worst = [(row["group_by"], group_in(row)) for row in worst.head(1).to_dict("records")]
    groups = means[[pair in named_worst for pair in zip(means["group_by"], means["group"], strict=True)]]
    cost, matched = (first(costs[costs["reference"] == reference]) for reference in REFERENCES)
    overall = first(means[means["group_by"] == "all"])
    return Line(account.experiment.arms[arm], tables.arm(account, arm), overall, cost, matched, first(groups))


def estimate(account: Account, table: str, row: Facts | None, *, form: str = "auroc") -> Cell:
    """A value over its interval, marked where few images make it uncertain, or why there is none."""
    if row is None:
        return Cell((words.DASH,))
    value = measured(account, table, row, "value", form=form, missing=words.UNKNOWN)
    if words.absent(row["value"]):
        return Cell((value,))
    mark: Text = ("*",) if DOUBTFUL in str(row.get("note", "")) else ()
    return Cell((value, *mark), interval(account, table, row, form=form))


def interval(
    account: Account, table: str, row: Facts, *, form: str = "auroc", names: tuple[str, str] = ("low", "high")
) -> Text:
    """The bounds of a number, "0.812 to 0.846"."""
    if any(words.absent(row[name]) for name in names):
        return ("no interval",)
    low, high = (measured(account, table, row, name, form=form) for name in names)
    return (low, " to ", high)


def measured(
    account: Account, table: str, row: Facts, column: str, *, form: str = "auroc", missing: str = words.DASH
) -> Number:
    """A number of one of the evaluation's tables."""
    return number.of_table(account.evaluate, table, row, column, form=form, kind=account.tested, missing=missing)


def of_arm(chosen: Sequence[Line], name: str) -> Line | None:
    """The line of one arm, where there is one that could be estimated."""
    return next((line for line in chosen if line.arm.name == name and math.isfinite(line.value)), None)


def sentences(account: Account) -> list[Markup]:
    """The result in plain words: without privacy, at the strictest and the loosest budget, before fine-tuning.

    Each of the two budgets is also held against the matched recipe, lest the recipe's cost pass for that of privacy.
    """
    chosen = lines(account)
    plain, untrained = of_arm(chosen, "eps-inf"), of_arm(chosen, "eps-0")
    private = [line for line in chosen if line.arm.recipe == "private" and math.isfinite(line.value)]
    ends = list(zip(private[:1] + private[1:][-1:], ("strictest", "loosest"), strict=False))
    told: list[Text] = []
    if plain and plain.mean:
        reached = f"Trained without privacy, the model reaches {'a mean' if averaged(account) else 'an'} AUROC of "
        bounds = (confidence(account), " interval ", *interval(account, "metrics.csv", plain.mean))
        told.append(
            (reached, _value(account, plain), *_over(account), " (", *bounds, ")", *_trained(account, plain), ".")
        )
    for line, which in ends:
        lost = _loss(account, line.cost)
        reached_at: Text = (f"At the {which} budget, ", *line.name, ", it is ", _value(account, line), *lost)
        told.append((*reached_at, *_trained(account, line), "."))
    for line, _ in ends:
        if lost := _loss(account, line.matched):
            said = "Against the matched recipe (same training without clipping and noise), "
            told.append((said, *line.name, " is ", *lost[1:], "."))
    if untrained:
        start = "learnt from public images alone" if account.experiment.pretraining else "with random weights"
        before = f"Before any fine-tuning on the private cohort, {start}, it is "
        told.append((before, _value(account, untrained), "."))
    told += [_sufficient(account)] if private and plain else []
    if plain and plain.worst:
        told.append(_worst(account, plain, private[0] if private else None))
    return [number.joined(text) for text in told]


def confidence(account: Account) -> Number:
    """The confidence of the intervals, as percent."""
    value = account.experiment.evaluation.confidence
    return tables.setting(account.name, ("evaluation", "confidence"), value, form="percent")


def _over(account: Account) -> Text:
    findings = account.experiment.findings
    if len(findings) == 1:
        return (" for the one finding",)
    return (" over the ", tables.setting(account.name, ("findings",), findings, form="length"), " findings")


def _trained(account: Account, line: Line) -> Text:
    """What the trainings of an arm come to together, where it had several; the sentence tells of the first."""
    row = over_trainings(account, line.arm.name)
    if row is None or words.absent(row["mean"]):
        return ()
    count = measured(account, "seeds.csv", row, "trainings", form="count")
    mean, spread = (measured(account, "seeds.csv", row, name) for name in ("mean", "sd"))
    return ("; the mean over its ", count, " trainings is ", mean, ", their standard deviation ", spread)


def _value(account: Account, line: Line) -> Piece:
    return measured(account, "metrics.csv", line.mean or {}, "value")


def _sufficient(account: Account) -> Text:
    """The smallest epsilon that is not inferior to no privacy on validation, if any is."""
    margin = tables.setting(account.name, ("evaluation", "margin"), account.experiment.evaluation.margin)
    on = ("On validation patients, at a margin of ", margin, f" in {mean_auroc(account)}, ")
    found = account.summary.get("noninferior")
    if not found:
        return (*on, "no epsilon is shown to be non-inferior to training without privacy.")
    file = f"{account.evaluate}/summary.json"
    epsilon = number.of_json(file, ("noninferior", "epsilon"), found["epsilon"], kind=account.tested)
    said = f"the smallest epsilon shown to be non-inferior to training without privacy is ε{words.NBSP}={words.NBSP}"
    return (*on, said, epsilon, ".")


def _worst(account: Account, plain: Line, strictest: Line | None) -> Text:
    assert plain.worst is not None
    begun: Text = (
        "The group served worst is ",
        named(plain.worst),
        ": ",
        _of(account, plain.worst),
        " without privacy",
    )
    if strictest is None or not strictest.worst:
        return (*begun, ".")
    value = _of(account, strictest.worst)
    if all(strictest.worst[key] == plain.worst[key] for key in ("group_by", "group")):
        return (*begun, ", ", value, " at ", *strictest.name, ".")
    return (*begun, "; at ", *strictest.name, " it is ", named(strictest.worst), ": ", value, ".")


def _of(account: Account, row: Facts) -> Number:
    return measured(account, "metrics.csv", row, "value")


def group_in(row: Facts) -> str:
    """The group that a row of a worst group speaks of, which its note names."""
    return str(row["note"]).split("; ")[0].removeprefix("group ")


def named(row: Facts) -> Piece:
    """The group of a row, in words."""
    return number.said(words.group(str(row["group_by"]), str(row["group"])))


def _loss(account: Account, row: Facts | None) -> Text:
    if row is None or words.absent(row["value"]) or words.absent(row["low"]):
        return ()
    low, high = float(row["low"]), float(row["high"])
    lost = measured(account, "differences.csv", row, "value", form="size")
    beyond = "" if low > 0 or high < 0 else ", which these test patients cannot tell from no difference"
    which = "lower" if float(row["value"]) >= 0 else "higher"
    bounds = interval(account, "differences.csv", row)
    return (", ", lost, f" {which} (difference ", *bounds, f"{beyond})")
