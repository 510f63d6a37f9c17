"""What the certificates guarantee: tables of epsilons, of an attacker's gain, and of the ledger's entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from privrad.privacy import accounting
from privrad.report import modality, number, words
from privrad.report.account import Account, Model
from privrad.report.number import Number
from privrad.report.shown import protection
from privrad.report.tables import Cell, Given, Table, Text, arm, by_arm, stated, table

BY = ("pld", "rdp", "prv")
RATES = ("0.001", "0.01", "0.1")
SMALLER = 1e-5
"""The delta at which epsilon is shown as well, where the study's own is larger."""


def private(account: Account) -> list[Model]:
    """The private trainings, in the order of the report."""
    return [model for model in by_arm(account) if model.arm.recipe == "private"]


def certificates(account: Account) -> Table:
    """What the certificate of each private training states."""
    rows: list[list[Given]] = []
    beside = account.experiment.privacy.delta > SMALLER
    for model in private(account):
        held: Given = stated(account, model, ("epsilon",)) if protection(model) == "protected" else "none"
        terms = [
            stated(account, model, (name,))
            for name in ("nominal_epsilon", "noise_multiplier", "sample_rate", "steps", "delta", "clipping_norm")
        ]
        checks = [stated(account, model, ("accountants", by)) for by in BY]
        rows.append([arm(account, model), held, *terms, *checks, *[smaller(account, model)] * beside])
    head: list[Given] = ["Arm", "ε guaranteed", "ε nominal", "σ", "Sampling rate", "Steps", "δ", "Clipping norm"]
    source = f"{account.name}/finetune/<arm>/seed-<seed>/certificate.json"
    head += [f"ε by {name.upper()}" for name in BY]
    seeded = any(protection(model) == "seeded" for model in private(account))
    head += [(f"ε {'nominal ' * seeded}at δ{words.NBSP}=", words.NBSP, number.Said(words.number(SMALLER)))] * beside
    return table("The guarantee of each private training", head, rows, source=source)


def smaller(account: Account, model: Model) -> Number:
    """The epsilon of one private training at the delta SMALLER, nominal where the noise is seeded.

    A dash where the certificate does not state it, as none of format 2 does.
    """
    nominal = "nominal_" * (not model.certificate.get("other_deltas"))
    return stated(account, model, (f"{nominal}other_deltas", f"{SMALLER:g}"))


def attackers(account: Account) -> Table:
    """The most that any membership-inference attack can reach against each private training."""
    rows: list[list[Given]] = []
    for model in private(account):
        which = _attacker(model)
        caught = [stated(account, model, (which, "true_positive_rate", rate), form="percent") for rate in RATES]
        advantage = stated(account, model, (which, "membership_advantage"), form="percent")
        rows.append([arm(account, model), *caught, advantage])
    seeded = any(protection(model) == "seeded" for model in private(account))
    caption = "What an attacker can gain at most" + (", were the noise not seeded" if seeded else "")
    percents = [number.Said(words.percent(float(rate))) for rate in RATES]
    head: list[Given] = ["Arm", *(("Recognised, with ", said, " wrongly named") for said in percents), "Advantage"]
    source = f"{account.name}/finetune/<arm>/seed-<seed>/certificate.json"
    return table(caption, head, rows, source=source)


def _attacker(model: Model) -> str:
    return "attacker" if model.certificate.get("attacker") else "nominal_attacker"


def attacked(account: Account) -> Markup:
    """A sentence on the attacker's gain from the most and from the least private arm; empty without any."""
    models = private(account)
    if not models or not models[0].certificate.get(_attacker(models[0])):
        return Markup("")
    units = modality.of(account.experiment).units
    said: Text = (f"Whoever sees a model and knows all other {units} recognises, while wrongly naming ",)
    said += (number.Said(words.percent(0.01)), " of those who did not take part, at most ")
    names = list(dict.fromkeys(model.arm.name for model in models))
    parts: list[Text] = [
        (*_recognised(account, name), " of those who did (", *arm(account, name), ")")
        for name in dict.fromkeys((names[0], names[-1]))
    ]
    return number.joined((*said, *parts[0], *(piece for part in parts[1:] for piece in (" or ", *part)), "."))


