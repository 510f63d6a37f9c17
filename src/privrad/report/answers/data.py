"""Answers about the data: sources, refusals, labels, parts, and what is known of persons."""

from __future__ import annotations

from privrad.report import flow, modality, number, tables, words
from privrad.report.account import Account, CohortAccount
from privrad.report.answers.pieces import SENSITIVITY, Answer, listed, setting
from privrad.report.tables import Text


def sources(account: Account) -> list[Answer]:
    """Where the data come from."""
    return [_source(account, cohort) for cohort in account.cohorts]


def _source(account: Account, cohort: CohortAccount) -> Text:
    declared = cohort.declared
    public = "pretraining" if account.experiment.pretraining else "the weights of the loss"
    tuned = "fine-tuning" if account.experiment.pretraining else "training"
    used = public if cohort.role == "public" else f"{tuned}, validation and test"
    images, patients = (tables.accepted(cohort, account=account, column=name) for name in ("images", "patients"))
    units = modality.of(account.experiment).units
    named: Text = ("The cohort ", number.said(declared.id), ", laid out as ", number.said(declared.layout), ", is ")
    counts: Text = (f"; accepted {units}: ", images, ", patients: ", patients, ".")
    return (*named, SENSITIVITY[declared.sensitivity], "; used for ", used, *counts)


def refused(account: Account) -> list[Answer]:
    """What was refused when the tables were read, by reason."""
    return [_refused(account, cohort, step="ingest") for cohort in account.cohorts]


def unreadable(account: Account) -> list[Answer]:
    """What was refused in preparation, by reason."""
    return [_refused(account, cohort, step="prepare") for cohort in account.cohorts]


def _refused(account: Account, cohort: CohortAccount, *, step: str) -> Text:
    way = flow.of(cohort, account=account)
    said, held = {
        "ingest": ("Refused at ingest", way.at_ingest),
        "duplicates": ("Taken out as copies", way.copies),
        "prepare": ("Refused at preparation", way.at_preparation),
    }[step]
    counts = listed((each.reason, " (", each.count, ")") for each in held) or ("none",)
    return (f"{said}, {cohort.role} cohort: ", *counts, ".")


def outcome(account: Account) -> list[Answer]:
    """What is predicted, and which column of the cohort's table says so."""
    declared = next(cohort.declared for cohort in account.cohorts if cohort.role == "private")
    rows = [
        [number.said(_capital(words.in_full(finding))), number.said(declared.labels[finding])]
        for finding in account.experiment.findings
    ]
    unit = modality.of(account.experiment).unit
    caption = f"Each finding is present or absent on {'an' if unit[0] in 'aeiou' else 'a'} {unit}"
    caption += f", by a column of the cohort {declared.id}"
    return [tables.table(number.said(caption), ("Finding", "Column"), rows)]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def numbers(account: Account) -> list[Answer]:
    """Patients and images of each part, in all and positive for each finding."""
    return [tables.split(cohort, account=account) for cohort in account.cohorts]


def patients(account: Account) -> list[Answer]:
    """The private cohort by part of the split: training beside test."""
    return [tables.split(cohort, account=account) for cohort in account.cohorts if cohort.role == "private"]


def partition(account: Account) -> list[Answer]:
    """How patients were assigned to parts."""
    if account.experiment.split.private.by == "table":
        return [("Patients go to training, validation and test as the cohort's own table says.",)]
    validation, test = (setting(account, "split", "private", part, form="percent") for part in ("validation", "test"))
    told: Text = (
        "By a keyed hash of the patient's id against fixed thresholds: ",
        validation,
        " of patients to validation, ",
    )
    return [(*told, test, " to test, the rest to training. Balance is reported, not enforced.")]


def flow_of_images(account: Account) -> list[Answer]:
    """How many images went which way."""
    told: list[Answer] = []
    for cohort in account.cohorts:
        way = flow.of(cohort, account=account)
        units = modality.of(account.experiment).units
        begun: Text = (f"{cohort.role.capitalize()} cohort, {units} found: ", way.found, "; accepted: ", way.images)
        told.append((*begun, ", of patients: ", way.patients, "; prepared: ", way.prepared, "."))
        told += [_refused(account, cohort, step=step) for step in ("ingest", "duplicates", "prepare")]
    return told


def deidentification(account: Account) -> list[Answer]:
    """What results carry of persons."""
    few = setting(account, "evaluation", "minimum_cell")
    units = modality.of(account.experiment).units
    told: Text = (
        f"Results carry keyed ids (HMAC) in place of those of patients, studies and {units}. The report shows pictures",
    )
    told += (" of public and of drawn cohorts alone, and hides counts of a private cohort below ", few)
    return [(*told, ", with what would give them away.")]


def availability(account: Account) -> list[Answer]:
    """Which cohorts are public, drawn or private."""
    return [
        ("The cohort ", number.said(cohort.declared.id), f" is {SENSITIVITY[cohort.declared.sensitivity]}.")
        for cohort in account.cohorts
    ]
