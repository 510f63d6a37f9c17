"""The page: what is shown of each cohort, and the template that it fills."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files as resources
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from privrad import config
from privrad.cohorts import datasheet
from privrad.cohorts.tables import CohortError
from privrad.inspect import confounded, counts, parts, samples
from privrad.inspect.samples import Sample
from privrad.inspect.seen import Seen
from privrad.inspect.table import Cell, Table, count
from privrad.report import words

SENSITIVITIES = {"synthetic": "drawn by computer, shows nobody", "public": "public", "private": "private"}
USES = {"public": "pretraining, without privacy", "private": "training under privacy, validation and test"}
NEAR_COPIES = ("kind", "where", "action", "pairs", "images")


@dataclass(frozen=True)
class CohortPart:
    """One cohort as the page shows it; with `absent` there is nothing else to show."""

    key: str
    title: str
    cohort: config.Cohort
    use: str
    sheet: datasheet.Datasheet | None
    absent: str = ""
    warnings: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    tables: Sequence[Table] = ()
    folded: Sequence[Table] = ()
    split: Table | None = None
    unsplit: str = ""
    declared: Sequence[tuple[str, str]] = ()
    samples: Sequence[Sample] = ()
    scans: bool = False
    near: Table | None = None
    near_made_by: str = ""


@dataclass(frozen=True)
class Whole:
    """What is shown of all cohorts together."""

    warnings: Sequence[str] = ()
    remarks: Sequence[str] = ()
    tables: Sequence[Table] = field(default_factory=tuple)


def title(name: str, role: config.Role) -> str:
    """A cohort as its experiment and role: "Chest: private cohort"."""
    return f"{words.finding(name)}: {role} cohort"


def sheet(layout: str, folder: Path) -> datasheet.Datasheet | None:
    """The datasheet of a layout, where it is there."""
    return datasheet.read(layout, folder=folder) if (folder / f"{layout}.yaml").is_file() else None


def absent(name: str, role: config.Role, cohort: config.Cohort, *, sheets: Path, said: str) -> CohortPart:
    """A cohort of which `said` is all that can be shown."""
    key = f"{name}-{role}"
    return CohortPart(key, title(name, role), cohort, USES[role], sheet(cohort.layout, sheets), absent=said)


def part(seen: Seen, *, sheets: Path, pictures: int, near: Path, made_by: str) -> CohortPart:
    """All that is shown of one cohort; `near` is the table of near copies, `made_by` the command that makes it."""
    taken, names = seen.taken, seen.findings
    shares = confounded.shares(taken, names)
    some = not taken.empty
    return CohortPart(
        key=seen.key,
        title=title(seen.name, seen.role),
        cohort=seen.cohort,
        use=USES[seen.role],
        sheet=sheet(seen.cohort.layout, sheets),
        warnings=_warnings(seen, shares),
        facts=_facts(seen),
        tables=_tables(seen, shares),
        folded=[counts.per_patient(taken), *([counts.together(taken, names)] * (len(names) > 1))] if some else [],
        split=parts.table(seen),
        unsplit=seen.unsplit,
        declared=parts.declared(seen) if seen.role == "private" else (),
        samples=samples.of(seen, count=pictures) if some and pictures else (),
        scans=seen.scans,
        near=_near(near),
        near_made_by=made_by,
    )


def _warnings(seen: Seen, shares: Sequence[confounded.Shares]) -> list[str]:
    unsplit = [f"No split can be made: {seen.unsplit}."] if seen.unsplit and not seen.taken.empty else []
    return [
        *counts.refusals(seen.rows, seen.units),
        *counts.gaps(seen.taken, scans=seen.scans),
        *confounded.told(shares),
        *unsplit,
        *parts.few(seen),
        *parts.unlike(seen),
    ]


def _tables(seen: Seen, shares: Sequence[confounded.Shares]) -> list[Table]:
    taken, names = seen.taken, seen.findings
    found = [counts.refused(seen.rows)] if (seen.rows["reason"] != "").any() else []
    if not taken.empty:
        found += [counts.findings(taken, names), counts.by_group(taken, names), counts.missing(taken, scans=seen.scans)]
    return found + ([confounded.table(shares)] if shares else [])


def _facts(seen: Seen) -> list[tuple[str, str]]:
    taken = seen.taken
    numbers = {
        "rows found": len(seen.rows),
        f"{seen.units} that can be used": len(taken),
        "patients": taken["patient"].nunique(),
        "studies": taken["study"].nunique(),
    }
    return [(name, count(number)) for name, number in numbers.items()]


def _near(path: Path) -> Table | None:
    """The pairs that look alike, as an earlier run counted them; CohortError where its table is not one."""
    if not path.is_file():
        return None
    try:
        found = pd.read_csv(path, dtype=str, keep_default_na=False)[list(NEAR_COPIES)]
    except (KeyError, ValueError):
        raise CohortError(
            f"{path} is no table with columns {', '.join(NEAR_COPIES)}; delete it and make it again with snakemake"
        ) from None
    lines = [[Cell(words.flat(cell).replace("_", " ")) for cell in row] for row in found.itertuples(index=False)]
    lines = lines or [[Cell("none")] + [Cell("")] * (len(NEAR_COPIES) - 1)]
    return Table("Pictures that look alike", NEAR_COPIES, lines, numeric=False)


def render(study: str, *, cohorts: Sequence[CohortPart], whole: Whole, study_file: Path) -> str:
    """Fill in the template; every text is escaped, and the page asks nothing of the network and runs no script."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("privrad.inspect"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = Markup(_asset("privrad.report", "report.css") + _asset("privrad.inspect", "inspect.css"))
    return environment.get_template("inspect.html").render(
        study=study,
        cohorts=cohorts,
        whole=whole,
        study_file=shlex.quote(str(study_file)),
        sensitivities=SENSITIVITIES,
        style=style,
        policy=_policy(style),
    )


def _asset(package: str, name: str) -> str:
    return (resources(package) / "templates" / name).read_text(encoding="utf-8")


def _policy(style: str) -> str:
    """A content-security policy under which the page's own style and pictures count, and nothing else."""
    held = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{held}'; base-uri 'none'; form-action 'none'"
