"""The result of an experiment in plain words, as the summary begins with."""

from __future__ import annotations

import math

from markupsafe import Markup

from privrad.report import number, tables, words
from privrad.report.account import Account
from privrad.report.number import Number, Piece
from privrad.report.shown import (
    Facts,
    Line,
    averaged,
    confidence,
    interval,
    lines,
    mean_auroc,
    measured,
    named,
    of_arm,
    over_trainings,
)
from privrad.report.tables import Text


def of(account: Account) -> list[Markup]:
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
        tuned = "fine-tuning" if account.experiment.pretraining else "training"
        before = f"Before any {tuned} on the private cohort, {start}, it is "
        told.append((before, _value(account, untrained), "."))
    told += [_sufficient(account)] if private and plain else []
    if plain and plain.worst:
        told.append(_worst(account, plain, private[0] if private else None))
    return [number.joined(text) for text in told]


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


def _loss(account: Account, row: Facts | None) -> Text:
    if row is None or words.absent(row["value"]) or words.absent(row["low"]):
        return ()
    low, high = float(row["low"]), float(row["high"])
    lost = measured(account, "differences.csv", row, "value", form="size")
    beyond = "" if low > 0 or high < 0 else ", which these test patients cannot tell from no difference"
    which = "lower" if float(row["value"]) >= 0 else "higher"
    bounds = interval(account, "differences.csv", row)
    return (", ", lost, f" {which} (difference ", *bounds, f"{beyond})")
