"""The page: everything that the template shows of a study, and the template filled in."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files as resources

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from privrad import config
from privrad.privacy import accounting
from privrad.report import accuracy, figures, inline, pictures, shown, tables, words
from privrad.report.account import Account, CohortAccount

WIDE, SMALL = 10.0, 4.3
PACKAGES = ("privrad", "matplotlib", "numpy", "pandas")


@dataclass(frozen=True)
class FigurePair:
    """One figure at two widths, of which the page shows the fitting one."""

    wide: Markup
    narrow: Markup


@dataclass(frozen=True)
class CohortPart:
    """One cohort as the page shows it."""

    account: CohortAccount
    images: str
    patients: str
    prepared: str
    split: tables.Table
    pairs: Sequence[pictures.Pair]


@dataclass(frozen=True)
class Part:
    """One experiment as the page shows it."""

    account: Account
    lines: Sequence[shown.Line]
    sentences: Sequence[str]
    cohorts: Sequence[CohortPart]
    refused: tables.Table
    trainings: tables.Table
    accuracy: tables.Table
    by_finding: tables.Table
    by_group: Sequence[tables.Table]
    certificates: tables.Table
    sources: tables.Table
    figures: dict[str, FigurePair]
    protections: frozenset[str]
    not_covered: Sequence[str]
    composed: str
    of_patient: Sequence[str]
    floor: float
    hidden: int

    @property
    def endless(self) -> bool:
        """Whether some training had no privacy."""
        return any(arm.epsilon == math.inf for arm in self.account.experiment.arms.values())

    @property
    def unprotected(self) -> bool:
        """Whether no training of the experiment is private."""
        return not self.certificates.rows

    @property
    def seeded(self) -> bool:
        """Whether the noise of a private training can be had from its seed."""
        return "seeded" in self.protections


def part(account: Account) -> Part:
    """Make all that the page shows of one experiment."""
    account = shown.masked(account)
    chosen = shown.lines(account)
    private = [model for model in account.models if model.arm.recipe == "private"]
    lows = [line.low for line in chosen if math.isfinite(line.low)]
    return Part(
        account=account,
        lines=chosen,
        sentences=shown.sentences(account),
        cohorts=[_cohort(cohort, account.experiment) for cohort in account.cohorts],
        refused=tables.refused(account.cohorts, account.experiment),
        trainings=tables.trainings(account),
        accuracy=accuracy.by_model(account),
        by_finding=accuracy.by_finding(account),
        by_group=[accuracy.by_group(account, column) for column in shown.groupings(account.metrics)],
        certificates=tables.certificates(account),
        sources=tables.sources(account),
        figures=_figures(account),
        protections=frozenset(shown.protection(model) for model in private),
        not_covered=list(dict.fromkeys(item for model in private for item in model.certificate.get("not_covered", ()))),
        composed=_composed(account),
        of_patient=_of_patient(account),
        floor=min([0.5, *(math.floor(20 * low) / 20 for low in lows)]),
        hidden=shown.minimum_of(account.experiment.cohorts.private, account.experiment),
    )


def _cohort(cohort: CohortAccount, experiment: config.Experiment) -> CohortPart:
    everything = cohort.balance[cohort.balance["column"] == "all"]
    minimum = shown.minimum_of(cohort.declared, experiment)
    tells = 0 < sum(cohort.refused_in_preparation.values()) < minimum
    return CohortPart(
        account=cohort,
        images=words.count(float(everything["images"].sum()), minimum=minimum),
        patients=words.count(float(everything["patients"].sum()), minimum=minimum),
        prepared=words.WITHHELD if tells else words.count(len(cohort.prepared), minimum=minimum),
        split=tables.split(cohort, minimum=minimum),
        pairs=pictures.pairs(cohort, findings=experiment.findings),
    )


def _figures(account: Account) -> dict[str, FigurePair]:
    metrics, name = account.metrics, account.name
    of_groups = metrics[metrics["group_by"].isin(shown.groupings(metrics)) & metrics["value"].notna()]
    columns = [column for column in ("sex", "age") if column in set(of_groups["group_by"])]
    drawn: dict[str, tuple[Callable[[float], Figure], str]] = {
        "auroc": (lambda width: figures.auroc_against_epsilon(metrics, width=width), "Mean AUROC"),
        "findings": (lambda width: figures.by_finding(metrics, width=width), "AUROC of each finding"),
    }
    if columns:
        by_group = f"Mean AUROC by {words.listed(columns)}"
        drawn["groups"] = (lambda width: figures.by_group(metrics, columns=columns, width=width), by_group)
    if not metrics["value"].notna().any():
        return {}
    return {
        key: FigurePair(*(_svg(draw(width), f"{name}-{key}-{width:g}", what) for width in (WIDE, SMALL)))
        for key, (draw, what) in drawn.items()
    }


def _svg(figure: Figure, name: str, what: str) -> Markup:
    said = f"{what} against the privacy budget epsilon; a table in this section has the same numbers."
    return inline.svg(figure, name=name.replace(".", "-"), described=said)


def _composed(account: Account) -> str:
    """The epsilon, by PLD, of whoever holds all private models of the experiment; empty for less than two of them."""
    held = [model.certificate for model in account.models if model.arm.recipe == "private"]
    facts = ("noise_multiplier", "sample_rate", "steps")
    if len(held) < 2 or any(one.get(fact) is None for one in held for fact in facts):
        return ""
    runs = [
        accounting.Run(
            noise_multiplier=float(one["noise_multiplier"]),
            sample_rate=float(one["sample_rate"]),
            steps=int(one["steps"]),
        )
        for one in held
    ]
    return f"{accounting.compose(runs, delta=account.experiment.privacy.delta):.3g}"


def _of_patient(account: Account) -> list[str]:
    """The patient's epsilon of each private training whose unit is the record, from its certificate."""
    said = []
    for model in account.models:
        other = model.certificate.get("other_unit") or {}
        reached = other["epsilon"] if other.get("epsilon") is not None else other.get("nominal_epsilon")
        if other.get("unit") == "patient" and reached is not None:
            name = words.arm(model.arm.name, epsilon=model.arm.epsilon)
            said.append(f"{name}: {float(reached):.3g} for a patient with {words.number(other.get('images'))} images")
    return list(dict.fromkeys(said))


