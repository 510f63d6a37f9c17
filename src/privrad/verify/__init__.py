"""Recomputes what certificates state, from the files beside them and the ledger.

Shares with what it checks the accountants and the reading of the ledger; no other number comes from the code that
stated it. What it cannot recompute is in TAKEN_AS_STATED.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from privrad.privacy.certificate import engine_sha256
from privrad.privacy.ledger import Entry, Ledger, LedgerError
from privrad.verify.certificates import BY_KIND, COMMON
from privrad.verify.charges import LEDGER
from privrad.verify.read import RELATIVE, Training, VerifyError, content

__all__ = ["Check", "VerifyError", "facts", "run", "table"]

FORMAT = 2
NEAR = 0.01
"""How far apart, relatively, the accountants of two versions may be expected to lie."""
TAKEN_AS_STATED = (
    "data (keyed hashes: only who holds the hospital's key can recompute them), engine_sha256, versions, "
    "the wording of remarks and of not_covered"
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One statement of a file, as it is said there and as it is found; both can stand in JSON.

    `remark` says what else than a changed file can be behind one that does not hold.
    """

    what: str
    file: str
    said: Any
    found: Any
    holds: bool
    remark: str = ""


def run(path: Path, *, ledger: Path | None = None) -> list[Check]:
    """Every check of the certificates in `path`: a study's results folder, or one folder with a certificate.

    Raises VerifyError where there is nothing to verify, and where the ledger is not there.
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
        study = path.resolve().name
        parts = folder.relative_to(path).parts
        place = None if alone else (study, parts[0], parts[2], parts[3])
        checks += _checked(folder, name=(folder / "certificate.json").relative_to(path), place=place, entries=entries)
    return checks


def table(checks: Sequence[Check]) -> str:
    """The outcome as text: a line for each file, and for each statement that does not hold."""
    lines: list[str] = []
    for file in dict.fromkeys(check.file for check in checks):
        own = [check for check in checks if check.file == file]
        wrong = [check for check in own if not check.holds]
        lines.append(f"{'ok   ' if not wrong else 'FAULT'}  {file}: {len(own) - len(wrong)} of {len(own)} hold")
        for check in wrong:
            lines.append(f"         {check.what}: says {_short(check.said)}, found {_short(check.found)}{check.remark}")
    if not any(check.what.startswith("ledger:") for check in checks):
        lines.append("No ledger was given: what was spent on the cohort so far is not recomputed; give --ledger.")
    lines.append(f"Taken as stated: {TAKEN_AS_STATED}.")
    wrong = [check for check in checks if not check.holds]
    lines.append(
        f"{len(wrong)} of {len(checks)} statements do not hold." if wrong else f"All {len(checks)} statements hold."
    )
    return "\n".join(lines)


def facts(checks: Sequence[Check]) -> dict[str, Any]:
    """The outcome for JSON."""
    return {"holds": all(check.holds for check in checks), "checks": [asdict(check) for check in checks]}


def _checked(
    folder: Path, *, name: Path, place: tuple[str, str, str, str] | None, entries: tuple[Entry, ...] | None
) -> Iterator[Check]:
    file = name.as_posix()
    try:
        certificate = content(folder / "certificate.json")
        if certificate.get("certificate") != FORMAT:
            raise VerifyError(f"format {certificate.get('certificate')!r} where this version of privrad reads {FORMAT}")
        training = Training(folder=folder, certificate=certificate, place=place, entries=entries)
        kind = training.kind
    except (VerifyError, LookupError, TypeError) as error:
        yield Check(what="a certificate", file=file, said=None, found=_told(error), holds=False)
        return
    for statements in (*COMMON, *BY_KIND[kind], *(LEDGER if entries is not None else ())):
        try:
            for what, said, found in statements(training):
                holds = _alike(said, found)
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


def _alike(said: Any, found: Any) -> bool:
    """Whether two values are equal: numbers that were computed to 1e-6 relative, the rest exactly."""
    if isinstance(said, float) and isinstance(found, float):
        return math.isclose(said, found, rel_tol=RELATIVE)
    if isinstance(said, Mapping) and isinstance(found, Mapping):
        return said.keys() == found.keys() and all(_alike(said[key], found[key]) for key in said)
    if isinstance(said, list) and isinstance(found, list):
        return len(said) == len(found) and all(map(_alike, said, found))
    return said == found and isinstance(said, bool) == isinstance(found, bool)


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
