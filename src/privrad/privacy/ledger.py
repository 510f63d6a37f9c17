"""What was spent on each cohort by all runs so far: one file per hospital, written before a run's first step.

The first private run on a cohort declares all runs of its study; they are charged together, at once, whether or not
they run. Every other run is charged on top, as one chosen after the results of those before. Nothing is refunded. A
run without protection on a private cohort makes its total infinite, but the protected ones alone still keep the budget.
privacy.journal and privacy.chain say what the file shows and what it cannot, privacy.balance what its entries mean.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from privrad.privacy.balance import (
    Account,
    Reservation,
    Why,
    accounts,
    require_unprotected,
    run_of,
    spent,
)
from privrad.privacy.chain import GENESIS, Entry, LedgerError, Record, following
from privrad.privacy.charges import Budget, Charge, Unit, named
from privrad.privacy.journal import Journal

__all__ = [
    "Account",
    "Budget",
    "Charge",
    "Entry",
    "Ledger",
    "LedgerError",
    "Receipt",
    "Reservation",
    "Verification",
    "accounts",
    "spent",
]

Books = dict[str, Account]


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What the ledger says of one run, and of its cohort so far.

    `head` is the hash of the last entry, `entry` the index of the run's own. `spent_epsilon` is of all runs on the
    cohort, at `delta` and per `unit` of its budget; infinite once a private cohort was trained on without protection.
    `delta` and `unit` are None where the cohort has no budget. `declared`: covered by the cohort's declaration.
    """

    run_id: str
    head: str
    spent_epsilon: float
    delta: float | None
    unit: Unit | None
    declared: bool
    entry: int


@dataclass(frozen=True, kw_only=True)
class Verification:
    """A chain that holds: how many entries it has, its head, and how many came `since` the head `compared` with it."""

    entries: int
    head: str
    compared: str | None = None
    since: int | None = None


class Ledger:
    """The ledger at `path`; each call reads and checks the whole file, and one that writes holds it against others."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)

    def reserve(
        self,
        charge: Charge,
        *,
        run_id: str,
        budget: Budget,
        declared: Sequence[Charge],
        key_file: Path | None,
        again: bool = False,
    ) -> Receipt:
        """Enter a private run before its first step, on disk when this returns.

        `declared` are all private runs of the study on the budget's cohort; only the cohort's first reservation enters
        them. A `run_id` that is there already is a resume: nothing is entered and nothing charged. `again` allows to
        train a label once more under a new run id, at a new charge. Raises LedgerError, with nothing entered or
        charged, where the budget would be exceeded or the run contradicts the ledger.
        """
        named("run_id", run_id)
        named("key_file", "none" if key_file is None else str(key_file.absolute()))
        _require_distinct(declared)
        with self._journal.writing() as (entries, writer):
            books = self._accounts(entries)
            if (held := run_of(books, run_id)) is not None:
                _require_same(held, cohort=budget.cohort, label=charge.label, what=charge)
                return _receipt(entries, books, run_id)
            book = books.get(budget.cohort, Account(cohort=budget.cohort))
            _refuse_repeat(book, charge, again=again)
            _refuse_no_limit(book, budget)
            new = following(entries, _records(book, charge, run_id, budget, declared, key_file))
            after = self._accounts((*entries, *new))
            _refuse_excess(after[budget.cohort], before=book, charge=charge)
            receipt = _receipt((*entries, *new), after, run_id)
            writer.append(new)
            return receipt

    def unprotected(self, *, cohort: str, sensitivity: str, label: str, run_id: str, why: Why) -> Receipt:
        """Enter a run whose model protects nobody; free on a public or synthetic cohort, infinite on a private one.

        A `run_id` that is there already adds nothing. Raises LedgerError where the run contradicts the ledger.
        """
        require_unprotected(sensitivity, label=label, why=why)
        named("cohort", cohort)
        named("run_id", run_id)
        with self._journal.writing() as (entries, writer):
            books = self._accounts(entries)
            if (held := run_of(books, run_id)) is not None:
                _require_same(held, cohort=cohort, label=label, what=why)
                return _receipt(entries, books, run_id)
            body = {"cohort": cohort, "sensitivity": sensitivity, "label": label, "run_id": run_id, "why": why}
            new = following(entries, [("unprotected", body)])
            receipt = _receipt((*entries, *new), self._accounts((*entries, *new)), run_id)
            writer.append(new)
            return receipt

    def holds(self, run_id: str) -> Receipt | None:
        """The entry of a run, with the head and the cohort's epsilon as they are now; None where it was not entered."""
        entries = self._journal.read()
        books = self._accounts(entries)
        return _receipt(entries, books, run_id) if run_of(books, run_id) else None

    def require(self, run_id: str, *, cohort: str, charge: Charge) -> None:
        """Raise LedgerError unless the ledger holds the run with this very charge."""
        books = self._accounts(self._journal.read())
        _require_same(self._held(books, run_id), cohort=cohort, label=charge.label, what=charge)

    def start(self, run_id: str, *, start: str) -> None:
        """Enter the hash of what a run starts with, before its first step; once more changes nothing.

        Its key is bound to what is hashed, so that one charge pays for one training. Raises LedgerError where the run
        has ended, or started with another hash: then a copy of its work folder trains it elsewhere.
        """
        with self._journal.writing() as (entries, writer):
            _, run = self._held(self._accounts(entries), run_id)
            if run.finished is not None or run.start not in (None, start):
                when = f"ended on {run.finished}" if run.finished else "was started with other methods or code"
                raise LedgerError(
                    f"run {run_id} of {run.label} {when}, and its one charge pays for one training; use the work "
                    "folder in which it is, or delete its folder here, set spend: true and reserve it anew"
                )
            if run.start is None:
                writer.append(following(entries, [("start", {"run_id": run_id, "start": start})]))

    def finish(self, run_id: str) -> None:
        """Enter that a run has ended and its key was deleted; once more changes nothing. Raises LedgerError."""
        with self._journal.writing() as (entries, writer):
            if self._held(self._accounts(entries), run_id)[1].finished is None:
                writer.append(following(entries, [("finish", {"run_id": run_id})]))

    def entries(self) -> tuple[Entry, ...]:
        """Every entry, chain and content checked; none where there is no file yet.

        Raises LedgerError naming the line, what is wrong and how to mend it.
        """
        entries = self._journal.read()
        self._accounts(entries)
        return entries

    def verify(self, *, head: str | None = None) -> Verification:
        """Check the whole chain and, where a certificate's `head` is given, that nothing it saw was lost.

        A rewrite by someone who holds the file and every certificate does not show. Raises LedgerError.
        """
        path, entries = self._journal.path, self.entries()
        if not path.exists():
            raise LedgerError(f"ledger {path} is not there; give the file that the study's ledger: names")
        last = entries[-1].hash if entries else GENESIS
        if head is None:
            return Verification(entries=len(entries), head=last)
        seen = next((entry for entry in entries if entry.hash == head), None)
        if seen is None:
            raise LedgerError(
                f"ledger {path} holds as a chain of {len(entries)} entries, but head {head} is not in it: its tail was "
                "lost, or the certificate belongs to another ledger; restore the copy that has this head before any "
                "further run"
            )
        return Verification(entries=len(entries), head=last, compared=head, since=len(entries) - 1 - seen.index)

    def _held(self, books: Books, run_id: str) -> tuple[Account, Reservation]:
        held = run_of(books, run_id)
        if held is None:
            raise LedgerError(f"ledger {self._journal.path} has no run {run_id}; reserve it first, by privrad reserve")
        return held

    def _accounts(self, entries: Sequence[Entry]) -> Books:
        try:
            return accounts(entries)
        except LedgerError as error:
            raise LedgerError(f"ledger {self._journal.path}, {error}") from None


