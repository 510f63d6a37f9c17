"""The tables of accuracy: by arm, by finding, of one arm, and the tests between arms; each from an account."""

from __future__ import annotations

import pandas as pd

from privrad.report import modality, number, words
from privrad.report.account import Account, Model
from privrad.report.figures import publication
from privrad.report.shown import (
    REFERENCES,
    Facts,
    averaged,
    confidence,
    estimate,
    first,
    first_seeds,
    mean_auroc,
    measured,
)
from privrad.report.tables import Cell, Given, Table, Text, arm, arms, by_arm, setting, table

COSTS = ("Lost to no privacy", "Lost to matched recipe", "Redraws not estimable")
COLUMNS = (
    *(("auroc", "AUROC"), ("average_precision", "Average precision"), ("sensitivity", "Sensitivity")),
    *(("specificity", "Specificity"), ("accuracy", "Accuracy"), ("ppv", "PPV"), ("npv", "NPV")),
    *(("brier", "Brier score"), ("ece", "ECE")),
)
PUBLISHED: tuple[tuple[str, number.Kind | None], ...] = (("ours", None), ("theirs", "public"), ("difference", None))
RANKED = frozenset(("auroc", "average_precision", "brier", "ece"))


def by_model(account: Account) -> Table:
    """The mean AUROC of each arm and seed, its two spreads, and what it loses against no privacy."""
    metrics = account.measured.metrics
    means = _of_mean(metrics[metrics["metric"] == "auroc"])
    differences = account.measured.differences
    costs = [_of_mean(differences[differences["reference"] == name]) for name in REFERENCES]
    rows: list[list[Given]] = []
    for model in by_arm(account):
        mine = _of(means, model)
        if mine is None:
            continue
        names = ("sd", "pooled_sd") if averaged(account) else ("sd",)
        spreads: list[Given] = [measured(account, "metrics.csv", mine, name) for name in names]
        lost: list[Given] = [estimate(account, "differences.csv", _of(cost, model)) for cost in costs]
        degenerate = measured(account, "metrics.csv", mine, "degenerate", form="count")
        rows.append([arm(account, model), estimate(account, "metrics.csv", mine), *spreads, *lost, degenerate])
    said = "Mean AUROC over findings" if averaged(account) else "AUROC"
    caption = f"{said} on the test {modality.of(account.experiment).units}"
    head = ["Arm", _capital(mean_auroc(account)), "Sampling sd", *["Pooled sd"] * averaged(account), *COSTS]
    source = f"{account.evaluate}/metrics.csv, differences.csv"
    return table(caption, head, rows, source=source)


def by_finding(account: Account) -> Table:
    """The AUROC of each finding at each arm, first seed."""
    metrics = first_seeds(account.measured.metrics)
    chosen = metrics[(metrics["group_by"] == "all") & (metrics["metric"] == "auroc")]
    rows: list[list[Given]] = []
    for finding in account.experiment.findings:
        held = {str(row["arm"]): row for row in chosen[chosen["finding"] == finding].to_dict("records")}
        positives = [measured(account, "metrics.csv", row, "positives", form="count") for row in held.values()][:1]
        cells = [estimate(account, "metrics.csv", held.get(name)) for name in arms(account)]
        rows.append([number.said(words.finding(finding)), *positives, *cells])
    positive = f"Positive {modality.of(account.experiment).units}"
    head: list[Given] = ["Finding", positive, *(arm(account, name, short=True) for name in arms(account))]
    return table("AUROC by finding", head, rows, source=f"{account.evaluate}/metrics.csv")


