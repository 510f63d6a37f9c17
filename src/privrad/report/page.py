"""The page: everything that the template shows of a study, and the template filled in."""

from __future__ import annotations

import base64
import hashlib
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from privrad import config
from privrad.report import (
    accuracy,
    fairness,
    flow,
    guarantees,
    modality,
    number,
    panels,
    pictures,
    plates,
    preparation,
    sentences,
    shown,
    strips,
    tables,
    words,
)
from privrad.report.account import Account, CohortAccount
from privrad.report.figures import Figured
from privrad.report.number import Number

PACKAGES = ("privrad", "matplotlib", "numpy", "pandas")
CONTENTS = ("summary", "data", "preparation", "training", "accuracy", "fairness", "privacy", "methods")


@dataclass(frozen=True)
class Link:
    """A file that lies beside the page, such as a model card; `href` is relative to the page."""

    title: str
    href: str


@dataclass(frozen=True)
class CohortPart:
    """One cohort as the page shows it."""

    account: CohortAccount
    copies: Sequence[flow.Refused]
    flow: flow.Flow
    split: tables.Table
    pairs: Sequence[pictures.Pair]


@dataclass(frozen=True)
class ArmPart:
    """One arm as the page shows it, in a tab."""

    id: str
    name: Markup
    accuracy: tables.Table
    tests: tables.Table
    curves: Sequence[panels.Panels]
    gaps: tables.Table
    flagged: tables.Table


@dataclass(frozen=True)
class Part:
    """One experiment as the page shows it."""

    account: Account
    lines: Sequence[shown.Line]
    sentences: Sequence[Markup]
    summary: tables.Table
    cohorts: Sequence[CohortPart]
    arms: Sequence[ArmPart]
    table: dict[str, tables.Table]
    by_group: Sequence[tables.Table]
    drawn: dict[str, plates.Plate]
    protections: frozenset[str]
    composed: Number | None
    attacked: Markup
    of_patient: Sequence[Markup]
    not_covered: Sequence[str]
    missed: Sequence[pictures.Missed]
    minimum: int

    @property
    def endless(self) -> bool:
        """Whether some training had no privacy."""
        return any(arm.epsilon == math.inf for arm in self.account.experiment.arms.values())

    @property
    def unprotected(self) -> bool:
        """Whether no training of the experiment is private."""
        return not self.table["certificates"].rows

    @property
    def seeded(self) -> bool:
        """Whether the noise of a private training can be had from its seed."""
        return "seeded" in self.protections

    @property
    def modality(self) -> modality.Modality:
        """The words for its images."""
        return modality.of(self.account.experiment)

    @property
    def findings(self) -> Sequence[str]:
        """What is scored, in words."""
        return [words.in_full(finding) for finding in self.account.experiment.findings]

    @property
    def size(self) -> tables.Text:
        """The size of a prepared image."""
        return preparation.size(self.account)

    @property
    def steps(self) -> tables.Text:
        """What preparation does to each image."""
        return preparation.steps(self.account)

    def setting(self, *pointer: str, form: str = "number") -> Number:
        """A number of the experiment's settings, by the keys that lead to it."""
        value: Any = self.account.experiment
        for key in pointer:
            value = value[key] if isinstance(value, dict) else getattr(value, key)
        return tables.setting(self.account.name, pointer, value, form=form)

    @property
    def contents(self) -> Sequence[str]:
        """The sections, in order."""
        return (*CONTENTS[:-1], *["missed"] * bool(self.missed), CONTENTS[-1])