def render(
    study: config.Study,
    *,
    parts: Sequence[Part],
    named: str,
    variables: Sequence[str],
    study_text: str,
    versions: dict[str, str],
) -> str:
    """Fill in the template; every text is escaped, and the page asks nothing of the network.

    `named` is what the page calls the study file, `variables` the environment variables that its roots need.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("privrad.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "auroc": words.auroc,
        "number": words.number,
        "finding": words.finding,
        "sentence": words.sentence,
    }
    environment.globals |= {
        "spread": words.spread,
        "isfinite": math.isfinite,
        "listed": words.listed,
        "glyph": glyph,
        "dash": words.DASH,
    }
    style = Markup((resources("privrad.report") / "templates" / "report.css").read_text(encoding="utf-8"))
    template = environment.get_template("report.html")
    return template.render(
        study=study,
        parts=parts,
        study_name=named,
        configfile="" if named == "config.yaml" else f" --configfile {shlex.quote(named)}",
        variables=variables,
        study_text=study_text,
        versions=versions,
        style=style,
    )


def versions_of(parts: Sequence[Part]) -> dict[str, str]:
    """The versions of the packages that trained the models and that wrote the page."""
    found: dict[str, str] = {}
    for one in parts:
        for model in one.account.models:
            found |= {name: str(held) for name, held in model.certificate.get("versions", {}).items() if held}
    return dict(sorted((found | {name: version(name) for name in PACKAGES}).items()))


def glyph(line: shown.Line, *, floor: float) -> dict[str, float]:
    """Where an interval and its value lie between `floor` and 1, in percent of the width."""
    scale = 100 / (1 - floor)
    return {name: (getattr(line, name) - floor) * scale for name in ("low", "value", "high")}
