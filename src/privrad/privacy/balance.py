"""What the entries of a ledger mean: for each cohort its budget, its runs, and the epsilon spent on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from privrad.privacy import accounting
from privrad.privacy.chain import Entry, LedgerError
from privrad.privacy.charges import Budget, Charge, named, require

Why = Literal["without privacy", "seeded noise"]
WHYS = ("without privacy", "seeded noise")
SENSITIVITIES = ("public", "synthetic", "private")


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """One run entered in the ledger; `charge` is None where it is unprotected, and then `why` says how.

    `time` and `finished` are UTC in ISO 8601; `finished` is when its key was deleted. `start` is the hash of what it
    started with.
    """

    run_id: str
    label: str
    entry: int
    time: str
    charge: Charge | None = None
    declared: bool = False
    why: Why | None = None
    sensitivity: str | None = None
    key_file: str | None = None
    finished: str | None = None
    start: str | None = None


@dataclass(frozen=True, kw_only=True)
class Account:
    """All that the ledger says of one cohort, in the order of its entries.

    `budgets` are pairs of a time and the budget since then. `declared` is None until the first private run.
    """

    cohort: str
    budgets: tuple[tuple[str, Budget], ...] = ()
    declared: tuple[Charge, ...] | None = None
    runs: tuple[Reservation, ...] = ()

    @property
    def budget(self) -> Budget | None:
        """The budget as it is now; None where no private run was ever reserved."""
        return self.budgets[-1][1] if self.budgets else None

    @property
    def later(self) -> tuple[Charge, ...]:
        """The charges of the runs that the declaration does not cover."""
        return tuple(run.charge for run in self.runs if run.charge and not run.declared)

    @property
    def exposed(self) -> bool:
        """Whether a run without protection saw this cohort while it was declared private, or had a limit."""
        limited = any(budget.epsilon < math.inf for _, budget in self.budgets)
        return any(run.charge is None and (limited or run.sensitivity == "private") for run in self.runs)

    def charged(self) -> float:
        """The epsilon of the protected runs, at the budget's delta and per its unit; 0 where there are none.

        What is declared counts from the first run on, whether or not it ever runs.
        Raises LedgerError where a charge cannot be told in the budget's unit.
        """
        if self.budget is None:
            return 0.0
        declared, later = (
            [each.charged(self.budget.unit) for each in part] for part in (self.declared or (), self.later)
        )
        return accounting.spent(declared, later, delta=self.budget.delta)

    def spent(self) -> float:
        """The epsilon of all runs: infinite once a private cohort was trained on without protection."""
        return math.inf if self.exposed else self.charged()


def accounts(entries: Iterable[Entry]) -> dict[str, Account]:
    """The account of each cohort by its id, in the order of their first entries.

    Raises LedgerError naming the line of an entry that this version does not understand or that contradicts another.
    """
    books: dict[str, Account] = {}
    for entry in entries:
        try:
            account = _with(books, entry)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            why = error if isinstance(error, LedgerError) else f"its content is not that of a {entry.kind!r} entry"
            raise LedgerError(
                f"line {entry.index + 1}: {why}; use the version of privrad that wrote it, or restore the ledger's "
                "newest copy that `privrad ledger verify` accepts"
            ) from None
        books[account.cohort] = account
    return books


def spent(entries: Iterable[Entry], cohort: str) -> float:
    """The epsilon spent on `cohort` so far, at its budget's delta and per its unit; 0 where nothing was trained."""
    return accounts(entries).get(cohort, Account(cohort=cohort)).spent()


def run_of(books: Mapping[str, Account], run_id: str) -> tuple[Account, Reservation] | None:
    """The account and the reservation of one run."""
    return next(((book, run) for book in books.values() for run in book.runs if run.run_id == run_id), None)


def require_unprotected(sensitivity: str, *, label: str, why: str) -> None:
    """Raise LedgerError unless the values are those of a run without protection."""
    named("label", label)
    require(sensitivity in SENSITIVITIES, "sensitivity", sensitivity, "public, synthetic or private")
    require(why in WHYS, "why", why, " or ".join(WHYS))


def _with(books: Mapping[str, Account], entry: Entry) -> Account:
    body = dict(entry.body)
    match entry.kind:
        case "budget":
            body["epsilon"] = math.inf if body["epsilon"] is None else body["epsilon"]
            book = _book(books, body["cohort"])
            return replace(book, budgets=(*book.budgets, (entry.time, Budget(**body))))
        case "declare":
            return _declared(_book(books, body.pop("cohort")), **body)
        case "reserve":
            return _reserved(books, entry, **body)
        case "unprotected":
            return _exposed(books, entry, **body)
        case "start":
            return _started(books, **body)
        case "finish":
            return _finished(books, entry, **body)
    raise LedgerError(f"unknown kind of entry {entry.kind!r}")


def _declared(book: Account, *, runs: list[dict[str, Any]]) -> Account:
    if book.declared is not None:
        raise LedgerError(f"cohort {book.cohort} was declared before")
    return replace(book, declared=tuple(Charge(**run) for run in runs))


def _reserved(
    books: Mapping[str, Account],
    entry: Entry,
    *,
    cohort: str,
    run_id: str,
    charge: dict[str, Any],
    key_file: str | None,
) -> Account:
    book, charge_ = _book(books, cohort), Charge(**charge)
    if book.budget is None or book.declared is None:
        raise LedgerError(f"cohort {cohort} has no budget or declaration before its first run")
    if key_file is not None:
        named("key_file", key_file)
    declared = charge_ in book.declared and not any(run.charge and run.label == charge_.label for run in book.runs)
    run = Reservation(
        run_id=run_id,
        label=charge_.label,
        entry=entry.index,
        time=entry.time,
        charge=charge_,
        declared=declared,
        key_file=key_file,
    )
    return _entered(books, book, run)


def _exposed(
    books: Mapping[str, Account], entry: Entry, *, cohort: str, sensitivity: str, label: str, run_id: str, why: Why
) -> Account:
    require_unprotected(sensitivity, label=label, why=why)
    run = Reservation(run_id=run_id, label=label, entry=entry.index, time=entry.time, why=why, sensitivity=sensitivity)
    return _entered(books, _book(books, cohort), run)


def _started(books: Mapping[str, Account], *, run_id: str, start: str) -> Account:
    found = run_of(books, run_id)
    if found is None or found[1].start is not None:
        raise LedgerError(f"run {run_id!r} starts that was never entered, or starts twice")
    book, begun = found
    named("start", start)
    return replace(book, runs=tuple(replace(run, start=start) if run is begun else run for run in book.runs))


def _finished(books: Mapping[str, Account], entry: Entry, *, run_id: str) -> Account:
    found = run_of(books, run_id)
    if found is None:
        raise LedgerError(f"run {run_id!r} ends that was never entered")
    book, ended = found
    runs = tuple(replace(run, finished=entry.time) if run is ended else run for run in book.runs)
    return replace(book, runs=runs)


def _entered(books: Mapping[str, Account], book: Account, run: Reservation) -> Account:
    named("run_id", run.run_id)
    if run_of(books, run.run_id) is not None:
        raise LedgerError(f"run {run.run_id} was entered before")
    return replace(book, runs=(*book.runs, run))


def _book(books: Mapping[str, Account], cohort: str) -> Account:
    named("cohort", cohort)
    return books.get(cohort, Account(cohort=cohort))
