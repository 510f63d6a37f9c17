"""Answers about the methods: aims, preparation, network, training, privacy and statistics."""

from __future__ import annotations

import math

from privrad.report import guarantees, modality, number, preparation, shown, tables, words
from privrad.report.account import Account
from privrad.report.answers.pieces import Answer, listed, setting
from privrad.report.tables import Text


def identification(account: Account) -> list[Answer]:
    """What kind of study it is."""
    findings = [number.said(words.in_full(finding)) for finding in account.experiment.findings]
    scored = modality.of(account.experiment).scored
    how = ", trained with differential privacy," if guarantees.private(account) else ""
    told: Text = (f"Development and evaluation of deep neural networks{how} that score {scored} for ",)
    return [(*told, *listed(findings), ".")]


def objectives(account: Account) -> list[Answer]:
    """What the study set out to find."""
    arms = [model.arm.name for model in guarantees.private(account)]
    budgets = listed(tables.arm(account, arm, short=True) for arm in dict.fromkeys(arms))
    if not budgets:
        return [("To develop models, and to evaluate how accurate and how fair they are.",)]
    told: Text = (
        "To develop models and to evaluate how accurate and how fair they are at ",
        *budgets,
        ", and what privacy",
    )
    margin = setting(account, "evaluation", "margin")
    return [
        (
            *told,
            " costs: whether less than ",
            margin,
            f" in {shown.mean_auroc(account)} (non-inferiority to training without privacy).",
        )
    ]


def preprocessing(account: Account) -> list[Answer]:
    """How images are prepared."""
    read = "Rescaling and window of a DICOM image are applied. "
    if account.experiment.modality == "ct":
        read = "Stored values become Hounsfield units, padding becomes air; slices are ordered by their position. "
    same = " The same for everyone: no statistic of a cohort or a group is used."
    return [(read, *preparation.law(account), same)]


def network(account: Account) -> list[Answer]:
    """The architecture."""
    width, groups = setting(account, "model", "width"), setting(account, "model", "groups")
    told: Text = (
        "Residual network ",
        number.said(account.experiment.model.network),
        ", width ",
        width,
        ", group normalisation",
    )
    layers = modality.of(account.experiment).layers
    told += (" in ", groups, f" groups, no bias in convolutions, {layers}, one linear output a finding.")
    return [told]


def initialisation(account: Account) -> list[Answer]:
    """Where the weights start."""
    if account.experiment.pretraining is None:
        return [("From random weights.",)]
    epochs, batch, rate = (setting(account, "pretraining", name) for name in ("epochs", "batch", "learning_rate"))
    told: Text = (
        "From the same network trained on the public cohort, without privacy: ",
        epochs,
        " epochs, batch ",
        batch,
    )
    return [(*told, ", learning rate ", rate, ". Its head is kept.")]


def training(account: Account) -> list[Answer]:
    """How each arm was trained."""
    return [tables.trainings(account)]


def privacy(account: Account) -> list[Answer]:
    """What the private trainings guarantee."""
    models = guarantees.private(account)
    if not models:
        return [("No training of this study is private.",)]
    unit = account.experiment.privacy.unit
    told: list[Answer] = [(f"Unit of privacy: the {unit}; neighbouring cohorts differ in one, added or removed.",)]
    if any(shown.protection(model) == "seeded" for model in models):
        told.append(("The noise is seeded: nothing is guaranteed, and each epsilon is nominal.",))
    return [*told, guarantees.certificates(account)]


def imbalance(account: Account) -> list[Answer]:
    """How rare findings are weighted."""
    chosen = account.experiment.training.positive_weights
    if chosen == "none":
        return [("Positive and negative labels count alike in the loss. Nothing is recalibrated.",)]
    by = "the frequencies in the public cohort" if chosen == "public" else "constants of the study file"
    return [(f"In the loss, positive labels are weighted by {by}. Nothing is recalibrated afterwards.",)]


def output(account: Account) -> list[Answer]:
    """What the model gives, and how it becomes yes or no."""
    fixed = setting(account, "evaluation", "specificity", form="percent")
    itself = f"the test {modality.of(account.experiment).units} themselves"
    on = "validation patients" if account.experiment.evaluation.threshold == "youden" else itself
    told: Text = (
        "A score from ",
        number.Said("0"),
        " to ",
        number.Said("1"),
        " for each finding. Thresholds: by Youden's",
    )
    return [(*told, f" index on {on}, the same for all groups; beside it, the sensitivity at ", fixed, " specificity.")]


def uncertainty(account: Account) -> list[Answer]:
    """How intervals are made."""
    redraws = setting(account, "evaluation", "redraws", form="count")
    of_images = account.experiment.evaluation.resample == "image"
    redrawn = modality.of(account.experiment).units if of_images else "patients"
    told: Text = (
        shown.confidence(account),
        " intervals, from ",
        redraws,
        f" bootstrap redraws of {redrawn} that all models,",
    )
    return [(*told, " findings and groups share. They speak of other test patients, not of other trainings.")]


def tests(account: Account) -> list[Answer]:
    """How arms are compared."""
    margin = setting(account, "evaluation", "margin")
    told: Text = (
        "Between arms: paired redraws; beside them DeLong's test for clustered data and Hanley and McNeil's,",
    )
    told += (" adjusted over findings by Holm's method; non-inferiority and equivalence within ", margin, " in AUROC.")
    return [told]


def robustness(account: Account) -> list[Answer]:
    """What was repeated or varied."""
    several = len(account.experiment.seeds) > 1
    repeated: Text = ("One training an arm.",)
    if several:
        repeated = ("Each arm was trained with ", setting(account, "seeds", form="length"), " seeds.")
    matched = "Beside training without privacy stands one with the recipe of the private arms."
    endless = any(math.isinf(arm.epsilon) for arm in account.experiment.arms.values())
    return [repeated, *[(matched,)] * endless]


def fairness_methods(account: Account) -> list[Answer]:
    """How groups are compared."""
    columns = [number.said(words.grouping(column)) for column in shown.groupings(account.measured.metrics)]
    if not columns:
        return [("Not examined: the predictions name no groups.",)]
    few = setting(account, "evaluation", "minimum_cell")
    told: Text = (
        "Measured, not corrected. By ",
        *listed(columns),
        ": accuracy, sensitivity, false-positive and selection",
    )
    told += (
        " rate, underdiagnosis, calibration and AUROC of each group less the others, with intervals that hold for all",
    )
    return [(*told, " groups of a kind at once. Groups of fewer than ", few, " test patients are left out.")]


def software(account: Account) -> list[Answer]:
    """The packages that the models were trained with."""
    held = {name: str(of) for each in account.models for name, of in each.certificate.get("versions", {}).items()}
    rows = [[number.said(name), number.said(version)] for name, version in sorted(held.items())]
    return [tables.table("Packages that the models were trained with", ("Package", "Version"), rows, numeric=False)]
