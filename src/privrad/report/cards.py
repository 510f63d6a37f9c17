"""Model cards in the form of Hugging Face, one for each private training, with the numbers of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pandas as pd
import yaml

from privrad.report import (
    accuracy,
    fairness,
    flow,
    guarantees,
    markdown,
    modality,
    number,
    preparation,
    shown,
    snippets,
    tables,
    words,
)
from privrad.report.account import Account, Model
from privrad.report.markdown import Paper, Raw
from privrad.report.tables import Given, Table

METRICS = {
    "auroc": ("roc_auc", "AUROC"),
    "average_precision": ("average_precision", "Average precision"),
    "sensitivity": ("recall", "Sensitivity"),
    "specificity": ("specificity", "Specificity"),
    "accuracy": ("accuracy", "Accuracy"),
    "brier": ("brier_score", "Brier score"),
    "ece": ("expected_calibration_error", "Expected calibration error"),
}
BY_GROUP = ("auroc", "sensitivity", "specificity", "ece")
PLAN = (
    *(("epsilon", "ε guaranteed"), ("nominal_epsilon", "ε nominal"), ("delta", "δ")),
    *(("noise_multiplier", "Noise multiplier σ"), ("clipping_norm", "Clipping norm"), ("sample_rate", "Sampling rate")),
    *(("steps", "Steps"), ("population", "Declared population"), ("expected_batch", "Expected batch")),
)
NOT_FOR_RELEASE = "not-for-release"
LICENCE = "to-be-chosen"


def of(account: Account, *, study: str) -> list[Paper]:
    """The card of each private model; `account` holds what may be shown and nothing more, `study` is the study's name.

    A model without privacy, or not fine-tuned, has none: the first must not leave a hospital, the second is public.
    """
    papers = []
    for model in guarantees.private(account):
        path = f"{account.name}/cards/{model.arm.name}/seed-{model.seed}/README.md"
        title = f"Model card: {account.name}, {words.column(model.arm.name, epsilon=model.arm.epsilon)}"
        title += f", seed {model.seed}" if len(account.experiment.seeds) > 1 else ""
        papers.append(Paper(path, title, card(_alone(account, model), model, study=study)))
    return papers


def card(account: Account, model: Model, *, study: str) -> str:
    """One card: front matter in YAML, then the sections of Hugging Face's template in its order."""
    private, public = _cohort(account, "private"), _cohort(account, "public")
    seeded = shown.protection(model) == "seeded"
    name = f"{study} {account.name} {words.column(model.arm.name, epsilon=model.arm.epsilon)}"
    name += f", seed {model.seed}" if len(account.experiment.seeds) > 1 else ""
    body = markdown.fill(
        "card.md",
        {
            "account": account,
            "experiment": account.experiment,
            "model": model,
            "name": words.flat(name),
            "modality": modality.of(account.experiment),
            "findings": [words.in_full(finding) for finding in account.experiment.findings],
            "preparation": markdown.text(preparation.law(account)),
            "seeded": seeded,
            "private": private,
            "public": public,
            "flow": flow.of(private, account=account) if private else None,
            "split": tables.split(private, account=account) if private else None,
            "public_flow": flow.of(public, account=account) if public else None,
            "privacy": privacy(account, model),
            "attacked": guarantees.attacked(account),
            "of_patient": guarantees.of_patient(account),
            "not_covered": guarantees.not_covered([model]),
            "measured": accuracy.of_arm(account, model.arm.name),
            "cost": cost(account, model),
            "columns": [words.grouping(column) for column in shown.groupings(account.measured.metrics)],
            "by_group": [by_group(account, column) for column in shown.groupings(account.measured.metrics)],
            "gaps": fairness.of_arm(account, model.arm.name),
            "versions": sorted(model.certificate.get("versions", {}).items()),
            "weights": tables.stated(account, model, ("model", "weights_sha256"), form="hash"),
            "commands": markdown.block(snippets.commands(account, model), "sh"),
            "one": [(each.title, markdown.block(each.text, each.language)) for each in snippets.one(account, model)],
            "set": lambda *pointer, form="number": _set(account, pointer, form=form),
        },
    )
    return f"---\n{front_matter(account, model, study=study)}---\n\n{body}"


def front_matter(account: Account, model: Model, *, study: str) -> str:
    """The metadata of a card as YAML; the values are those that the report shows, hidden ones are left out.

    Source: https://github.com/huggingface/hub-docs, modelcard.md.
    """
    cohorts = {cohort.role: words.flat(cohort.declared.id) for cohort in account.cohorts}
    name = words.flat(f"{study}-{account.name}-{model.arm.name}-seed-{model.seed}")
    said, several = modality.of(account.experiment), len(account.experiment.findings) > 1
    tags = ["differential-privacy", "radiology", "medical-imaging", *said.tags]
    tags += ["multi-label-classification" if several else "binary-classification"]
    results = {
        "task": {"type": "image-classification", "name": said.task},
        "dataset": {"type": cohorts["private"], "name": f"Test patients of {cohorts['private']}", "split": "test"},
        "metrics": index(account, model),
    }
    facts: dict[str, Any] = {
        "language": "en",
        "license": "other",
        "license_name": LICENCE,
        "library_name": "privrad",
        "pipeline_tag": "image-classification",
        "tags": tags + [NOT_FOR_RELEASE] * (shown.protection(model) == "seeded"),
        "datasets": [cohorts[role] for role in ("private", "public") if role in cohorts],
        "metrics": [kind for kind, _ in METRICS.values()],
    }
    if results["metrics"]:
        facts["model-index"] = [{"name": name, "results": [results]}]
    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=1000)