def _recognised(account: Account, name: str) -> Text:
    """The share of an arm's patients that is recognised at most: "2.1 %", or over its trainings "2.1 % to 2.3 %"."""
    mine = [model for model in private(account) if model.arm.name == name]
    where = (_attacker(mine[0]), "true_positive_rate", RATES[1])
    shares = [stated(account, model, where, form="percent") for model in sorted(mine, key=_caught)]
    low, high = shares[0], shares[-1]
    return (low,) if low.text == high.text else (low, " to ", high)


def _caught(model: Model) -> float:
    return float(model.certificate[_attacker(model)]["true_positive_rate"][RATES[1]])


def entries(account: Account) -> Table:
    """What the certificates state of the ledger: each run's entry, and what the cohort had spent by then."""
    rows: list[list[Given]] = []
    for model in by_arm(account):
        ledger, so_far = model.certificate.get("ledger") or {}, model.certificate.get("cohort_so_far") or {}
        if model.arm.recipe == "none" or not ledger:
            continue
        facts = [stated(account, model, ("cohort_so_far", name)) for name in ("epsilon", "delta")]
        charged = str(so_far.get("this_run") or words.DASH)
        head = stated(account, model, ("ledger", "head"), form="hash")
        run = stated(account, model, ("ledger", "run_id"), form="hash")
        entry = stated(account, model, ("ledger", "entry"), form="count")
        codes: list[Given] = [Cell((run,), code=True), entry, Cell((head,), code=bool(ledger.get("head")))]
        rows.append([arm(account, model), charged, *facts, *codes])
    head_row = ("Arm", "Charged as", "ε of the cohort so far", "δ", "Run", "Entry", "Head of the ledger")
    source = f"{account.name}/finetune/<arm>/seed-<seed>/certificate.json"
    return table("What the ledger holds of these trainings, by their certificates", head_row, rows, source=source)


def composed(account: Account) -> Number | None:
    """The epsilon, by PLD, of whoever holds all private models of the experiment; None for less than two of them."""
    held = [model.certificate for model in private(account)]
    facts = ("noise_multiplier", "sample_rate", "steps")
    if len(held) < 2 or any(one.get(fact) is None for one in held for fact in facts):
        return None
    epsilon = accounting.compose([_run(one) for one in held], delta=account.experiment.privacy.delta)
    return Number(words.number(epsilon), f"{account.name}/finetune", "computed:composed_epsilon")


def _run(certificate: Mapping[str, Any]) -> accounting.Run:
    return accounting.Run(
        noise_multiplier=float(certificate["noise_multiplier"]),
        sample_rate=float(certificate["sample_rate"]),
        steps=int(certificate["steps"]),
    )


def of_patient(account: Account) -> list[Markup]:
    """The patient's epsilon of each private training whose unit is the record, from its certificate."""
    told: list[Markup] = []
    units = modality.of(account.experiment).units
    for model in private(account):
        other = model.certificate.get("other_unit") or {}
        name = "epsilon" if other.get("epsilon") is not None else "nominal_epsilon"
        if other.get("unit") == "patient" and other.get(name) is not None:
            reached = stated(account, model, ("other_unit", name))
            held = stated(account, model, ("other_unit", "images"), form="count")
            said: Text = (*arm(account, model), ": ", reached, " for a patient with ", held, f" {units}")
            told.append(number.joined(said))
    return list(dict.fromkeys(told))


def not_covered(models: Sequence[Model]) -> list[str]:
    """What the certificates say that they do not cover, each once."""
    return list(dict.fromkeys(item for model in models for item in model.certificate.get("not_covered", ())))