def _records(
    book: Account, charge: Charge, run_id: str, budget: Budget, declared: Sequence[Charge], key_file: Path | None
) -> list[Record]:
    records: list[Record] = []
    if budget != book.budget:
        records.append(("budget", budget.facts()))
    if book.declared is None:
        records.append(("declare", {"cohort": budget.cohort, "runs": [asdict(run) for run in declared]}))
    key = None if key_file is None else str(key_file.absolute())
    body = {"cohort": budget.cohort, "run_id": run_id, "charge": asdict(charge), "key_file": key}
    return [*records, ("reserve", body)]


def _receipt(entries: Sequence[Entry], books: Books, run_id: str) -> Receipt:
    held = run_of(books, run_id)
    assert held is not None
    book, run = held
    return Receipt(
        run_id=run_id,
        head=entries[-1].hash,
        spent_epsilon=book.spent(),
        delta=book.budget.delta if book.budget else None,
        unit=book.budget.unit if book.budget else None,
        declared=run.declared,
        entry=run.entry,
    )


def _require_distinct(declared: Sequence[Charge]) -> None:
    twice = [label for label, count in Counter(run.label for run in declared).items() if count > 1]
    if twice:
        raise LedgerError(f"{twice[0]} is declared twice; each run of a study needs a label of its own")


def _require_same(held: tuple[Account, Reservation], *, cohort: str, label: str, what: Charge | Why) -> None:
    book, run = held
    if (book.cohort, run.label, run.charge or run.why) != (cohort, label, what):
        raise LedgerError(
            f"run {run.run_id} was entered on {run.time} as {run.label} on cohort {book.cohort}, with other settings "
            f"than {label} on cohort {cohort} has now; put them back, or reserve it anew under a run id of its own"
        )


def _refuse_repeat(book: Account, charge: Charge, *, again: bool) -> None:
    before = [run for run in book.runs if run.charge and run.label == charge.label]
    if before and not again:
        raise LedgerError(
            f"{charge.label} was trained, and charged to cohort {book.cohort}, as run {before[-1].run_id} on "
            f"{before[-1].time}; put its inputs back, or set spend: true in the study to train it again and pay again"
        )


def _refuse_no_limit(book: Account, budget: Budget) -> None:
    if book.budget is not None and book.budget.epsilon < budget.epsilon == math.inf:
        raise LedgerError(
            f"cohort {book.cohort} has a budget of {book.budget.epsilon:g}, and the study sets none; give it one"
        )


def _refuse_excess(after: Account, *, before: Account, charge: Charge) -> None:
    budget, total = after.budget, after.charged()
    assert budget is not None
    if total <= budget.epsilon:
        return
    first = before.declared is None
    runs = f"the study's {len(after.declared or ())} private runs, declared together," if first else charge.label
    raise LedgerError(
        f"cohort {budget.cohort}: {runs} would bring epsilon to {total:.4g} per {budget.unit} at delta "
        f"{budget.delta:g}, above its budget of {budget.epsilon:g}"
        + ("" if first else f", of which {before.charged():.4g} is spent")
        + "; nothing was charged. Plan fewer runs or smaller epsilons, or raise the cohort's budget"
    )