def part(
    account: Account,
    *,
    internal: bool = False,
    missed: Sequence[pictures.Missed] = (),
    beside: Figured | None = None,
    drawn: Path | None = None,
) -> Part:
    """Make all that the page shows of one experiment; the account holds what may be shown and nothing more.

    `beside` is the figure of published results that the study is held against, `drawn` a folder of figures, of which
    those of the same numbers are taken and not drawn again.
    """
    private, cohort = guarantees.private(account), account.experiment.cohorts.private
    chosen = shown.lines(account)
    made = {each.__name__: each(account) for each in (accuracy.by_model, accuracy.by_finding, accuracy.tests)}
    made |= {each.__name__: each(account) for each in (accuracy.validation, accuracy.seeds, accuracy.correlations)}
    made |= {each.__name__: each(account) for each in (fairness.worst, fairness.widest, tables.trainings)}
    made |= {each.__name__: each(account) for each in (guarantees.certificates, guarantees.attackers)}
    made |= {each.__name__: each(account) for each in (guarantees.entries, tables.sources)}
    made["published"] = accuracy.published(account, beside.data(account.measured) if beside else None)
    return Part(
        account=account,
        lines=chosen,
        sentences=sentences.of(account),
        summary=strips.of_arms(account, chosen),
        cohorts=[_cohort(each, account, internal=internal) for each in account.cohorts],
        arms=[_arm(account, name) for name in tables.arms(account)],
        table=made,
        by_group=[fairness.by_group(account, column) for column in shown.groupings(account.measured.metrics)],
        drawn=plates.of(account, further=[beside] if beside else [], drawn=drawn),
        protections=frozenset(shown.protection(model) for model in private),
        composed=guarantees.composed(account),
        attacked=guarantees.attacked(account),
        of_patient=guarantees.of_patient(account),
        not_covered=guarantees.not_covered(private),
        missed=missed,
        minimum=account.experiment.evaluation.minimum_cell if cohort.sensitivity == "private" and not internal else 0,
    )


def _cohort(cohort: CohortAccount, account: Account, *, internal: bool) -> CohortPart:
    open_to_all = cohort.declared.sensitivity != "private"
    return CohortPart(
        account=cohort,
        flow=flow.of(cohort, account=account),
        copies=flow.kept_copies(cohort, account=account) if internal or open_to_all else [],
        split=tables.split(cohort, account=account),
        pairs=pictures.pairs(cohort, experiment=account.experiment, internal=internal),
    )


def _arm(account: Account, name: str) -> ArmPart:
    return ArmPart(
        id=name.replace(".", "-"),
        name=number.joined(tables.arm(account, name)),
        accuracy=accuracy.of_arm(account, name),
        tests=accuracy.tests_of_arm(account, name),
        curves=panels.of_arm(account, name),
        gaps=fairness.of_arm(account, name),
        flagged=fairness.flagged(account, name),
    )


def render(
    study: config.Study,
    *,
    parts: Sequence[Part],
    named: str,
    variables: Sequence[str],
    study_text: str,
    versions: dict[str, str],
    internal: bool = False,
    links: Sequence[Link] = (),
) -> str:
    """Fill in the template; every text is escaped, and the page asks nothing of the network.

    `named` is what the page calls the study file, `variables` the environment variables that its roots need, `links`
    the model cards and checklists beside the page. An `internal` page says that it must stay in the hospital.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("privrad.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"finding": words.finding, "sentence": words.sentence, "said": number.said}
    environment.filters |= {"joined": number.joined, "grouping": words.grouping, "inside": words.inside}
    environment.globals |= {"listed": words.listed, "kinds": number.KINDS, "nbsp": words.NBSP}
    style, script = (_asset(name) for name in ("report.css", "report.js"))
    return environment.get_template("report.html").render(
        study=study,
        parts=parts,
        study_name=named,
        configfile="" if named == "config.yaml" else f" --configfile {shlex.quote(named)}",
        variables=variables,
        study_text=study_text,
        versions=versions,
        style=style,
        script=script,
        policy=_policy(style=style, script=script),
        internal=internal,
        links=links,
    )


def _asset(name: str) -> Markup:
    return Markup((resources("privrad.report") / "templates" / name).read_text(encoding="utf-8"))


def _policy(*, style: str, script: str) -> str:
    """A content-security policy under which the page's own style and script count, and nothing is fetched or sent."""
    style_hash, script_hash = (
        "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    allowed = f"img-src data:; style-src '{style_hash}'; script-src '{script_hash}'"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def versions_of(parts: Sequence[Part]) -> dict[str, str]:
    """The versions of the packages that trained the models and that wrote the page."""
    found: dict[str, str] = {}
    for one in parts:
        for model in one.account.models:
            found |= {name: str(held) for name, held in model.certificate.get("versions", {}).items() if held}
    return dict(sorted((found | {name: version(name) for name in PACKAGES}).items()))
