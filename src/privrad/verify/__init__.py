"""Recomputes what a study states: certificates, the tables of its evaluation, and every number of its report.

Shares with what it checks the accountants, the reading of the ledger and of the study file; no other number comes from
the code that stated it. What it cannot recompute is in TAKEN_AS_STATED.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from privrad import config
from privrad.privacy.certificate import engine_sha256
from privrad.privacy.ledger import Entry, Ledger, LedgerError
from privrad.verify import measured, report
from privrad.verify.certificates import BY_KIND, COMMON
from privrad.verify.charges import LEDGER
from privrad.verify.check import Check, alike
from privrad.verify.read import Training, VerifyError, content

__all__ = ["Check", "VerifyError", "facts", "run", "table"]

FORMATS = (2, 3)
MOST = 20
"""How many statements of a file that do not hold are told one by one."""
NEAR = 0.01
"""How far apart, relatively, the accountants of two versions may be expected to lie."""
TAKEN_AS_STATED = (
    "data (keyed hashes: only who holds the hospital's key can recompute them), engine_sha256, versions, "
    "the wording of remarks and of not_covered; of a report what stands in data-said, drawings, words, and what was "
    "withheld or too few"
)


def run(path: Path, *, ledger: Path | None = None, study: Path | None = None, everything: bool = False) -> list[Check]:
    """Every check of a study's results folder `path`, or of one folder with a certificate.

    Of a study: each certificate, each table of the evaluation, and the report, as far as they are there. `study` is
    the study file; without it that of the working folder is taken which names the study. With `everything` every
    interval is redrawn, however large the test set. Raises VerifyError where there is nothing to verify, and where the
    ledger is not there.
    """
    checks: list[Check] = []
    entries = None
    if ledger is not None:
        entries, found = _entries(ledger)
        checks.append(found)
    alone = (path / "certificate.json").is_file()
    folders = [path] if alone else sorted(path.glob("*/finetune/*/seed-*/"))
    if not folders:
        raise VerifyError(
            f"{path} holds no certificate and no <experiment>/finetune/<arm>/seed-<seed>/; "
            "give results/<study>, or a folder with a certificate.json"
        )
    for folder in folders:
        name = path.resolve().name
        parts = folder.relative_to(path).parts
        place = None if alone else (name, parts[0], parts[2], parts[3])
        checks += _checked(folder, name=(folder / "certificate.json").relative_to(path), place=place, entries=entries)
    return checks if alone else checks + list(_of_study(path, study=study, everything=everything))


def _of_study(path: Path, *, study: Path | None, everything: bool) -> Iterator[Check]:
    """The checks of the evaluation of each experiment, and of the report."""
    evaluated = sorted(folder for folder in path.glob("*/evaluate/") if (folder / "summary.json").is_file())
    page = path / report.PAGE
    if not evaluated and not page.is_file():
        return
    file = study or _study_file(path.resolve().name)
    held = config.load(file) if file is not None else None
    for folder in evaluated:
        experiment = held.experiments.get(folder.parent.name) if held is not None else None
        settings = experiment.evaluation if experiment is not None else None
        seed, name = held.seed if held is not None else 0, folder.relative_to(path).as_posix()
        yield from measured.checks(folder, name=name, settings=settings, seed=seed, everything=everything)
    if page.is_file():
        text = file.read_text(encoding="utf-8") if file is not None else ""
        yield from report.checks(path, page=page, name=report.PAGE, study=held, study_text=text)


def _study_file(name: str) -> Path | None:
    """The study file of the working folder that names a study: config.yaml, or one in studies/."""
    for file in (Path("config.yaml"), *sorted(Path("studies").glob("*.yaml"))):
        try:
            if file.is_file() and config.load(file).study == name:
                return file
        except config.ConfigError:
            continue
    return None


def table(checks: Sequence[Check]) -> str:
    """The outcome as text: a line for each file, and for the first of its statements that do not hold."""
    lines: list[str] = []
    for file in dict.fromkeys(check.file for check in checks):
        own = [check for check in checks if check.file == file]
        wrong = [check for check in own if not check.holds]
        total = sum(check.count for check in own)
        held = f"{total - len(wrong):,} of {total:,} hold"
        lines.append(f"{'ok   ' if not wrong else 'FAULT'}  {file}: {held}")
        for check in wrong[:MOST]:
            lines.append(f"         {check.what}: says {_short(check.said)}, found {_short(check.found)}{check.remark}")
        if len(wrong) > MOST:
            lines.append(f"         and {len(wrong) - MOST:,} more")
    if not any(check.what.startswith("ledger:") for check in checks):
        lines.append("No ledger was given: what was spent on the cohort so far is not recomputed; give --ledger.")
    lines.append(f"Taken as stated: {TAKEN_AS_STATED}.")
    wrong, total = [check for check in checks if not check.holds], sum(check.count for check in checks)
    lines.append(f"{len(wrong):,} of {total:,} statements do not hold." if wrong else f"All {total:,} statements hold.")
    return "\n".join(lines)


def facts(checks: Sequence[Check]) -> dict[str, Any]:
    """The outcome for JSON."""
    return {"holds": all(check.holds for check in checks), "checks": [_known(asdict(check)) for check in checks]}


def _known(value: Any) -> Any:
    """A value with null for what is not a number, which JSON has not."""
    if isinstance(value, dict):
        return {key: _known(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_known(held) for held in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _checked(
    folder: Path, *, name: Path, place: tuple[str, str, str, str] | None, entries: tuple[Entry, ...] | None
) -> Iterator[Check]:
    file = name.as_posix()
    try:
        certificate = content(folder / "certificate.json")
        if certificate.get("certificate") not in FORMATS:
            read = " and ".join(map(str, FORMATS))
            raise VerifyError(f"format {certificate.get('certificate')!r} where this version of privrad reads {read}")
        training = Training(folder=folder, certificate=certificate, place=place, entries=entries)
        kind = training.kind
    except (VerifyError, LookupError, TypeError) as error:
        yield Check(what="a certificate", file=file, said=None, found=_told(error), holds=False)
        return
    for statements in (*COMMON, *BY_KIND[kind], *(LEDGER if entries is not None else ())):
        try:
            for what, said, found in statements(training):
                holds = alike(said, found)
                remark = "" if holds else _remark(said, found, certificate)
                yield Check(what=what, file=file, said=said, found=found, holds=holds, remark=remark)
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, OSError, MemoryError) as error:
            what = statements.__name__.strip("_").replace("_", " ")
            yield Check(what=what, file=file, said="what cannot be recomputed", found=_told(error), holds=False)


def _entries(path: Path) -> tuple[tuple[Entry, ...] | None, Check]:
    if not path.is_file():
        raise VerifyError(f"ledger {path} is not there; give the file that the study's ledger: names")
    try:
        entries = Ledger(path).entries()
    except LedgerError as error:
        return None, Check(what="ledger: chain", file=str(path), said="a chain", found=str(error), holds=False)
    return entries, Check(what="ledger: chain", file=str(path), said="a chain", found="a chain", holds=True)


def _remark(said: Any, found: Any, certificate: Mapping[str, Any]) -> str:
    near = isinstance(said, float) and isinstance(found, float) and math.isclose(said, found, rel_tol=NEAR)
    other = certificate.get("engine_sha256") != engine_sha256()
    return "; near, and other code wrote it: verify with that code (engine_sha256, versions)" if near and other else ""


def _told(error: Exception) -> str:
    if isinstance(error, LookupError):
        return f"{error} is missing or not one of those known"
    return str(error) or type(error).__name__


def _short(value: Any) -> str:
    text = json.dumps(value, default=str) if not isinstance(value, str) else value
    return text if len(text) <= 160 else f"{text[:157]}..."
