"""How many images of a cohort went which way: found, refused and why, accepted, prepared, and split into parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from privrad.report import number, words
from privrad.report.account import Account, CohortAccount
from privrad.report.number import Number, Piece
from privrad.report.tables import PARTS, accepted, kind_of

LISTED = {"ingest": "refused.csv", "duplicates": "removed.csv"}


@dataclass(frozen=True)
class Refused:
    """Images refused for one reason."""

    reason: Piece
    count: Number


@dataclass(frozen=True)
class SplitPart:
    """One part of the split."""

    name: str
    images: Number
    patients: Number


@dataclass(frozen=True)
class Flow:
    """The way of a cohort's images."""

    found: Number
    at_ingest: Sequence[Refused]
    copies: Sequence[Refused]
    images: Number
    patients: Number
    at_preparation: Sequence[Refused]
    prepared: Number
    parts: Sequence[SplitPart]


def of(cohort: CohortAccount, *, account: Account) -> Flow:
    """The way of the images of one cohort, with its counts as they may be shown."""
    rows = cohort.flow.to_dict("records")
    return Flow(
        found=_step(account, cohort, rows, "found"),
        at_ingest=_refused(account, cohort, rows, "ingest"),
        copies=_refused(account, cohort, rows, "duplicates"),
        images=replace(accepted(cohort, account=account, column="images"), text=_text(_row(rows, "accepted"))),
        patients=accepted(cohort, account=account, column="patients"),
        at_preparation=_refused(account, cohort, rows, "prepare"),
        prepared=_step(account, cohort, rows, "prepared"),
        parts=_parts(account, cohort),
    )


def kept_copies(cohort: CohortAccount, *, account: Account) -> list[Refused]:
    """Pairs of pictures that are alike and were both kept, by how much and where they stand."""
    folder, kind = f"{account.name}/duplicates/{cohort.role}", kind_of(cohort)
    rows = cohort.copies[cohort.copies["action"] == "reported"].to_dict("records")
    return [
        Refused(
            number.said(f"{row['kind']}, {str(row['where']).replace('_', ' ')}"),
            number.of_table(folder, "counts.csv", row, "pairs", form="count", kind=kind),
        )
        for row in rows
    ]


def _step(account: Account, cohort: CohortAccount, rows: Sequence[Mapping[Any, Any]], step: str) -> Number:
    folder = "ingest" if step == "found" else "prepare"
    file = f"{account.name}/{folder}/{cohort.role}"
    return Number(_text(_row(rows, step)), file, f"computed:{step}", form="count", kind=kind_of(cohort))


def _row(rows: Sequence[Mapping[Any, Any]], step: str) -> Mapping[Any, Any]:
    return next(row for row in rows if row["step"] == step)


def _refused(account: Account, cohort: CohortAccount, rows: Sequence[Mapping[Any, Any]], step: str) -> list[Refused]:
    found = []
    for row in rows:
        if row["step"] != step or row["count"] == 0:
            continue
        reason, kind = str(row["reason"]), kind_of(cohort)
        file = f"{account.name}/{step}/{cohort.role}"
        count = Number(_text(row), file, f"computed:refused:{reason}", form="count", kind=kind)
        if step in LISTED:
            row_of = frozenset({("reason", reason)})
            count = Number(_text(row), f"{file}/{LISTED[step]}", "count", row_of, "count", kind)
        found.append(Refused(number.said(reason.replace("_", " ")), count))
    return found


def _parts(account: Account, cohort: CohortAccount) -> list[SplitPart]:
    balance, kind = cohort.balance, kind_of(cohort)
    folder = f"{account.name}/split/{cohort.role}"
    parts = []
    for row in balance[balance["column"] == "all"].to_dict("records"):
        images, patients = (
            number.of_table(folder, "balance.csv", row, name, form="count", kind=kind, missing=words.WITHHELD)
            for name in ("images", "patients")
        )
        parts.append(SplitPart(str(row["split"]), images, patients))
    return sorted(parts, key=lambda part: PARTS.index(part.name) if part.name in PARTS else len(PARTS))


def _text(row: Mapping[Any, Any]) -> str:
    hidden = str(row.get("count_shown") or "")
    return hidden or (words.WITHHELD if words.absent(row["count"]) else words.number(int(row["count"])))