def index(account: Account, model: Model) -> list[dict[str, Any]]:
    """The metrics of a model's index, of all test patients, each value to the digits that the report shows."""
    rows = account.measured.metrics
    rows = rows[(rows["arm"] == model.arm.name) & (rows["seed"] == model.seed) & (rows["group_by"] == "all")]
    found: list[dict[str, Any]] = []
    for row in rows[rows["metric"].isin(list(METRICS))].to_dict("records"):
        rule, said = str(row["rule"]), shown.measured(account, "metrics.csv", row, "value").text
        value = _value(said)
        alone = row["finding"] == "mean" and len(account.experiment.findings) == 1
        if rule not in ("", account.experiment.evaluation.threshold) or value is None or alone:
            continue
        kind, metric = METRICS[str(row["metric"])]
        finding = "mean over findings" if row["finding"] == "mean" else words.inside(str(row["finding"]))
        found.append({"type": kind, "name": words.flat(f"{metric}, {finding}"), "value": value})
    return found


def _value(said: str) -> float | None:
    """What is shown as a number, unless something else is shown in its place."""
    try:
        return float(said.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return None


def privacy(account: Account, model: Model) -> Table:
    """What the certificate of one model states, row by row."""
    rows: list[list[Given]] = [
        [said, tables.stated(account, model, (name,))] for name, said in PLAN if model.certificate.get(name) is not None
    ]
    if model.certificate.get("epsilon") is None:
        rows.insert(0, ["ε guaranteed", "none: the noise is seeded"])
    for by in guarantees.BY:
        rows.append([f"ε by {by.upper()}", tables.stated(account, model, ("accountants", by))])
    if account.experiment.privacy.delta > guarantees.SMALLER:
        said = f"ε{' nominal' * (model.certificate.get('epsilon') is None)} at δ = {words.number(guarantees.SMALLER)}"
        rows.append([said, guarantees.smaller(account, model)])
    if (model.certificate.get("cohort_so_far") or {}).get("epsilon") is not None:
        spent = tables.stated(account, model, ("cohort_so_far", "epsilon"))
        rows.append(["ε of all trained on the cohort by then", spent])
    weights = tables.stated(account, model, ("model", "weights_sha256"), form="hash")
    rows.append(["Weights (SHA-256, first digits)", weights])
    return tables.table("The certificate of this model", ["Fact", "Value"], rows)


def cost(account: Account, model: Model) -> Table:
    """What the model loses against no privacy and against the matched recipe, the mean over several findings."""
    rows = account.measured.differences
    rows = rows[(rows["arm"] == model.arm.name) & (rows["finding"] == "mean") & (rows["group_by"] == "all")]
    made: list[list[Given]] = []
    for reference in shown.REFERENCES:
        row = shown.first(rows[rows["reference"] == reference])
        if row is not None and reference in account.experiment.arms:
            made.append([tables.arm(account, reference), shown.estimate(account, "differences.csv", row)])
    caption = f"What privacy costs, in {'mean ' * (len(account.experiment.findings) > 1)}AUROC"
    return tables.table(caption, ["Against", "AUROC lost"], made)


def by_group(account: Account, column: str) -> Table:
    """How accurate the model is in each group of one column, means over findings, beside the size of the group."""
    rows = account.measured.metrics
    rows = rows[(rows["group_by"] == column) & (rows["finding"] == "mean")]
    rows = rows[rows["rule"].isin(("", account.experiment.evaluation.threshold))]
    made: list[list[Given]] = []
    for group in dict.fromkeys(rows["group"]):
        held = {str(row["metric"]): row for row in rows[rows["group"] == group].to_dict("records")}
        one = next(iter(held.values()))
        counts = [
            shown.measured(account, "metrics.csv", one, kind, form="count", missing=words.WITHHELD)
            for kind in ("patients", "images")
        ]
        cells = [shown.estimate(account, "metrics.csv", held.get(metric)) for metric in BY_GROUP]
        made.append([shown.named(one), *counts, *cells])
    units = modality.of(account.experiment).units.capitalize()
    head = ["Group", "Patients", units, *(METRICS[metric][1] for metric in BY_GROUP)]
    caption = f"By {words.grouping(column)}{', mean over findings' * (len(account.experiment.findings) > 1)}"
    return tables.table(number.said(caption), head, made)


def _alone(account: Account, model: Model) -> Account:
    """The account with the rows of one training alone."""
    held = {each.name: getattr(account.measured, each.name) for each in fields(account.measured)}
    kept = {name: _of(table, model) for name, table in held.items()}
    return replace(account, models=(model,), measured=replace(account.measured, **kept))


def _of(table: pd.DataFrame, model: Model) -> pd.DataFrame:
    mine = table["arm"] == model.arm.name
    return table[mine & (table["seed"] == model.seed)] if "seed" in table.columns else table[mine]


def _cohort(account: Account, role: str) -> Any:
    return next((cohort for cohort in account.cohorts if cohort.role == role), None)


def _set(account: Account, pointer: Sequence[str], *, form: str) -> Raw:
    value: Any = account.experiment
    for key in pointer:
        value = value[key] if isinstance(value, dict) else getattr(value, key)
    return markdown.piece(tables.setting(account.name, pointer, value, form=form))
