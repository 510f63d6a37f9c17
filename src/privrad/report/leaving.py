"""An account as it may be shown: with small cells of a private cohort hidden, or exact for a page that stays in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import pandas as pd

from privrad.report import release, words
from privrad.report.account import Account
from privrad.report.measurements import SETTINGS, Measurements


def shown(account: Account, *, internal: bool) -> Account:
    """The account with what may not be shown hidden.

    Counts of a private cohort are hidden only on a page that leaves. Its other numbers then have the digits that the
    page shows and no more, as drawings and their tables carry each digit that they are given. Numbers of groups of few
    patients are always hidden.
    """
    private = next(cohort for cohort in account.cohorts if cohort.role == "private")
    minimum_cell = account.experiment.evaluation.minimum_cell
    kept = internal or private.declared.sensitivity != "private"
    tables = release.Tables(measurements=account.measured, balance=private.balance, flow=private.flow)
    given = release.fit_to_leave(tables, minimum=0 if kept else minimum_cell, few=minimum_cell)
    cohort = replace(private, balance=given.balance, flow=given.flow)
    return replace(
        account,
        cohorts=tuple(cohort if each.role == "private" else each for each in account.cohorts),
        measured=given.measurements if kept else _as_written(given.measurements),
        summary=release.fit_summary(account.summary, given),
        sources=account.sources if kept else _without_hashes(account.sources),
    )


def _without_hashes(sources: Mapping[str, str]) -> dict[str, str]:
    """The files with the hashes withheld of all that hold facts about private patients.

    Whoever has the hash of such a file, and all but a few of its counts, tries the others until the hash is right.
    """
    return {path: digest if _told(Path(path)) else words.WITHHELD for path, digest in sources.items()}


def _told(path: Path) -> bool:
    """Whether a file holds nothing of private patients but keyed hashes and the hash of weights."""
    return path.name == "certificate.json" or path.parts[1] == "pretrain" or "public" in path.parts[2:3]


def _as_written(measured: Measurements) -> Measurements:
    """Every measured number as the page writes it; settings and the places of a grid stay as they are."""
    tables = {field.name: getattr(measured, field.name) for field in fields(measured)}
    return Measurements(**{name: _table_as_written(table) for name, table in tables.items()})


def _table_as_written(table: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in table.columns if table[name].dtype.kind == "f" and name not in SETTINGS]
    return table.assign(**{name: [_digits(value, probability=name.startswith("p_")) for value in table[name]]
                           for name in names})  # fmt: skip


def _digits(value: float, *, probability: bool) -> float:
    """Three decimals, as the page rounds; what it writes as "<0.001" is 0, and what as "-0.000" stays below 0."""
    if probability and value < 0.001:
        return 0.0
    text = f"{value:.3f}"
    return -0.0001 if text == "-0.000" else float(text)
