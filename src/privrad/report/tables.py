"""Tables, and those of the data, the trainings and the guarantees; each from an account of the experiment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from privrad import config
from privrad.report import shown, words
from privrad.report.account import Account, CohortAccount, Model

PARTS = ("train", "validation", "test")
BY = ("ε by PLD", "ε by RDP", "ε by PRV")


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table, with a smaller second line."""

    text: str
    under: str = ""
    code: bool = False


@dataclass(frozen=True)
class Table:
    """A table: the first cell of a row names it; `source` is the file that the numbers come from."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    source: str = ""
    numeric: bool = True


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str | Cell]], *, source: str = "", numeric: bool = True
) -> Table:
    """A table of strings and cells."""
    cells = tuple(tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row) for row in rows)
    return Table(caption, tuple(head), cells, source, numeric)


def split(cohort: CohortAccount, *, minimum: int) -> Table:
    """Images and patients of each part of one cohort, in all, by sex, by age and positive for each finding."""
    balance = cohort.balance
    filled = balance.groupby(["column", "value"], sort=False)["images"].transform("sum") > 0
    known = filled & ~balance["value"].isin(shown.UNNAMED)
    filled &= known.groupby(balance["column"]).transform("any")
    said = _said(balance, minimum=minimum)
    rows = []
    for column, value in dict.fromkeys(zip(balance["column"][filled], balance["value"][filled], strict=True)):
        cells = [said.get((name, column, value, kind), words.DASH) for name in PARTS for kind in ("patients", "images")]
        rows.append([_named(str(column), str(value)), *cells])
    head = ["Group", *(f"{part}: {kind}" for part in PARTS for kind in ("patients", "images"))]
    caption = f"The {cohort.role} cohort by part of the split"
    return table(caption, head, rows, source=f"split/{cohort.role}/balance.csv")


def _said(balance: pd.DataFrame, *, minimum: int) -> dict[tuple[str, str, str, str], str]:
    """The counts of a balance as they are shown, by part, column, value and kind.

    The parts of the split add up to the cohort, and sexes or age bands to their part: a total that is shown beside them
    gives none of them away. Findings overlap and stand alone.
    """
    total = balance["split"].where(balance["column"] != "all", "")
    said: dict[tuple[str, str, str, str], str] = {}
    for _, part in balance.groupby([total, "column"], sort=False):
        keys = list(part[["split", "column", "value"]].itertuples(index=False, name=None))
        for kind in ("patients", "images"):
            shown_as = words.counts([float(number) for number in part[kind]], minimum=minimum)
            said |= {(*key, kind): text for key, text in zip(keys, shown_as, strict=True)}
    return said


def _named(column: str, value: str) -> str:
    if column == "all":
        return "all"
    if column in ("sex", "age"):
        return f"{column}: {words.group(column, value)}"
    return words.finding(column)


def refused(cohorts: Sequence[CohortAccount], experiment: config.Experiment) -> Table:
    """How many images were refused, where and why."""
    counts: dict[tuple[str, str], dict[str, str]] = {}
    for cohort in cohorts:
        minimum = shown.minimum_of(cohort.declared, experiment)
        for step, reasons in (("ingest", cohort.refused), ("prepare", cohort.refused_in_preparation)):
            met = {reason: float(count) for reason, count in sorted(reasons.items()) if count}
            said = words.counts(list(met.values()), minimum=minimum)
            if step == "ingest":  # no total is shown that these add up to
                said = [words.count(count, minimum=minimum) for count in met.values()]
            for reason, text in zip(met, said, strict=True):
                counts.setdefault((step, reason), {})[cohort.role] = text
    rows = [
        [f"{step}: {reason.replace('_', ' ')}", *(held.get(cohort.role, "0") for cohort in cohorts)]
        for (step, reason), held in sorted(counts.items())
    ]
    head = ["Step and reason", *(f"Images of the {cohort.role} cohort" for cohort in cohorts)]
    return table("Images refused, and why", head, rows, source="ingest/<cohort>/refused.csv, prepare/<cohort>/")


def trainings(account: Account) -> Table:
    """What each arm was trained by."""
    rows = [_training(account, model) for model in by_arm(account)]
    head = (
        "Arm",
        "Start",
        "Clipping and noise",
        "Activation",
        "Learning rate",
        "Length",
        "Augmentation",
        "Weights (SHA-256)",
    )
    return table(
        "Fine-tuning on the private cohort",
        head,
        rows,
        source="finetune/<arm>/seed-<seed>/training.json",
        numeric=False,
    )


def _training(account: Account, model: Model) -> list[str | Cell]:
    experiment, arm = account.experiment, model.arm
    start = "pretrained" if experiment.pretraining else "random weights"
    seeded = f", seed {model.seed}" if len(experiment.seeds) > 1 else ""
    digest = str(
        model.certificate.get("weights_sha256") or model.certificate.get("model", {}).get("weights_sha256") or ""
    )
    weights = Cell(digest[:12] or words.DASH, code=True)
    name = words.arm(arm.name, epsilon=arm.epsilon) + seeded
    if arm.recipe == "none":
        return [name, start, words.DASH, arm.activation, words.DASH, "not fine-tuned", words.DASH, weights]
    if arm.recipe == "without_privacy":
        recipe = experiment.training.without_privacy
        turned = recipe.augmentation
        views = Cell(f"flip {turned.flip:g}", f"rotation ±{turned.rotation_degrees:g}°") if turned else Cell("none")
        length = Cell(f"{words.number(recipe.epochs)} epochs", f"batch {recipe.batch}")
        return [name, start, "none", arm.activation, words.number(recipe.learning_rate), length, views, weights]
    noise = model.certificate.get("noise_multiplier")
    clipped = Cell(f"σ = {words.number(noise)}", f"norm {experiment.privacy.clipping_norm:g}")
    clipped = clipped if arm.recipe == "private" else Cell("none")
    length = Cell(
        f"{words.number(experiment.privacy.steps)} steps", f"expected batch {experiment.privacy.expected_batch}"
    )
    rate = words.number(experiment.training.learning_rate)
    return [name, start, clipped, arm.activation, rate, length, "none", weights]


def by_arm(account: Account) -> list[Model]:
    """The trainings in the order in which the report names their arms."""
    return [model for arm in shown.ordered(account) for model in account.models if model.arm.name == arm.name]


def certificates(account: Account) -> Table:
    """What the certificate of each private training states."""
    rows = []
    for model in by_arm(account):
        held, kind = model.certificate, shown.protection(model)
        if model.arm.recipe != "private":
            continue
        checks = held.get("epsilon_by") or held.get("accountants") or {}
        nominal = words.number(held.get("nominal_epsilon", held.get("target_epsilon")))
        stated = words.number(held["epsilon"]) if kind == "protected" else "none"
        rows.append(
            [words.arm(model.arm.name, epsilon=model.arm.epsilon), stated, nominal]
            + [
                words.number(held.get(name))
                for name in ("noise_multiplier", "sample_rate", "steps", "delta", "clipping_norm")
            ]
            + [words.number(checks.get(name)) for name in ("pld", "rdp", "prv")]
        )
    head = ("Arm", "ε guaranteed", "ε nominal", "σ", "Sampling rate", "Steps", "δ", "Clipping norm", *BY)
    return table(
        "The guarantee of each private training", head, rows, source="finetune/<arm>/seed-<seed>/certificate.json"
    )


def sources(account: Account) -> Table:
    """The files that the numbers come from, with their hashes."""
    rows = [[Cell(path, code=True), Cell(digest, code=True)] for path, digest in account.sources.items()]
    return table("Files behind the numbers", ("File", "SHA-256"), rows, numeric=False)