def of_arm(account: Account, name: str) -> Table:
    """All that was measured of one arm, first seed, finding by finding, and the thresholds used."""
    metrics = first_seeds(account.measured.metrics)
    chosen = metrics[(metrics["arm"] == name) & (metrics["group_by"] == "all")]
    rule = account.experiment.evaluation.threshold
    found = {(row["finding"], row["metric"], row["rule"]): row for row in chosen.to_dict("records")}
    cuts = first_seeds(account.measured.thresholds)
    cuts = cuts[(cuts["arm"] == name) & (cuts["rule"] == rule)]
    thresholds = {row["finding"]: row for row in cuts.to_dict("records")}
    fixed = account.experiment.evaluation.specificity
    rows: list[list[Given]] = []
    for finding in _findings(account):
        cells: list[Given] = [
            estimate(account, "metrics.csv", found.get((finding, metric, "" if metric in RANKED else rule)))
            for metric, _ in COLUMNS
        ]
        cells.append(estimate(account, "metrics.csv", found.get((finding, "sensitivity", "specificity"))))
        cut = thresholds.get(finding)
        cells.append(measured(account, "thresholds.csv", cut, "threshold") if cut else words.DASH)
        rows.append([_finding(finding), *cells])
    at = (
        "Sensitivity at ",
        setting(account.name, ("evaluation", "specificity"), fixed, form="percent"),
        " specificity",
    )
    on = f": each finding on the test {modality.of(account.experiment).units}, with "
    caption: Text = (*arm(account, name), on, confidence(account), " intervals")
    head: list[Given] = ["Finding", *(said for _, said in COLUMNS), at, "Threshold"]
    return table(caption, head, rows, source=f"{account.evaluate}/metrics.csv, thresholds.csv")


def tests(account: Account) -> Table:
    """Each arm's mean AUROC held against no privacy, with tests of difference, non-inferiority and equivalence."""
    rows = [
        row
        for name in arms(account)
        for row in _tested(account, arm(account, name), _against(account, name, finding="mean"), named=True)
    ]
    caption = f"What privacy costs, tested: {mean_auroc(account)} against the arms without it"
    return _tests(account, caption, rows, named=True)


def tests_of_arm(account: Account, name: str) -> Table:
    """One arm held against no privacy finding by finding, adjusted for the number of findings."""
    found = [(finding, _against(account, name, finding=finding)) for finding in account.experiment.findings]
    rows = [row for finding, held in found for row in _tested(account, (_finding(finding),), held[:1], named=False)]
    caption: Text = (*arm(account, name), " against no privacy, finding by finding")
    return _tests(account, caption, rows, named=False)


def _against(account: Account, name: str, *, finding: str) -> list[Facts]:
    rows = first_seeds(account.measured.significance)
    rows = rows[(rows["arm"] == name) & (rows["finding"] == finding)]
    chosen = [first(rows[rows["reference"] == reference]) for reference in REFERENCES]
    return [row for row in chosen if row is not None]


def _tested(account: Account, label: Text, rows: list[Facts], *, named: bool) -> list[list[Given]]:
    made: list[list[Given]] = []
    for row in rows:
        tests = ("p_bootstrap", "p_delong") if named else ("p_bootstrap_holm", "p_delong_holm", "p_hanley_mcneil")
        values: list[Given] = [measured(account, "significance.csv", row, test, form="p") for test in tests]
        reference: list[Given] = [arm(account, str(row["reference"]), short=True)] if named else []
        said = [_verdict(row, verdict) for verdict in ("noninferior", "equivalent")]
        made.append([label, *reference, estimate(account, "significance.csv", row), *values, *said])
    return made


def _tests(account: Account, caption: str | Text, rows: list[list[Given]], *, named: bool) -> Table:
    adjusted = (
        ("p, bootstrap", "p, DeLong") if named else ("p, bootstrap (Holm)", "p, DeLong (Holm)", "p, Hanley-McNeil")
    )
    head = ["Arm", "Against"] if named else ["Finding"]
    head += ["AUROC lost", *adjusted, "Non-inferior", "Equivalent"]
    return table(caption, head, rows, source=f"{account.evaluate}/significance.csv")


def _verdict(row: Facts, name: str) -> str:
    if words.absent(row[name]):
        return number.hidden(row, name) or words.DASH
    return "yes" if str(row[name]) == "True" else "not demonstrated"


def validation(account: Account) -> Table:
    """Which arms are shown to be non-inferior to no privacy on validation patients."""
    rows: list[list[Given]] = []
    for model in by_arm(account):
        held = account.measured.validation
        held = held[held["reference"] == "eps-inf"] if (held["reference"] == "eps-inf").any() else held
        row = _of(held, model)
        if row is not None:
            lost = estimate(account, "validation.csv", row)
            counts = [measured(account, "validation.csv", row, name, form="count") for name in ("images", "patients")]
            rows.append([arm(account, model), lost, *counts, _verdict(row, "noninferior")])
    units = modality.of(account.experiment).units.capitalize()
    head = ("Arm", f"{_capital(mean_auroc(account))} lost to no privacy", units, "Patients", "Non-inferior")
    return table("Non-inferiority on validation patients", head, rows, source=f"{account.evaluate}/validation.csv")


