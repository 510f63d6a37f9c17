"""Answers about the results: accuracy, fairness, what may leave, and what limits them."""

from __future__ import annotations

from privrad.report import accuracy, fairness, guarantees, modality, number, sentences, shown, tables
from privrad.report.account import Account
from privrad.report.answers.pieces import Answer


def performance(account: Account) -> list[Answer]:
    """The mean AUROC of each training."""
    return [accuracy.by_model(account)]


def by_finding(account: Account) -> list[Answer]:
    """The AUROC of each finding."""
    return [accuracy.by_finding(account)]


def diagnostic(account: Account) -> list[Answer]:
    """Sensitivity, specificity and the rest of each arm, finding by finding."""
    return [accuracy.of_arm(account, name) for name in tables.arms(account)]


def worst_group(account: Account) -> list[Answer]:
    """The groups that are served worst, and the widest differences."""
    return [fairness.worst(account), fairness.widest(account)]


def in_words(account: Account) -> list[Answer]:
    """The result as the report's summary says it."""
    return [(sentence,) for sentence in sentences.of(account)]


def models(account: Account) -> list[Answer]:
    """Which models there are, and which of them may leave."""
    held = guarantees.private(account)
    without = "A model trained without privacy on a private cohort must not leave the hospital."
    if not held:
        return [("No model of this study is private.",), (without,)]
    told = "Of each private model: weights (safetensors), certificate and model card."
    seeded = any(shown.protection(model) == "seeded" for model in held)
    return [(told,), *[("Their noise is seeded: they are not for release.",)] * seeded, (without,)]


def limitations(account: Account) -> list[Answer]:
    """What limits every such study, and this one."""
    told: list[Answer] = [("One cohort: how accurate the models are elsewhere is not known.",)]
    if any(cohort.declared.sensitivity == "synthetic" for cohort in account.cohorts):
        units = modality.of(account.experiment).units
        told.append((f"{units.capitalize()} drawn by computer: figures from them say nothing of real patients.",))
    if len(account.experiment.seeds) == 1:
        told.append(("One training an arm: the spread between trainings is not known.",))
    private = guarantees.private(account)
    if any(shown.protection(model) == "seeded" for model in private):
        told.append(("Seeded noise: no training of this study guarantees anything.",))
    return told + [(number.said(f"Not covered by epsilon: {item}."),) for item in guarantees.not_covered(private)]