def seeds(account: Account) -> Table:
    """How far the mean AUROC moves between trainings, beside how far it would with other test patients."""
    held = account.measured.seeds
    held = held[(held["finding"] == "mean") & (held["trainings"] > 1)]
    rows: list[list[Given]] = []
    for name in arms(account):
        for row in held[held["arm"] == name].to_dict("records"):
            spreads = [measured(account, "seeds.csv", row, column) for column in ("mean", "sd", "sampling_sd")]
            trainings = measured(account, "seeds.csv", row, "trainings", form="count")
            rows.append([arm(account, name), number.said(str(row["metric"])), trainings, *spreads])
    head = ("Arm", "Metric", "Trainings", "Mean", "Sd between trainings", "Sampling sd")
    return table("Spread between trainings", head, rows, source=f"{account.evaluate}/seeds.csv")


def correlations(account: Account) -> Table:
    """Pearson's correlations between accuracy, its loss, numbers of cases, and epsilon."""
    rows: list[list[Given]] = []
    for row in account.measured.correlations.to_dict("records"):
        name = str(row["arm"])
        of = arm(account, name, short=True) if name in account.experiment.arms else (words.DASH,)
        points = measured(account, "correlations.csv", row, "n", form="count")
        rows.append([number.said(str(row["about"])), of, estimate(account, "correlations.csv", row), points])
    head = ("Between", "Arm", "Pearson's r", "Points")
    return table("Correlations", head, rows, source=f"{account.evaluate}/correlations.csv")


def published(account: Account, compared: pd.DataFrame | None) -> Table:
    """A study's results beside the published ones, where group and epsilon match; of CT with both σ over trainings."""
    rows: list[list[Given]] = []
    for row in [] if compared is None else compared.to_dict("records"):
        form = "auroc" if row["metric"] == "auroc" else "signed"
        titled = publication.titled(str(row["group"]), str(row["ours_group"]))
        named = titled[:1].lower() + titled[1:]
        ours, theirs, difference = (_beside(account, row, *column, form=form) for column in PUBLISHED)
        metric = "AUROC" if row["metric"] == "auroc" else "Accuracy difference"
        epsilon = _beside(account, row, "epsilon", "public", form="number")
        cells = [Cell((ours,), _spread(account, row, "ours_training_sd", None))]
        cells += [Cell((theirs,), _spread(account, row, "theirs_sd", "public"))]
        rows.append([named, metric, epsilon, *cells, difference])
    head = ("Group", "Metric", "ε", "Ours", "Published", "Ours less published")
    caption = "Ours beside the published results" + ", means over findings" * averaged(account)
    return table(caption, head, rows, source=f"{account.name}/figures/published.csv")


def _beside(account: Account, row: Facts, column: str, kind: number.Kind | None, *, form: str) -> number.Number:
    of = kind or account.tested
    return number.of_table(f"{account.name}/figures", "published.csv", row, column, form=form, kind=of)


def _spread(account: Account, row: Facts, column: str, kind: number.Kind | None) -> Text:
    """A published standard deviation, or ours over trainings where there are several; nothing where it is 0."""
    if words.absent(row[column]) or not row[column]:
        return ()
    return ("sd ", _beside(account, row, column, kind, form="auroc"))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _findings(account: Account) -> tuple[str, ...]:
    findings = account.experiment.findings
    return (*findings, "mean") if len(findings) > 1 else findings


def _finding(name: str) -> number.Piece:
    return "Mean over findings" if name == "mean" else number.said(words.finding(name))


def _of_mean(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["finding"] == "mean") & (rows["group_by"] == "all")]


def _of(rows: pd.DataFrame, model: Model) -> Facts | None:
    return first(rows[(rows["arm"] == model.arm.name) & (rows["seed"] == model.seed)])
